"""Signal assets: one per signal, by UTC day, below the raw assets it reads; those of a domain share an operation.

A domain is the families of one kind of evidence. Each signal has its own code version, the hash of its rule, so that
a change of one signal makes that signal's partitions stale and no other's.
"""

import inspect
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from signaldelta_assets.catalogue import SignalDefinition, SignalDefinitions, load_definitions
from signaldelta_assets.contracts import SecurityContext
from signaldelta_assets.extractors import get, required_window, run_extractor
from signaldelta_assets.settings import load_settings
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import documents, raw, reference, signals
from signaldelta_assets.warehouse.stores.reading import Window
from signaldelta_assets.warehouse.stores.revisions import WriteCounts
from signaldelta_assets.warehouse.tables import iald_signals

from .describe import OWNERS, check_result, table_metadata
from .partitions import daily, day_window
from .platform import Platform
from .raw import keys_by_source
from .versions import EMPTY, partition_versions, report_own_versions, signal_versions

# How far back a changed day is extracted again by itself: what is accepted on the evening before a long weekend is
# disseminated, and so collected, days later. Older days are backfilled on purpose.
RECENT = timedelta(days=7)
PROVENANCE_CHECK = "events_rest_on_records"

# Which operation extracts the signals of a family.
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
SELECT signal_id,
       (SELECT count(*) FROM (SELECT DISTINCT unnest(raw_record_ids) AS id FROM iald_signals
         WHERE signal_id = names.signal_id AND partition_date BETWEEN %(first)s AND %(last)s) used
        WHERE NOT EXISTS (SELECT FROM raw_records WHERE raw_record_id = used.id)) AS records_missing,
       count(event_id) FILTER (WHERE (event_time AT TIME ZONE 'UTC')::date <> partition_date) AS outside_partition,
       count(event_id) FILTER (WHERE jsonb_array_length(frontier) = 0) AS without_frontier
FROM unnest(%(names)s::text[]) AS names (signal_id)
LEFT JOIN (SELECT * FROM iald_signals WHERE partition_date BETWEEN %(first)s AND %(last)s) events USING (signal_id)
GROUP BY signal_id
"""


def changed_content() -> dg.AutomationCondition[Any]:
    """True where a parent's partition has come with another data version."""
    return dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())


def asset_key(signal: SignalDefinition) -> dg.AssetKey:
    """Return the key of a signal's events: ``signals/insider/insider_cluster_buy``."""
    return dg.AssetKey(["signals", DOMAINS[signal.family], signal.name])


def asset_keys(definitions: SignalDefinitions) -> dict[str, dg.AssetKey]:
    """Return the asset of each active signal, by signal id."""
    return {name: asset_key(definitions.signal(name)) for name in definitions.active_signals()}


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
            written[name] = signals.write_events(warehouse, made.events, window, [name], definitions.signal_hash(name))
            signals.write_counts(warehouse, "signal", name, window, made.counts)
            reasons[name] = dict(made.counts)
            events[name] = len(made.events)
    return written, reasons, events


def build_spec(definitions: SignalDefinitions, signal_id: str) -> dg.AssetSpec:
    """Return the spec of one signal's asset: below the raw assets of its sources, versioned by the hash of its rule."""
    signal = definitions.signal(signal_id)
    lookback = int(signal.params.get("lookback_days", 0))
    return dg.AssetSpec(
        asset_key(signal),
        # The partition of the day itself is what a change is followed by; the look-back is in the metadata, since
        # from a hundred partitions of one parent on Dagster no longer sees their data versions.
        deps=sorted(parents_of(signal)),
        group_name="signals",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description=f"{signal_id} {signal.name}: {inspect.getdoc(type(get(signal_id)))}",
        code_version=definitions.signal_hash(signal_id),
        automation_condition=changed_content().since_last_handled()
        & dg.AutomationCondition.in_latest_time_window(lookback_delta=RECENT)
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress(),
        metadata={
            **table_metadata(iald_signals),
            "signal_id": signal_id,
            "family": f"{signal.family} {definitions.families[signal.family]['name']}",
            "tier": signal.tier,
            "half_life_hours": signal.half_life_hours,
            "status": signal.status,
            "source_types": list(signal.source_types),
            "lookback_days": lookback,
            "rule": dict(definitions.document["signals"][signal_id]),
            "persistence": "postgres",
        },
    )


