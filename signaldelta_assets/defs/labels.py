"""Label assets: ground truth per event type and quarter, and the frozen dataset over them."""

from datetime import timedelta

import dagster as dg

from signaldelta_assets.catalogue import SignalDefinitions, load_definitions
from signaldelta_assets.contracts import SecurityContext
from signaldelta_assets.labels import required_label_window, run_classifier
from signaldelta_assets.settings import load_settings
from signaldelta_assets.versioning import code_version
from signaldelta_assets.warehouse import IntegrityError, Warehouse
from signaldelta_assets.warehouse.stores import documents, labels, raw, reference, signals
from signaldelta_assets.warehouse.stores.reading import Window
from signaldelta_assets.warehouse.tables import labeled_event_datasets, labeled_events

from .describe import OWNERS, check_result, table_metadata
from .partitions import QUARTERS_IN_SNAPSHOT, Frozen, day_window, quarterly, trailing_window
from .platform import Platform
from .raw import keys_by_source
from .versions import partition_versions, range_version

AUTHORITY_CHECK = "labels_have_authority"
BALANCE_CHECK = "enough_events_per_type"
INTACT_CHECK = "members_are_intact"

DATASET_KEY = dg.AssetKey(["labels", "dataset"])

# The confidence tiers of the requirement, and the lower ones that a weaker rule may take.
_AUTHORITY = """
SELECT (SELECT count(*) FROM (SELECT DISTINCT unnest(raw_record_ids) AS id FROM labeled_events
         WHERE event_type = %(type)s AND event_time >= %(first)s::date AND event_time < %(last)s::date + 1) used
        WHERE NOT EXISTS (SELECT FROM raw_records WHERE raw_record_id = used.id)) AS records_missing,
       count(*) FILTER (WHERE known_at < event_time AND time_precision = 'second') AS known_before_event,
       count(*) FILTER (WHERE source_url = '') AS without_source
FROM labeled_events
WHERE event_type = %(type)s AND event_time >= %(first)s::date AND event_time < %(last)s::date + 1
"""


def asset_key(event_type: str) -> dg.AssetKey:
    """Return the key of a label asset: ``labels/mna_announcement``."""
    return dg.AssetKey(["labels", event_type.lower()])


