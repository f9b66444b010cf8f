"""The snapshot asset: everything a backtest may read, frozen per quarter over the quarters before it."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pandas as pd

from signaldelta_assets.catalogue import SignalDefinitions, load_definitions
from signaldelta_assets.jobs import SNAPSHOT_ASSET
from signaldelta_assets.settings import load_settings
from signaldelta_assets.snapshots import Snapshot, SnapshotManifestError, freeze_snapshot, open_snapshot
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import code_version, hash_document
from signaldelta_assets.warehouse import ArtifactStore, IntegrityError, Warehouse
from signaldelta_assets.warehouse.stores import documents, labels
from signaldelta_assets.warehouse.stores.reading import Window
from signaldelta_assets.warehouse.tables import backtest_snapshots, iald_signals

from .describe import OWNERS, check_result, table_metadata
from .labels import DATASET_KEY
from .partitions import QUARTERS_IN_SNAPSHOT, Frozen, day_window, quarterly, trailing_window
from .platform import Platform
from .signals import asset_keys
from .versions import EMPTY, signal_versions

EVIDENCE_KEY = dg.AssetKey(["snapshots", "evidence"])
SNAPSHOT_KEY = dg.AssetKey(list(SNAPSHOT_ASSET))
# Ten half-lives of most signals, four of the slowest: what is older weighs next to nothing at the first moment.
EVIDENCE_REACH = timedelta(days=365)
QUARTERS_OF_REACH = 4
FROZEN_CHECK = "parts_are_intact"


def build_evidence(definitions: SignalDefinitions, first_day: str) -> dg.AssetsDefinition:
    """Return the asset that sums up a quarter's signal events by one content hash.

    It stands between a snapshot of several quarters and the days below it: Dagster silently ignores the data versions
    of a parent of which a partition has a hundred partitions or more. It counts per parent, so a quarter, at most 92
    days, may stand below any number of signals. Rules and signals come in through these parents: the code version is
    not that of the definitions, or a change of one signal would make every quarter stale before an event has changed.
    """

    @dg.asset(
        key=EVIDENCE_KEY,
        deps=sorted(asset_keys(definitions).values()),
        partitions_def=quarterly(first_day),
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        group_name="snapshots",
        owners=OWNERS,
        kinds={"postgres"},
        description="The content hash of a quarter's signal events: what a snapshot of that quarter would freeze.",
        code_version=code_version(["signaldelta_assets.defs.versions"]),
        metadata={**table_metadata(iald_signals), "persistence": "postgres"},
    )
    def evidence(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        window = day_window(context)
        keys = [day.isoformat() for day in window.days]
        with platform.warehouse() as warehouse:
            versions = signal_versions(warehouse, definitions.signal_hashes(), keys)
        days = {key for found in versions.values() for key, version in found.items() if version != EMPTY}
        return dg.MaterializeResult(
            data_version=dg.DataVersion(hash_document(versions)),
            metadata={"days_with_events": len(days), "days": len(keys)},
        )

    return evidence


def check_frozen(store: ArtifactStore, manifest: Mapping[str, Any], basis: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Return what reading the snapshot back shows: failed, with the error, where a part is not what was frozen.

    basis: the latency model document by which no event may be available after the snapshot's as_of.
    """
    try:
        opened = open_snapshot(store, manifest)
        frontier, events = opened.table("signal_frontier"), opened.table("signal_events")
    except (IntegrityError, SnapshotManifestError) as error:
        return dg.AssetCheckResult(
            check_name=FROZEN_CHECK, asset_key=SNAPSHOT_KEY, passed=False, metadata={"error": str(error)}
        )
    available = LatencyModel.from_dict(basis).available_over_frontier(frontier, event="event_id")
    as_of = pd.Timestamp(opened.manifest.as_of)
    future = int((events["event_time"].to_pandas() > as_of).sum())
    result = check_result(FROZEN_CHECK, SNAPSHOT_KEY, {"damaged_parts": 0, "events_after_as_of": future})
    # Not wrong by itself: what was accepted in the evening is disseminated in the morning, and no run uses it earlier.
    waiting = int((available > as_of).sum())
    return result._replace(metadata={**result.metadata, "not_yet_available_at_as_of": dg.IntMetadataValue(waiting)})