def parents_of(signal: SignalDefinition) -> dict[dg.AssetKey, list[str]]:
    """Return the raw assets that hold the signal's source types, each with those."""
    raw_keys = keys_by_source()
    parents: dict[dg.AssetKey, list[str]] = {}
    for source in sorted(signal.source_types):
        if source in raw_keys:
            parents.setdefault(raw_keys[source], []).append(source)
    return parents


def build_assets(
    definitions: SignalDefinitions, domain: str, signal_ids: list[str], first_day: str
) -> dg.AssetsDefinition:
    """Return the assets of one domain, one per signal: a run extracts the selected ones and reads records once."""
    signals_ = {asset_key(definitions.signal(name)): name for name in signal_ids}

    @dg.multi_asset(
        name=f"signals__{domain}",
        specs=[build_spec(definitions, name) for name in signal_ids],
        partitions_def=daily(first_day),
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        check_specs=[
            dg.AssetCheckSpec(
                PROVENANCE_CHECK,
                asset=key,
                blocking=True,
                description="Every event names records we hold, stands in its trigger's partition, and has a frontier.",
            )
            for key in signals_
        ],
    )
    def extract(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
        days, keys = day_window(context), list(context.partition_keys)
        chosen = {name: key for key, name in signals_.items() if key in context.selected_asset_keys}
        with platform.warehouse() as warehouse:
            documents.put_document(warehouse, "signal_definitions", "active", definitions.active)
            window = Window(days.first, days.last + timedelta(days=1))
            written, reasons, events = extract_window(warehouse, definitions, list(chosen), window)
            versions = signal_versions(warehouse, {name: definitions.signal_hash(name) for name in chosen}, keys)
            with warehouse.read_pool().connection() as connection:
                rows = connection.execute(
                    _PROVENANCE, {"names": list(chosen), "first": days.first, "last": days.last}
                ).fetchall()
            inputs = _input_versions(warehouse, definitions, versions) if len(keys) > 1 else {}
        failures = {row.pop("signal_id"): {name: int(value) for name, value in row.items()} for row in rows}
        for name, key in chosen.items():
            is_checked = dg.AssetCheckKey(key, PROVENANCE_CHECK) in context.selected_asset_check_keys
            yield dg.MaterializeResult(
                asset_key=key,
                # Of a range the days without events: those with events are reported below.
                data_version=dg.DataVersion(versions[name][keys[0]] if len(keys) == 1 else EMPTY),
                metadata={
                    "dagster/row_count": events[name],
                    "written": written[name].written,
                    "withdrawn": written[name].withdrawn,
                    "no_event_because": reasons[name],
                    "signal_definitions_hash": definitions.hash,
                },
                check_results=[check_result(PROVENANCE_CHECK, key, failures[name])] if is_checked else [],
            )
        if len(keys) > 1:
            report_own_versions(
                context,
                {key: versions[name] for name, key in chosen.items()},
                {key: inputs[name] for name, key in chosen.items()},
            )

    return extract


def _input_versions(
    warehouse: Warehouse, definitions: SignalDefinitions, versions: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[dg.AssetKey, dict[str, str]]]:
    """Return by signal and raw parent the data version of each day that has events of the signal."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    inputs: dict[str, dict[dg.AssetKey, dict[str, str]]] = {}
    for name, of_days in versions.items():
        inputs[name] = {}
        for parent, sources in parents_of(definitions.signal(name)).items():
            days = list(of_days)
            if tuple(sources) not in found:
                found[tuple(sources)] = partition_versions(warehouse, "raw", sources, days, min(days), max(days))
            inputs[name][parent] = found[tuple(sources)]
    return inputs


@dg.definitions
def defs() -> dg.Definitions:
    """One asset per active signal; those of a domain are extracted by one operation."""
    definitions = load_definitions()
    first_day = load_settings().first_day
    assets = [
        build_assets(definitions, domain, signal_ids, first_day)
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
