"""Signal assets: one per domain (the families of one kind of evidence), by UTC day, below the raw assets it reads."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dagster as dg

from signaldelta_assets.catalogue import SignalDefinitions, load_definitions
from signaldelta_assets.contracts import SecurityContext
from signaldelta_assets.extractors import required_window, run_extractor
from signaldelta_assets.settings import load_settings
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import documents, raw, reference, signals
from signaldelta_assets.warehouse.stores.reading import Window
from signaldelta_assets.warehouse.stores.revisions import WriteCounts
from signaldelta_assets.warehouse.tables import iald_signals

from .describe import OWNERS, check_result, table_metadata
from .partitions import daily, day_window
from .platform import Platform, database_url
from .raw import keys_by_source
from .versions import own_versions_hook, partition_versions, range_version

# How far back a changed day is extracted again by itself: what is accepted on the evening before a long weekend is
# disseminated, and so collected, days later. Older days are backfilled on purpose.
RECENT = timedelta(days=7)
PROVENANCE_CHECK = "events_rest_on_records"

# Which asset holds the events of a family.
DOMAINS = {
    "F01": "insider",
    "F02": "ownership",
    "F03": "disclosure",
    "F04": "reporting",
    "F05": "earnings",
    "F06": "transactions",
    "F07": "governance",
    "F08": "market",
    "F09": "market",
    "F10": "market",
    "F14": "chain",
    "F15": "chain",
    "F16": "chain",
}

_PROVENANCE = """
SELECT (SELECT count(*) FROM (SELECT DISTINCT unnest(raw_record_ids) AS id FROM iald_signals
         WHERE signal_id = ANY(%(names)s) AND partition_date BETWEEN %(first)s AND %(last)s) used
        WHERE NOT EXISTS (SELECT FROM raw_records WHERE raw_record_id = used.id)) AS records_missing,
       count(*) FILTER (WHERE (event_time AT TIME ZONE 'UTC')::date <> partition_date) AS outside_partition,
       count(*) FILTER (WHERE jsonb_array_length(frontier) = 0) AS without_frontier
FROM iald_signals
WHERE signal_id = ANY(%(names)s) AND partition_date BETWEEN %(first)s AND %(last)s
"""


def changed_content() -> dg.AutomationCondition[Any]:
    """True where a parent's partition has come with another data version."""
    return dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())


def asset_key(domain: str) -> dg.AssetKey:
    """Return the key of a domain's events: ``signals/insider/events``."""
    return dg.AssetKey(["signals", domain, "events"])


def signals_by_domain(definitions: SignalDefinitions) -> dict[str, list[str]]:
    """Return the active signals of each domain, in order."""
    grouped: dict[str, list[str]] = {}
    for signal_id in definitions.active_signals():
        grouped.setdefault(DOMAINS[definitions.signal(signal_id).family], []).append(signal_id)
    return grouped


def extract_window(
    warehouse: Warehouse, definitions: SignalDefinitions, signal_ids: list[str], window: Window
) -> tuple[dict[str, WriteCounts], dict[str, dict[str, int]], dict[str, int]]:
    """Extract `signal_ids` over `window` and write their events; return what was written, the events, and why none.

    Records are read once per look-back for all signals that share their source types.
    """
    context = SecurityContext(reference.read_securities(warehouse))
    written: dict[str, WriteCounts] = {}
    reasons: dict[str, dict[str, int]] = {}
    events: dict[str, int] = {}
    needs = {name: required_window(name, window.start, window.end, definitions) for name in signal_ids}
    for sources in sorted({need.source_types for need in needs.values()}):
        sharing = [name for name in signal_ids if needs[name].source_types == sources]
        first = min(needs[name].start for name in sharing)
        records = raw.read_raw(warehouse, list(sources), first, window.end - timedelta(days=1))
        for name in sharing:
            made = run_extractor(name, records, context, definitions, window.start, window.end)
            written[name] = signals.write_events(warehouse, made.events, window, [name], definitions.hash)
            signals.write_counts(warehouse, "signal", name, window, made.counts)
            reasons[name] = dict(made.counts)
            events[name] = len(made.events)
    return written, reasons, events