def freeze_window(
    warehouse: Warehouse,
    store: ArtifactStore,
    definitions: SignalDefinitions,
    window: Window,
    *,
    include_interpolated: bool,
) -> tuple[labels.Dataset, Snapshot]:
    """Freeze the labels of a window, and its evidence with that of the reach before it, as of now."""
    # The dataset of the same moment: freezing what is unchanged returns the version that exists.
    as_of = warehouse.quiesce()
    dataset = labels.freeze_dataset(
        warehouse,
        as_of=as_of,
        window=window,
        definitions_hash=definitions.hash,
        include_interpolated=include_interpolated,
    )
    frozen = freeze_snapshot(
        warehouse,
        store,
        as_of=as_of,
        window=window,
        definitions_hash=definitions.hash,
        dataset=dataset,
        reach=EVIDENCE_REACH,
    )
    return dataset, frozen


def freeze_days(
    warehouse: Warehouse, store: ArtifactStore, first: date, last: date, *, include_interpolated: bool
) -> tuple[labels.Dataset, Snapshot]:
    """Freeze any days, both included, by the definitions of now, which are stored with them."""
    definitions = load_definitions()
    documents.put_document(warehouse, "signal_definitions", "active", definitions.active)
    window = Window(first, last + timedelta(days=1))
    return freeze_window(warehouse, store, definitions, window, include_interpolated=include_interpolated)


def build_snapshot(definitions: SignalDefinitions, first_day: str) -> dg.AssetsDefinition:
    """Return the asset of the frozen snapshot."""
    # The quarters of the window and those of the reach before it.
    looking_back = dg.TimeWindowPartitionMapping(
        start_offset=1 - QUARTERS_IN_SNAPSHOT - QUARTERS_OF_REACH,
        end_offset=0,
        allow_nonexistent_upstream_partitions=True,
    )

    @dg.asset(
        key=SNAPSHOT_KEY,
        deps=[dg.AssetDep(EVIDENCE_KEY, partition_mapping=looking_back), DATASET_KEY],
        partitions_def=quarterly(first_day),
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        group_name="snapshots",
        owners=OWNERS,
        kinds={"parquet", "postgres"},
        description=f"Content-addressed Parquet parts over {QUARTERS_IN_SNAPSHOT} quarters, and their manifest.",
        # The rules are followed through the evidence and the dataset, what else the definitions say is not.
        code_version=code_version(["signaldelta_assets.snapshots"], {"definitions": definitions.frame_hash}),
        pool="heavy_cpu",
        metadata={**table_metadata(backtest_snapshots), "persistence": "postgres and artifact store"},
        check_specs=[
            dg.AssetCheckSpec(
                FROZEN_CHECK,
                asset=SNAPSHOT_KEY,
                blocking=True,
                description="Every part, read back, has the bytes its manifest names; no event is later than as_of.",
            )
        ],
    )
    def snapshot(context: dg.AssetExecutionContext, platform: Platform, config: Frozen) -> dg.MaterializeResult:
        window = trailing_window(context, config.quarters)
        store = platform.artifacts()
        with platform.warehouse() as warehouse:
            dataset, frozen = freeze_window(
                warehouse, store, definitions, window, include_interpolated=config.include_interpolated
            )
        parts = frozen.manifest["parts"]
        return dg.MaterializeResult(
            data_version=dg.DataVersion(frozen.snapshot_hash),
            metadata={
                "dagster/row_count": sum(part["rows"] for part in parts),
                "snapshot_id": frozen.snapshot_id,
                "snapshot_hash": frozen.snapshot_hash,
                "dataset_hash": dataset.dataset_hash,
                "quarters": config.quarters,
                "parts": parts,
            },
            check_results=[check_frozen(store, frozen.manifest, definitions.availability_basis)],
        )

    return snapshot


@dg.definitions
def defs() -> dg.Definitions:
    """The quarter's evidence and the snapshot."""
    definitions, first_day = load_definitions(), load_settings().first_day
    return dg.Definitions(assets=[build_evidence(definitions, first_day), build_snapshot(definitions, first_day)])
