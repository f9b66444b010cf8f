"""Data versions per partition: content hashes from the warehouse, for single partitions and for batched ranges.

A run over a range writes one data version on all of its partitions (Dagster keeps one per output). The hook here
reports each partition once more with its own, so that staleness follows content, day by day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import dagster as dg
from dagster import AssetKey, AssetMaterialization, DagsterEvent, DagsterEventType
from dagster._core.events import DagsterEventBatchMetadata, StepMaterializationData

from signaldelta_assets.versioning import hash_document, sha256_hex
from signaldelta_assets.warehouse import Warehouse

DATA_VERSION_TAG = "dagster/data_version"
INPUT_VERSION_TAG = "dagster/input_data_version/"
EMPTY = sha256_hex(b"")

_DAILY = {
    "raw": """
        SELECT partition_date::text AS key, string_agg(raw_record_id, ',' ORDER BY raw_record_id) AS content
        FROM raw_records WHERE source_type = ANY(%(names)s) AND partition_date BETWEEN %(first)s AND %(last)s
        GROUP BY 1""",
    "signals": """
        SELECT partition_date::text AS key, string_agg(content_hash, ',' ORDER BY content_hash) AS content
        FROM (SELECT DISTINCT ON (event_id) event_id, partition_date, content_hash, active FROM iald_signals
              WHERE signal_id = ANY(%(names)s) AND partition_date BETWEEN %(first)s AND %(last)s
                AND definitions_hash = %(definitions)s
              ORDER BY event_id, revision DESC) latest
        WHERE active GROUP BY 1""",
    "labels": """
        SELECT date_trunc('quarter', event_time AT TIME ZONE 'UTC')::date::text AS key,
               string_agg(content_hash, ',' ORDER BY content_hash) AS content
        FROM (SELECT DISTINCT ON (label_id) label_id, event_time, content_hash, active FROM labeled_events
              WHERE event_type = ANY(%(names)s) AND definitions_hash = %(definitions)s
                AND event_time >= %(first)s::date AND event_time < %(last)s::date + 1
              ORDER BY label_id, revision DESC) latest
        WHERE active GROUP BY 1""",
}


def partition_versions(
    warehouse: Warehouse, layer: str, names: list[str], keys: list[str], first: str, last: str, definitions: str = ""
) -> dict[str, str]:
    """Return the content hash of each partition in `keys`; one without rows has the hash of nothing."""
    with warehouse.read() as connection:
        rows = connection.execute(
            _DAILY[layer], {"names": names, "first": first, "last": last, "definitions": definitions}
        ).fetchall()
    found = {row["key"]: sha256_hex(row["content"].encode()) for row in rows}
    return {key: found.get(key, EMPTY) for key in keys}


def range_version(versions: Mapping[str, str]) -> dg.DataVersion:
    """Return the data version of a run's output: of its one partition, or of the list of them."""
    if len(versions) == 1:
        return dg.DataVersion(next(iter(versions.values())))
    return dg.DataVersion(hash_document(dict(sorted(versions.items()))))


# Maps partition keys to content hashes.
VersionsOf = Callable[[list[str]], Mapping[str, str]]


def own_versions_hook(
    asset_key: AssetKey, versions_of: VersionsOf, inputs: Mapping[AssetKey, VersionsOf] | None = None
) -> dg.HookDefinition:
    """Return a hook that gives every partition of a batched range its own data version, and those of its inputs.

    `versions_of` is asked after the run's step has succeeded; `inputs` are the parents with the same partitions.
    Code version and the other provenance stay: without them Dagster could not tell what is stale.
    """

    @dg.success_hook(name="own_versions__" + "__".join(asset_key.path))
    def own_versions(context: dg.HookContext) -> None:
        records = context.instance.get_records_for_run(
            context.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION
        ).records
        events = [
            record.asset_materialization
            for record in records
            if record.asset_materialization is not None
            and record.asset_materialization.asset_key == asset_key
            and record.asset_materialization.partition is not None
        ]
        if len(events) < 2:
            return
        keys = [str(event.partition) for event in events]
        columns = {DATA_VERSION_TAG: versions_of(keys)}
        for key, input_versions in (inputs or {}).items():
            columns[INPUT_VERSION_TAG + key.to_user_string()] = input_versions(keys)
        for index, event in enumerate(events):
            own = {tag: versions[str(event.partition)] for tag, versions in columns.items()}
            materialization = AssetMaterialization(
                asset_key=asset_key,
                partition=event.partition,
                description="own data version of one partition of a batched range",
                metadata=event.metadata,
                tags={**(event.tags or {}), **own},
            )
            # In one batch, and as an event of this run: the public call for events without a run commits one by one.
            context.instance.report_dagster_event(
                DagsterEvent(
                    event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
                    job_name=context.job_name,
                    step_key=context.step_key,
                    event_specific_data=StepMaterializationData(materialization),
                ),
                run_id=context.run_id,
                batch_metadata=DagsterEventBatchMetadata(
                    f"{context.run_id}-{asset_key.to_user_string()}", index == len(events) - 1
                ),
            )

    return own_versions
