"""Data versions per partition: content hashes from the warehouse, for single partitions and for batched ranges.

A run over a range writes one data version on all of its partitions (Dagster keeps one per output). What is here
reports partitions once more with their own, so that staleness follows content, day by day: every one of them by a hook
(`own_versions_hook`), or only those with content, where the run's version is that of nothing (`report_own_versions`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import dagster as dg
from dagster import AssetKey, AssetMaterialization, DagsterEvent, DagsterEventType
from dagster._core.events import DagsterEventBatchMetadata, StepMaterializationData

from signaldelta_assets.errors import SignalDeltaError
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
    "labels": """
        SELECT date_trunc('quarter', event_time AT TIME ZONE 'UTC')::date::text AS key,
               string_agg(content_hash, ',' ORDER BY content_hash) AS content
        FROM (SELECT DISTINCT ON (label_id) label_id, event_time, content_hash, active FROM labeled_events
              WHERE event_type = ANY(%(names)s) AND definitions_hash = ANY(%(rules)s)
                AND event_time >= %(first)s::date AND event_time < %(last)s::date + 1
              ORDER BY label_id, revision DESC) latest
        WHERE active GROUP BY 1""",
}
_SIGNALS = """
    SELECT signal_id, partition_date::text AS key, string_agg(content_hash, ',' ORDER BY content_hash) AS content
    FROM (SELECT DISTINCT ON (event_id) event_id, signal_id, partition_date, content_hash, active FROM iald_signals
          WHERE signal_id = ANY(%(names)s) AND definitions_hash = ANY(%(rules)s)
            AND partition_date BETWEEN %(first)s AND %(last)s
          ORDER BY event_id, revision DESC) latest
    WHERE active GROUP BY 1, 2"""


def partition_versions(
    warehouse: Warehouse,
    layer: str,
    names: list[str],
    keys: list[str],
    first: str,
    last: str,
    rules: Collection[str] = (),
) -> dict[str, str]:
    """Return the content hash of each partition in `keys`; one without rows has the hash of nothing.

    layer: raw, or labels; rules: the hashes of the labels' definitions.
    """
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            _DAILY[layer], {"names": names, "first": first, "last": last, "rules": sorted(rules)}
        ).fetchall()
    found = {row["key"]: sha256_hex(row["content"].encode()) for row in rows}
    return {key: found.get(key, EMPTY) for key in keys}


def signal_versions(warehouse: Warehouse, rules: Mapping[str, str], keys: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the content hash of each day of `keys` for each signal; one without events has the hash of nothing.

    rules: the hash of each signal's definition. One statement for all signals.
    """
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            _SIGNALS,
            {"names": list(rules), "rules": sorted(rules.values()), "first": min(keys), "last": max(keys)},
        ).fetchall()
    found = {name: dict.fromkeys(keys, EMPTY) for name in rules}
    for row in rows:
        if row["key"] in found[row["signal_id"]]:
            found[row["signal_id"]][row["key"]] = sha256_hex(row["content"].encode())
    return found


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
        again = [
            _restated(event, str(event.partition), {tag: found[str(event.partition)] for tag, found in columns.items()})
            for event in events
        ]
        _report(context.instance, context.run_id, context.job_name, context.step_key, again)

    return own_versions


def report_own_versions(
    context: dg.AssetExecutionContext,
    versions: Mapping[AssetKey, Mapping[str, str]],
    inputs: Mapping[AssetKey, Mapping[AssetKey, Mapping[str, str]]],
) -> None:
    """Report the partitions with content of this run's assets once more, each with its own data version.

    To be called in the asset's body, after the results of a range were yielded with the version `EMPTY`: Dagster has
    then stored an event of that version for each partition, and those without content are right already. A long range
    of many sparse assets thus costs hardly more than the events Dagster writes anyhow. In the body and not in a hook,
    since a hook that fails would leave days with content looking empty under a run that succeeded.

    versions: by asset, of every partition; inputs: by asset and parent, of the partitions with content.
    """
    again = []
    for key, of_partitions in versions.items():
        full = [partition for partition, version in of_partitions.items() if version != EMPTY]
        if not full:
            continue
        # Of all partitions of the batch the tags are the same: code version and the pointers to the inputs.
        records = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, asset_partitions=full[:1]), limit=1
        ).records
        event = records[0].asset_materialization if records and records[0].run_id == context.run.run_id else None
        if event is None:
            raise SignalDeltaError(f"{key.to_user_string()}: field 'partition': expected a materialization of this run")
        for partition in full:
            own = {DATA_VERSION_TAG: of_partitions[partition]}
            own |= {INPUT_VERSION_TAG + parent.to_user_string(): found[partition]
                    for parent, found in inputs[key].items()}  # fmt: skip
            again.append(_restated(event, partition, own))
    step = context.op_execution_context.get_step_execution_context().step.key
    _report(context.instance, context.run.run_id, context.run.job_name, step, again)


def _restated(event: AssetMaterialization, partition: str, own: Mapping[str, str]) -> AssetMaterialization:
    return AssetMaterialization(
        asset_key=event.asset_key,
        partition=partition,
        description="own data version of one partition of a batched range",
        metadata=event.metadata,
        tags={**(event.tags or {}), **own},
    )


def _report(
    instance: dg.DagsterInstance, run_id: str, job_name: str, step_key: str, events: Sequence[AssetMaterialization]
) -> None:
    # In one batch, and as events of this run: the public call for events without a run commits one by one.
    for index, materialization in enumerate(events):
        instance.report_dagster_event(
            DagsterEvent(
                event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
                job_name=job_name,
                step_key=step_key,
                event_specific_data=StepMaterializationData(materialization),
            ),
            run_id=run_id,
            batch_metadata=DagsterEventBatchMetadata(f"{run_id}-{step_key}-own", index == len(events) - 1),
        )
