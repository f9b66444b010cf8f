"""Partitions, versions, checks and backfills through Dagster's own command line, daemon and storage."""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.collectors import registered_collectors
from signaldelta_assets.defs.raw import asset_key as raw_key
from signaldelta_assets.defs.signals import asset_keys
from signaldelta_assets.defs.versions import EMPTY, partition_versions, signal_versions
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.tables import raw_records
from tests.platform.conftest import MakeDeployment
from tests.platform.deployment import Deployment, wait_until
from tests.platform.services import services

pytestmark = [pytest.mark.platform, pytest.mark.postgres]

# A working week in the season of announcements; the second is left to the tests that change something.
DAYS = ["2025-01-27", "2025-01-28", "2025-01-29", "2025-01-30", "2025-01-31"]
CHANGED = "2025-01-29"
BACKFILLED = ["2025-02-03", "2025-02-04"]
BROKEN = "2025-02-05"
EVERYTHING = "group:raw or group:signals"
SPAN = f"{DAYS[0]}...{DAYS[-1]}"


@pytest.fixture(scope="module")
def deployment(deploy: MakeDeployment, small_replay: str) -> Deployment:
    """A deployment with one week collected and extracted, as a data engineer types it."""
    made = deploy(small_replay)
    made.materialize(EVERYTHING, SPAN)
    return made


@pytest.fixture
def instance(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The deployment's Dagster instance, seen from here."""
    for name, value in deployment.variables.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as opened:
        yield opened


def _versions(deployment: Deployment) -> dict[dg.AssetKey, dict[str, str]]:
    """The content hash of every day and daily asset, straight from the tables."""
    definitions = load_definitions()
    found = {}
    with Warehouse(deployment.url) as warehouse:
        for name, collector in registered_collectors().items():
            sources = list(collector.source_types)
            found[raw_key(name)] = partition_versions(warehouse, "raw", sources, DAYS, DAYS[0], DAYS[-1])
        keys = asset_keys(definitions)
        for name, versions in signal_versions(warehouse, definitions.signal_hashes(), DAYS).items():
            found[keys[name]] = versions
    return found


def _stale(instance: dg.DagsterInstance) -> set[tuple[str, str]]:
    """(asset, day) of everything that Dagster does not hold for fresh."""
    from signaldelta_assets.definitions import defs

    graph = defs().get_repository_def().asset_graph
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    daily = [key for key in graph.executable_asset_keys if key.path[0] in ("raw", "signals")]
    status = {(key.to_user_string(), day): resolver.get_status(key, day) for key in daily for day in DAYS}
    assert set(status.values()) <= {StaleStatus.FRESH, StaleStatus.STALE}, status
    return {place for place, found in status.items() if found is StaleStatus.STALE}


def _of_bars() -> set[str]:
    """The signals that are computed from daily bars."""
    definitions = load_definitions()
    keys = asset_keys(definitions)
    return {keys[name].to_user_string() for name in keys if "daily_bar" in definitions.signal(name).source_types}


def _recorded(instance: dg.DagsterInstance, key: dg.AssetKey, day: str) -> str | None:
    record = instance.get_latest_data_version_record(key, partition_key=day)
    assert record is not None and record.asset_materialization is not None
    return (record.asset_materialization.tags or {}).get("dagster/data_version")


def _checks(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.AssetCheckEvaluation]:
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id)]
    kind = "ASSET_CHECK_EVALUATION"
    return [event.asset_check_evaluation_data for event in events if event and event.event_type_value == kind]


def test_each_partition_of_a_range_has_the_hash_of_its_own_content(
    deployment: Deployment, instance: dg.DagsterInstance
) -> None:
    expected = _versions(deployment)
    recorded = {key: {day: _recorded(instance, key, day) for day in DAYS} for key in expected}
    assert recorded == expected
    # The week is worth the look: there are days with content, and they differ.
    full = {version for days in expected.values() for version in days.values()} - {EMPTY}
    assert len(full) > 2 * len(DAYS)
    assert _stale(instance) == set()


def test_the_same_command_again_adds_no_row_and_changes_no_version(deployment: Deployment) -> None:
    tables = ("raw_records", "raw_documents", "iald_signals", "quarantined_records", "clock_decisions", "securities")
    before, versions = {table: deployment.count(table) for table in tables}, _versions(deployment)
    assert before["raw_records"] > 100 and before["iald_signals"] > 5
    deployment.materialize(EVERYTHING, SPAN)
    assert {table: deployment.count(table) for table in tables} == before
    assert _versions(deployment) == versions
    failed = deployment.rows("SELECT collector, status FROM collector_runs WHERE status <> 'complete'")
    assert failed == []