def build_asset(
    definitions: SignalDefinitions, domain: str, signal_ids: list[str], first_day: str
) -> dg.AssetsDefinition:
    """Return the asset of one domain."""
    key = asset_key(domain)
    raw_keys = keys_by_source()
    sources = sorted({source for signal_id in signal_ids for source in definitions.signal(signal_id).source_types})
    parents: dict[dg.AssetKey, list[str]] = {}
    for source in sources:
        if source in raw_keys:
            parents.setdefault(raw_keys[source], []).append(source)

    def versions(warehouse: Warehouse, keys: list[str]) -> dict[str, str]:
        return partition_versions(warehouse, "signals", signal_ids, keys, min(keys), max(keys), definitions.hash)

    def versions_of(keys: list[str]) -> dict[str, str]:
        with Warehouse(database_url(load_settings())) as warehouse:
            return versions(warehouse, keys)

    def parent_versions(of: list[str]) -> Callable[[list[str]], dict[str, str]]:
        def versions_of_parent(keys: list[str]) -> dict[str, str]:
            with Warehouse(database_url(load_settings())) as warehouse:
                return partition_versions(warehouse, "raw", of, keys, min(keys), max(keys))

        return versions_of_parent

    lookback = max(int(definitions.signal(signal_id).params.get("lookback_days", 0)) for signal_id in signal_ids)

    @dg.asset(
        key=key,
        # The partition of the day itself is what a change is followed by; the look-back is in the metadata, since
        # a partition with a hundred parents or more no longer sees their data versions.
        deps=sorted(parents),
        partitions_def=daily(first_day),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="signals",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description=f"Signal events of {domain}: "
        + ", ".join(f"{signal_id} {definitions.signal(signal_id).name}" for signal_id in signal_ids)
        + ".",
        code_version=hash_document({name: definitions.document["signals"][name] for name in signal_ids}),
        automation_condition=changed_content().since_last_handled()
        & dg.AutomationCondition.in_latest_time_window(lookback_delta=RECENT)
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress(),
        metadata={
            **table_metadata(iald_signals),
            "signals": signal_ids,
            "source_types": sources,
            "lookback_days": lookback,
            "persistence": "postgres",
        },
        check_specs=[
            dg.AssetCheckSpec(
                PROVENANCE_CHECK,
                asset=key,
                blocking=True,
                description="Every event names records we hold, stands in its trigger's partition, and has a frontier.",
            )
        ],
        hooks={own_versions_hook(key, versions_of, {parent: parent_versions(of) for parent, of in parents.items()})},
    )
    def extract(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        days = day_window(context)
        with platform.warehouse() as warehouse:
            documents.put_document(warehouse, "signal_definitions", "active", definitions.active)
            window = Window(days.first, days.last + timedelta(days=1))
            written, reasons, events = extract_window(warehouse, definitions, signal_ids, window)
            found = versions(warehouse, list(context.partition_keys))
            with warehouse.read() as connection:
                row = connection.execute(
                    _PROVENANCE, {"names": signal_ids, "first": days.first, "last": days.last}
                ).fetchone()
        assert row is not None
        return dg.MaterializeResult(
            data_version=range_version(found),
            metadata={
                "dagster/row_count": sum(events.values()),
                "events": events,
                "written": {name: counts.written for name, counts in written.items()},
                "withdrawn": sum(counts.withdrawn for counts in written.values()),
                "no_event_because": reasons,
                "signal_definitions_hash": definitions.hash,
            },
            check_results=[check_result(PROVENANCE_CHECK, key, {name: int(value) for name, value in row.items()})],
        )

    return extract


@dg.definitions
def defs() -> dg.Definitions:
    """One asset per domain that has an active signal."""
    definitions = load_definitions()
    first_day = load_settings().first_day
    assets = [
        build_asset(definitions, domain, signal_ids, first_day)
        for domain, signal_ids in sorted(signals_by_domain(definitions).items())
    ]
    # Dagster's own sensor for such conditions is stopped unless somebody starts it.
    sensor = dg.AutomationConditionSensorDefinition(
        "follow_changed_days",
        target=dg.AssetSelection.groups("signals"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description="Extracts a recent day again when what was collected for it has changed.",
    )
    return dg.Definitions(assets=assets, sensors=[sensor])