def build_asset(definitions: SignalDefinitions, event_type: str, first_day: str) -> dg.AssetsDefinition:
    """Return the asset of one event type."""
    key, rule = asset_key(event_type), definitions.label_hash(event_type)
    raw_keys = keys_by_source()

    @dg.asset(
        key=key,
        deps=sorted({raw_keys[source] for source in definitions.label(event_type).source_types if source in raw_keys}),
        partitions_def=quarterly(first_day),
        # A run per quarter: a batched range would give all its quarters the provenance of one.
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        group_name="labels",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description=f"Labeled events of type {event_type} by quarter of their event time (signals.md 5).",
        code_version=definitions.label_hash(event_type),
        metadata={
            **table_metadata(labeled_events),
            "event_type": event_type,
            "source_types": list(definitions.label(event_type).source_types),
            "persistence": "postgres",
        },
        check_specs=[
            dg.AssetCheckSpec(
                AUTHORITY_CHECK,
                asset=key,
                blocking=True,
                description="Every label names records we hold and a source, and was not known before it happened.",
            )
        ],
    )
    def classify(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        days = day_window(context)
        window = Window(days.first, days.last + timedelta(days=1))
        with platform.warehouse() as warehouse:
            documents.put_document(warehouse, "signal_definitions", "active", definitions.active)
            needed = required_label_window(event_type, window.start, window.end, definitions)
            records = raw.read_raw(warehouse, list(needed.source_types), needed.start, needed.end - timedelta(days=1))
            securities = SecurityContext(reference.read_securities(warehouse))
            made = run_classifier(event_type, records, securities, definitions, window.start, window.end)
            written = labels.write_labels(warehouse, made.events, window, [event_type], rule)
            signals.write_counts(warehouse, "label", event_type, window, made.counts)
            found = partition_versions(
                warehouse,
                "labels",
                [event_type],
                list(context.partition_keys),
                days.first.isoformat(),
                days.last.isoformat(),
                [rule],
            )
            with warehouse.read_pool().connection() as connection:
                row = connection.execute(
                    _AUTHORITY, {"type": event_type, "first": days.first, "last": days.last}
                ).fetchone()
        assert row is not None
        return dg.MaterializeResult(
            data_version=range_version(found),
            metadata={
                "dagster/row_count": len(made.events),
                "written": written.written,
                "withdrawn": written.withdrawn,
                "rejected_because": dict(made.counts),
                "signal_definitions_hash": definitions.hash,
            },
            check_results=[check_result(AUTHORITY_CHECK, key, {name: int(value) for name, value in row.items()})],
        )

    return classify


def build_dataset(definitions: SignalDefinitions, event_types: list[str], first_day: str) -> dg.AssetsDefinition:
    """Return the asset of the frozen dataset: the labels of the last quarters up to the partition's."""
    quarters = quarterly(first_day)
    looking_back = dg.TimeWindowPartitionMapping(
        start_offset=1 - QUARTERS_IN_SNAPSHOT, end_offset=0, allow_nonexistent_upstream_partitions=True
    )

    @dg.asset(
        key=DATASET_KEY,
        deps=[dg.AssetDep(asset_key(event_type), partition_mapping=looking_back) for event_type in event_types],
        partitions_def=quarters,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        group_name="labels",
        owners=OWNERS,
        kinds={"postgres"},
        description=f"Immutable, hashed version of the ground truth over {QUARTERS_IN_SNAPSHOT} quarters.",
        # Which labels there are, and by which rules, is followed through the labels' own data versions.
        code_version=code_version(["signaldelta_assets.warehouse.stores.labels"]),
        metadata={**table_metadata(labeled_event_datasets), "persistence": "postgres"},
        check_specs=[
            dg.AssetCheckSpec(
                BALANCE_CHECK,
                asset=DATASET_KEY,
                description="Warns of event types with fewer than 30 events: insufficient for evaluation.",
            ),
            dg.AssetCheckSpec(
                INTACT_CHECK,
                asset=DATASET_KEY,
                blocking=True,
                description="The members and their labels, read back, are by every hash those that were frozen.",
            ),
        ],
    )
    def dataset(context: dg.AssetExecutionContext, platform: Platform, config: Frozen) -> dg.MaterializeResult:
        window = trailing_window(context, config.quarters)
        with platform.warehouse() as warehouse:
            frozen = labels.freeze_dataset(
                warehouse,
                as_of=warehouse.quiesce(),
                window=window,
                definitions_hash=definitions.hash,
                include_interpolated=config.include_interpolated,
            )
            intact = check_intact(warehouse, frozen.dataset_id)
        distribution = dict(frozen.event_type_distribution)
        thin = {name: distribution.get(name, 0) for name in event_types if distribution.get(name, 0) < 30}
        return dg.MaterializeResult(
            data_version=dg.DataVersion(frozen.dataset_hash),
            metadata={
                "dagster/row_count": frozen.event_count,
                "dataset_id": frozen.dataset_id,
                "dataset_hash": frozen.dataset_hash,
                "version": frozen.version,
                "events_per_type": distribution,
                "quarters": config.quarters,
                "interpolated_left_out": frozen.interpolated_left_out,
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=BALANCE_CHECK,
                    asset_key=DATASET_KEY,
                    passed=not thin,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata=dict(thin),
                ),
                intact,
            ],
        )

    return dataset


def check_intact(warehouse: Warehouse, dataset_id: str) -> dg.AssetCheckResult:
    """Return what reading a frozen dataset back shows: failed, with the error, where a member is not what it was."""
    error = ""
    try:
        labels.verify_dataset(warehouse, dataset_id)
    except IntegrityError as found:
        error = str(found)
    return dg.AssetCheckResult(
        check_name=INTACT_CHECK, asset_key=DATASET_KEY, passed=not error, metadata={"error": error} if error else {}
    )


@dg.definitions
def defs() -> dg.Definitions:
    """One asset per active label type, and the dataset."""
    definitions = load_definitions()
    first_day = load_settings().first_day
    event_types = definitions.active_labels()
    assets = [build_asset(definitions, event_type, first_day) for event_type in event_types]
    return dg.Definitions(assets=[*assets, build_dataset(definitions, event_types, first_day)])