def _plant(deployment: Deployment, source_type: str, day: str, partition_day: str) -> None:
    """A record that no collector wrote: a copy of the day's first under other names, put into `partition_day`."""
    with Warehouse(deployment.url) as warehouse, warehouse.write_pool("collection").connection() as connection:
        columns = [column.name for column in raw_records.columns if column.computed is None]
        mark = f"01ZZZZZZZZZZ{partition_day.replace('-', '')}"
        changes = {
            "raw_record_id": f"'{mark}' || upper(substr(md5(raw_record_id), 1, 6))",
            "natural_key": "natural_key || ':planted'",
            "partition_date": f"'{partition_day}'::date",
        }
        done = connection.execute(
            f"INSERT INTO raw_records ({', '.join(columns)})"
            f" SELECT {', '.join(changes.get(name, name) for name in columns)} FROM raw_records"
            " WHERE source_type = %s AND partition_date = %s ORDER BY raw_record_id LIMIT 1",
            (source_type, day),
        )  # type: ignore[call-overload]
        assert done.rowcount == 1


def test_only_the_day_that_changed_becomes_stale(deployment: Deployment, instance: dg.DagsterInstance) -> None:
    _plant(deployment, "daily_bar", CHANGED, CHANGED)
    deployment.materialize("key:raw/polygon/daily_bars", CHANGED)
    # Every signal that reads bars, and no other.
    assert _stale(instance) == {(key, CHANGED) for key in _of_bars()}
    deployment.materialize(" or ".join(f"key:{key}" for key in sorted(_of_bars())), CHANGED)
    assert _stale(instance) == set()


def test_a_backfill_runs_its_partitions_through_the_daemon(
    deployment: Deployment, instance: dg.DagsterInstance
) -> None:
    chosen = ["--from", BACKFILLED[0], "--to", BACKFILLED[-1]]
    with services(deployment) as running:
        # A code server of its own, for both: one that a daemon starts for itself it starts anew every minute.
        running.up("code")
        deployment.run("dagster", "job", "backfill", "-w", str(running.workspace), "-j", "collect_polygon_earnings",
                       *chosen, "--noprompt")  # fmt: skip
        running.start("daemon")

        def runs() -> list[dg.DagsterRun]:
            found = instance.get_runs(dg.RunsFilter(job_name="collect_polygon_earnings"))
            # Schedules run too; the backfill's runs are those that carry its tag.
            return [run for run in found if "dagster/backfill" in run.tags]

        wait_until(lambda: len(runs()) == 2 and all(run.is_finished for run in runs()), 150, "the backfill",
                   running.processes["daemon"])  # fmt: skip
        done = {run.tags["dagster/partition"]: run.status for run in runs()}
        assert done == dict.fromkeys(BACKFILLED, dg.DagsterRunStatus.SUCCESS)
    kept = deployment.rows(
        "SELECT partition_date::text, count(*) FROM raw_records WHERE source_type = 'earnings_actual'"
        " AND partition_date = ANY(%(days)s::date[]) GROUP BY 1 ORDER BY 1",
        days=BACKFILLED,
    )
    announced = {day for day, _ in kept}
    assert announced and announced <= set(BACKFILLED)


def test_a_failed_check_stops_what_is_below_it(deployment: Deployment, instance: dg.DagsterInstance) -> None:
    signals = sorted(_of_bars())
    both = "key:raw/polygon/daily_bars or " + " or ".join(f"key:{key}" for key in signals)
    _plant(deployment, "daily_bar", CHANGED, BROKEN)
    said = deployment.materialize(both, BROKEN, succeeds=False)
    assert "records_are_sound" in said
    (run,) = instance.get_runs(limit=1)
    assert run.status is dg.DagsterRunStatus.FAILURE
    logs = instance.all_logs(run.run_id)
    (check,) = _checks(instance, run)
    assert not check.passed and check.blocking
    assert {name: value.value for name, value in check.metadata.items()}["outside_partition"] == 1
    steps = {entry.step_key for entry in logs if entry.dagster_event is not None and entry.dagster_event.is_step_start}
    assert steps == {"raw__polygon__daily_bars"}
    assert deployment.count("iald_signals", f"partition_date = '{BROKEN}'") == 0
    # The day before is sound: there the same command goes through, checks and signals included.
    deployment.materialize(both, BACKFILLED[-1])
    (sound,) = instance.get_runs(limit=1)
    passed = {(check.asset_key.to_user_string(), check.check_name): check.passed for check in _checks(instance, sound)}
    expected = {("raw/polygon/daily_bars", "records_are_sound"), *((key, "events_rest_on_records") for key in signals)}
    assert passed == dict.fromkeys(expected, True)


def test_a_signal_event_leads_to_the_runs_that_made_it_and_its_records(deployment: Deployment) -> None:
    """From a row back: the run that wrote it, the collector that fetched what it rests on, and their run."""
    event, ids, ingested = deployment.rows(
        "SELECT event_id, raw_record_ids, ingest_time FROM iald_signals ORDER BY event_id LIMIT 1"
    )[0]
    [(run,)] = deployment.rows(
        "SELECT run_id FROM dagster.runs WHERE start_time <= extract(epoch FROM %(at)s::timestamptz)"
        " AND end_time >= extract(epoch FROM %(at)s::timestamptz)",
        at=ingested,
    )
    found = json.loads(deployment.run("signaldelta", "trace", event, "--json"))
    assert found["kinds"] == ["signal event"] and run in found["correlation_ids"]
    said = " ".join(entry["words"] for entry in found["entries"])
    assert f"signal event {event} " in said and f"run {run} " in said and "collector " in said
    assert all(f"record {identifier} " in said for identifier in ids)
