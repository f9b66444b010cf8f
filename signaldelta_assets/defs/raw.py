"""Raw assets: one per registered collector, by UTC day, with its schedule and its blocking checks."""

import dagster as dg

from signaldelta_assets.collectors import Collector, Window, registered_collectors, run_collector
from signaldelta_assets.settings import load_settings
from signaldelta_assets.warehouse import Warehouse, open_warehouse
from signaldelta_assets.warehouse.tables import raw_records

from .describe import OWNERS, check_result, table_metadata, told
from .partitions import RANGE_END, RANGE_START, DayWindow, daily, day_window
from .platform import Platform
from .versions import own_versions_hook, partition_versions, range_version

# The longest gap between an acceptance and its dissemination: a Thursday evening before a holiday and a weekend.
RECENT_DAYS = 6
INTEGRITY_CHECK = "records_are_sound"

_INTEGRITY = """
SELECT count(*) FILTER (WHERE event_time IS NOT NULL
                          AND (event_time AT TIME ZONE 'UTC')::date <> partition_date) AS outside_partition,
       count(*) FILTER (WHERE observed_time > ingest_time + interval '5 minutes'
                          AND NOT %(fixed_clock)s) AS observed_after_ingest,
       count(*) FILTER (WHERE collection_mode = 'live' AND event_time > observed_time) AS live_before_event,
       count(*) - count(DISTINCT (source_type, entity_id, natural_key, payload_hash)) AS duplicates
FROM raw_records
WHERE source_type = ANY(%(sources)s) AND partition_date BETWEEN %(first)s AND %(last)s
"""


def asset_key(collector_name: str) -> dg.AssetKey:
    """Return the key of a collector's asset: ``raw/edgar/submissions`` for ``edgar/submissions``."""
    return dg.AssetKey(["raw", *collector_name.split("/")])


def keys_by_source() -> dict[str, dg.AssetKey]:
    """Return which raw asset holds each source type."""
    return {
        source: asset_key(name)
        for name, collector in registered_collectors().items()
        for source in collector.source_types
    }


def raw_versions(warehouse: Warehouse, collector_name: str, keys: list[str]) -> dict[str, str]:
    """Return the data version of each of these days of a collector's asset."""
    sources = list(registered_collectors()[collector_name].source_types)
    return partition_versions(warehouse, "raw", sources, keys, min(keys), max(keys))


def _integrity(warehouse: Warehouse, collector: Collector, window: DayWindow, fixed_clock: bool) -> dict[str, int]:
    parameters = {
        "sources": list(collector.source_types),
        "first": window.first,
        "last": window.last,
        "fixed_clock": fixed_clock,
    }
    with warehouse.read_pool().connection() as connection:
        row = connection.execute(_INTEGRITY, parameters).fetchone()
    assert row is not None
    return {name: int(value) for name, value in row.items()}


def build_asset(collector: Collector, first_day: str) -> dg.AssetsDefinition:
    """Return the asset of one collector."""
    key = asset_key(collector.name)
    sources = list(collector.source_types)

    def versions(warehouse: Warehouse, keys: list[str]) -> dict[str, str]:
        return raw_versions(warehouse, collector.name, keys)

    def versions_of(keys: list[str]) -> dict[str, str]:
        with open_warehouse(load_settings()) as warehouse:
            return versions(warehouse, keys)

    @dg.asset(
        key=key,
        deps=[asset_key(name) for name in collector.after],
        partitions_def=daily(first_day),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="raw",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description=collector.__doc__,
        code_version=collector.version,
        pool=f"{collector.upstream}_http",
        metadata={
            **table_metadata(raw_records),
            "source_types": sources,
            "schema_version": collector.schema_version,
            "schedule": str(collector.schedule),
            "persistence": "postgres",
        },
        check_specs=[
            dg.AssetCheckSpec(
                INTEGRITY_CHECK,
                asset=key,
                blocking=True,
                description="Records stand in the partition of their event, once each; no time contradicts another.",
            )
        ],
        hooks={own_versions_hook(key, versions_of)},
    )
    def collect(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        window = day_window(context)
        settings = platform.settings()
        with platform.warehouse() as warehouse:
            report = run_collector(
                collector,
                warehouse,
                platform.archive(),
                settings,
                Window(window.first, window.last),
                dagster_run_id=context.run_id,
                progress=told(context.log.info),
            )
            found = versions(warehouse, list(context.partition_keys))
            failures = _integrity(warehouse, collector, window, settings.fixed_clock is not None)
        return dg.MaterializeResult(
            data_version=range_version(found),
            metadata={
                "dagster/row_count": report.records_written + report.records_known,
                "rows_written": report.records_written,
                "rows_known": report.records_known,
                "documents_read": report.counts.get("documents_read", 0),
                "quarantined": report.records_quarantined,
                "counts": dict(report.counts),
                "collector_run_id": report.collector_run_id,
            },
            check_results=[check_result(INTEGRITY_CHECK, key, failures)],
        )

    return collect


def build_schedule(collector: Collector, asset: dg.AssetsDefinition) -> list[dg.ScheduleDefinition]:
    """Return the schedule of a collector: it fills the last days, one range in one run.

    A filing accepted on the evening before a long weekend belongs to that day's partition and is disseminated days
    later; and a run that failed is made good by the next. What is known already costs no request.
    """
    job = dg.define_asset_job(
        "collect_" + collector.name.replace("/", "_"),
        selection=dg.AssetSelection.assets(*asset.keys),
        description=f"Collect {collector.name} for the days chosen.",
    )

    @dg.schedule(
        name=job.name + "_schedule",
        job=job,
        cron_schedule=collector.schedule.cron,
        execution_timezone=collector.schedule.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{collector.name}, {collector.schedule}: the last {RECENT_DAYS} days in one run.",
    )
    def run(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        partitions = asset.partitions_def
        assert partitions is not None
        keys = list(partitions.get_partition_keys(current_time=context.scheduled_execution_time))[-RECENT_DAYS:]
        return dg.RunRequest(
            run_key=context.scheduled_execution_time.isoformat(), tags={RANGE_START: keys[0], RANGE_END: keys[-1]}
        )

    return [run]


@dg.definitions
def defs() -> dg.Definitions:
    """One asset, job and schedule per registered collector."""
    first_day = load_settings().first_day
    assets = {}
    schedules: list[dg.ScheduleDefinition] = []
    for name, collector in sorted(registered_collectors().items()):
        assets[name] = build_asset(collector, first_day)
        schedules += build_schedule(collector, assets[name])
    return dg.Definitions(assets=list(assets.values()), schedules=schedules)
