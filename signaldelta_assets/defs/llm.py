"""Classification by a language model: an asset that nothing depends on, and that runs only where it is switched on."""

import dagster as dg

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.extractors import item_text
from signaldelta_assets.llm.classification import MATERIAL_AGREEMENT, Request, classify, open_classifier
from signaldelta_assets.settings import load_settings
from signaldelta_assets.versioning import code_version, hash_document
from signaldelta_assets.warehouse.stores import raw
from signaldelta_assets.warehouse.tables import llm_outputs

from .describe import OWNERS, table_metadata
from .partitions import daily, day_window
from .platform import Platform
from .raw import asset_key as raw_key

KEY = dg.AssetKey(["llm", "material_agreement"])
_ITEM = "1.01"


def build_asset(first_day: str) -> dg.AssetsDefinition:
    """Return the asset: what the agreement of each 8-K item 1.01 of a day is, in a model's word."""

    @dg.asset(
        key=KEY,
        deps=[raw_key("edgar/form_8k")],
        partitions_def=daily(first_day),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="llm",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description="What kind of agreement an 8-K item 1.01 is about, in a model's word; every answer is kept as it "
        "came. For reading beside the rules: no signal, label or score takes it in. Off unless a model is named.",
        code_version=code_version(["signaldelta_assets.llm.classification"], {"task": MATERIAL_AGREEMENT.version}),
        pool="llm",
        metadata={**table_metadata(llm_outputs), "task_version": MATERIAL_AGREEMENT.version, "persistence": "postgres"},
    )
    def material_agreement(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        days = day_window(context)
        labels: dict[str, int] = {}
        hashes: list[str] = []
        asked = without_text = 0
        try:
            with (
                platform.warehouse() as warehouse,
                open_classifier(platform.settings(), warehouse) as (answer, protocol, model),
            ):
                for payload in raw.read_raw(warehouse, ["form_8k"], days.first, days.last)["payload"]:
                    if _ITEM not in payload["items"]:
                        continue
                    text = item_text(payload["text"] or "", _ITEM) or payload["text"]
                    if not text:
                        without_text += 1
                        continue
                    made = classify(warehouse, answer, Request(MATERIAL_AGREEMENT, protocol, model, text))
                    label = made.label or "unreadable"
                    labels[label] = labels.get(label, 0) + 1
                    asked += made.asked
                    hashes.append(made.output_hash)
        except SignalDeltaError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        return dg.MaterializeResult(
            data_version=dg.DataVersion(hash_document(sorted(hashes))),
            metadata={
                "dagster/row_count": len(hashes),
                "labels": labels,
                "asked": asked,
                "from_store": len(hashes) - asked,
                "without_text": without_text,
            },
        )

    return material_agreement


@dg.definitions
def defs() -> dg.Definitions:
    """The one asset."""
    return dg.Definitions(assets=[build_asset(load_settings().first_day)])
