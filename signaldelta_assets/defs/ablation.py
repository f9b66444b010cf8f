"""The ablation asset: one dynamic partition per base spec; its runs are partitions of the backtest asset."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.utils import make_new_backfill_id

from signaldelta_assets.backtests import ablation_table, base_spec, plan_ablation
from signaldelta_assets.versioning import canonical_json, code_version

from .backtests import RUN_KEY
from .describe import OWNERS, told
from .partitions import backtest_ablations, backtest_specs
from .platform import Platform

ABLATION_KEY = dg.AssetKey(["backtests", "ablation"])
TABLE_HASH = "table_hash"
SUFFIX = ".json"
# The figures shown beside the protocol's primary one; all of them are in the document.
_SHOWN = ("precision", "recall", "auc")
_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("left_out", "string", "Family or signal that the model does without."),
        dg.TableColumn("title", "string"),
        dg.TableColumn("evidence", "string", "All evidence, or without evidence that is circular for the targets."),
        dg.TableColumn("figure", "string"),
        dg.TableColumn("base", "float"),
        dg.TableColumn("without", "float"),
        dg.TableColumn("difference", "float", "Without the part minus with it."),
        dg.TableColumn("low", "float", "Of the interval of paired replicates."),
        dg.TableColumn("high", "float"),
        dg.TableColumn("reason", "string", "Why a figure or its interval is missing."),
    ]
)


def shown_figures(document: Mapping[str, Any]) -> list[str]:
    """Return the figures that people are shown, the protocol's primary one first."""
    return list(dict.fromkeys((document["primary_figure"], *_SHOWN)))


def shown_rows(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of an ablation's table as people read it: the greatest loss first, the primary figure on top."""
    figures = shown_figures(document)
    for part in document["parts"]:
        for evidence, found in part["figures"].items():
            for figure in figures:
                pair = found[figure]
                interval = pair["interval"] or {"lo": None, "hi": None}
                yield {
                    "left_out": part["name"],
                    "title": part["title"],
                    "evidence": evidence,
                    "figure": figure,
                    **{name: pair[name] for name in ("base", "without", "difference")},
                    "low": interval["lo"],
                    "high": interval["hi"],
                    "reason": pair["reason"],
                }


def build_ablation() -> dg.AssetsDefinition:
    """Return the asset of ablation tables."""

    @dg.asset(
        key=ABLATION_KEY,
        # Its runs are partitions of another kind: a backfill of both waits for those that it asks for itself.
        deps=[dg.AssetDep(RUN_KEY, partition_mapping=dg.AllPartitionMapping())],
        partitions_def=backtest_ablations,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        group_name="backtests",
        owners=OWNERS,
        kinds={"python"},
        description="What each family and signal of a spec's model is worth: the figures without it, beside the base.",
        code_version=code_version(["signaldelta_assets.backtests", "signaldelta_assets.scoring"]),
        pool="heavy_cpu",
        metadata={"dagster/column_schema": _COLUMNS, "persistence": "artifact store"},
    )
    def ablation(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        store = platform.artifacts()
        with platform.warehouse() as warehouse:
            plan = plan_ablation(warehouse, base_spec(warehouse, context.partition_key), "both", possible=True)
            document = ablation_table(
                warehouse,
                store,
                plan,
                progress=told(context.log.info),
            )
        data = canonical_json(document)
        table_hash = store.put_bytes(data, SUFFIX)
        records = [dg.TableRecord(row) for row in shown_rows(document)]
        return dg.MaterializeResult(
            data_version=dg.DataVersion(table_hash),
            metadata={
                "ablation": dg.MetadataValue.table(records, schema=_COLUMNS),
                "hypothesis_family": document["base"]["hypothesis_family"],
                "primary_figure": document["primary_figure"],
                "not_run": [part["name"] for part in document["not_run"]],
                TABLE_HASH: table_hash,
                "path": dg.MetadataValue.path(str(store.path(table_hash, SUFFIX))),
            },
        )

    return ablation


def add_partitions(instance: dg.DagsterInstance, base: str, specs: Sequence[str]) -> None:
    """Add the partitions of an ablation: its specs to the runs', its base to the ablations'."""
    instance.add_dynamic_partitions(str(backtest_specs.name), list(specs))
    instance.add_dynamic_partitions(str(backtest_ablations.name), [base])


def request_backfill(instance: dg.DagsterInstance, base: str, specs: Sequence[str], at: datetime) -> str:
    """Ask the daemon for the runs of `specs` and, after all of them, the table of `base`; return the backfill's id.

    What the UI and GraphQL do with `launchPartitionBackfill`; Dagster offers no public call for it in Python.
    """
    # mypy takes the annotation of a method of this named tuple for a third field.
    subset = AssetGraphSubset(  # type: ignore[call-arg]
        partitions_subsets_by_asset_key={
            RUN_KEY: backtest_specs.subset_with_partition_keys(specs),
            ABLATION_KEY: backtest_ablations.subset_with_partition_keys([base]),
        },
        non_partitioned_asset_keys=set(),
    )
    backfill_id = str(make_new_backfill_id())
    backfill = PartitionBackfill.from_asset_graph_subset(
        backfill_id=backfill_id,
        backfill_timestamp=at.timestamp(),
        tags={"signaldelta/ablation": base},
        dynamic_partitions_store=instance,
        asset_graph_subset=subset,
        title=f"ablation of {base[:12]}",
        description="A backtest per part left out, then the table of what each is worth.",
        run_config=None,
    )
    instance.add_backfill(backfill)
    return backfill_id


@dg.definitions
def defs() -> dg.Definitions:
    """The ablation asset."""
    return dg.Definitions(assets=[build_ablation()])
