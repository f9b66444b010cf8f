"""Completeness in Dagster: the job that fetches gaps, the check beside it, and what follows the current feed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from signaldelta_assets.collectors import Window
from signaldelta_assets.collectors.gaps import find_gaps
from signaldelta_assets.defs import current
from signaldelta_assets.defs.completeness import (
    CHECK,
    backfill_gaps_job,
    last_days,
    nothing_announced_is_missing,
)
from signaldelta_assets.defs.platform import Platform
from signaldelta_assets.defs.raw import RECENT_DAYS, asset_key, raw_versions
from signaldelta_assets.defs.versions import DATA_VERSION_TAG
from signaldelta_assets.replay import ReplayServer, SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.warehouse import Warehouse

pytestmark = [pytest.mark.platform, pytest.mark.postgres]

PLAN = SimulationPlan(seed=3, entities=2, days=130, pools=1)
# The evening after the last day of the archive, when EDGAR has closed.
NOW = datetime(PLAN.end.year, PLAN.end.month, PLAN.end.day, 12, tzinfo=UTC) + timedelta(days=1)


def test_the_days_looked_at_end_with_the_last_on_which_edgar_has_closed() -> None:
    """Days of New York: at 21:30 there it is the next day in UTC, and EDGAR still accepts."""
    summer = datetime(2024, 7, 10, 1, 30, tzinfo=UTC)
    assert last_days(summer) == Window(date(2024, 7, 2), date(2024, 7, 8))
    assert last_days(summer + timedelta(hours=1)) == Window(date(2024, 7, 3), date(2024, 7, 9))
    winter = datetime(2024, 1, 10, 2, 30, tzinfo=UTC)
    assert last_days(winter).end == date(2024, 1, 8) and last_days(winter + timedelta(hours=1)).end == date(2024, 1, 9)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplayServer]:
    root = tmp_path_factory.mktemp("simulated") / "archive"
    simulate(PLAN, root)
    with ReplayServer(SimulatedArchive(root)) as running:
        yield running


@pytest.fixture
def warehouse(
    fresh_postgres_url: str, server: ReplayServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Warehouse]:
    universe = httpx.get(f"{server.url}/__replay__/universe").json()["entities"]
    (tmp_path / "universe.json").write_text(json.dumps(universe))
    for name, value in {
        "HOME": str(tmp_path), "DATABASE_URL": fresh_postgres_url, "UNIVERSE": str(tmp_path / "universe.json"),
        "EDGAR_WWW_URL": f"{server.url}/www.sec.gov", "EDGAR_DATA_URL": f"{server.url}/data.sec.gov",
        "EDGAR_CONTACT": "tests tests@example.com", "FIXED_CLOCK": NOW.isoformat(),
    }.items():  # fmt: skip
        monkeypatch.setenv(f"SIGNALDELTA_{name}", value)
    for name in ("acquire", "hold"):
        monkeypatch.setattr(f"signaldelta_assets.collectors.limiter.SharedLimiter.{name}", lambda *_: None)
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


# Of the last days alone the simulated companies filed too little.
DAYS = {"first": str(PLAN.end - timedelta(days=45)), "last": str(PLAN.end)}


def fetch(instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    return backfill_gaps_job.execute_in_process(
        instance=instance,
        resources={"platform": Platform()},
        run_config={"ops": {"fetch_gaps": {"config": config}}},
        raise_on_error=False,
    )


def check() -> dg.AssetCheckResult:
    result = nothing_announced_is_missing(platform=Platform())
    assert isinstance(result, dg.AssetCheckResult)
    return result


def test_gaps_are_fetched_and_every_partition_that_gained_says_so(warehouse: Warehouse) -> None:
    window = Window(date.fromisoformat(DAYS["first"]), date.fromisoformat(DAYS["last"]))
    before = check()
    assert not before.passed and before.metadata["open_gaps"].value > 0
    with dg.DagsterInstance.ephemeral() as instance:
        result = fetch(instance, **DAYS)
        assert result.success
        told: dict[dg.AssetKey, dict[str, str]] = {}
        for event in result.get_asset_materialization_events():
            made = event.step_materialization_data.materialization
            assert made.partition is not None and made.tags is not None
            told.setdefault(made.asset_key, {})[made.partition] = made.tags[DATA_VERSION_TAG]
        with warehouse.read_pool().connection() as connection:
            held = connection.execute(
                "SELECT collector, array_agg(DISTINCT partition_date::text) AS days FROM raw_records GROUP BY 1"
            ).fetchall()
        assert {asset_key(row["collector"]): sorted(row["days"]) for row in held} == {
            key: sorted(days) for key, days in told.items()
        }
        assert asset_key("edgar/daily_index") in told and len(told) >= 3
        for row in held:
            assert told[asset_key(row["collector"])] == raw_versions(warehouse, row["collector"], row["days"])
        # The check is told anew where the asset is looked at, and says what it would say itself.
        records = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(asset_key("edgar/daily_index"), CHECK), limit=1
        )
        evaluation = records[0].event.dagster_event.event_specific_data  # type: ignore[union-attr]
        assert evaluation.passed == check().passed is True  # type: ignore[union-attr]
        assert not [gap for gap in find_gaps(warehouse, window) if gap.open]
        # Nothing is left to fetch, and nothing is told.
        again = fetch(instance, **DAYS)
        assert again.success and again.get_asset_materialization_events() == []


def test_a_backfill_with_an_upstream_down_fails_and_tells_what_it_got(
    warehouse: Warehouse, server: ReplayServer
) -> None:
    rule = {"path": r"/submissions/", "kind": "status", "status": 400}
    assert httpx.post(f"{server.url}/__replay__/faults", json=rule).status_code == 201
    try:
        with dg.DagsterInstance.ephemeral() as instance:
            result = fetch(instance, **DAYS)
    finally:
        httpx.delete(f"{server.url}/__replay__/faults")
    assert not result.success
    told = {event.asset_key for event in result.get_asset_materialization_events()}
    assert asset_key("edgar/daily_index") in told


def test_days_that_are_none_are_refused(warehouse: Warehouse) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for config in ({"first": "2024-13-01"}, {"first": "2024-02-02", "last": "2024-02-01"}):
            result = fetch(instance, **config)
            assert not result.success
            (failed,) = (event for event in result.all_events if event.is_step_failure)
            assert "first, last" in str(failed.step_failure_data.error)


# --- the feed and what follows it


def sensor() -> tuple[dg.Definitions, dg.SensorDefinition]:
    made = current.defs()
    assert isinstance(made, dg.Definitions)
    (found,) = made.sensors or ()
    assert isinstance(found, dg.SensorDefinition)
    return made, found


def report(instance: dg.DagsterInstance, rows: int) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(asset_key(current.FEED), partition="2024-02-01", metadata={"rows_written": rows})
    )


def tick(
    instance: dg.DagsterInstance, one: dg.SensorDefinition, cursor: str | None
) -> tuple[list[dg.RunRequest], str | None]:
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    made = one.evaluate_tick(context)
    return list(made.run_requests or ()), made.cursor


def test_documents_follow_what_the_feed_announced_and_nothing_else() -> None:
    _, one = sensor()
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(instance, one, None) == ([], None)
        report(instance, 0)
        requests, cursor = tick(instance, one, None)
        assert requests == []
        report(instance, 3)
        (first,), cursor = tick(instance, one, cursor)
        assert tick(instance, one, cursor) == ([], cursor)
        report(instance, 1)
        (second,), _ = tick(instance, one, cursor)
        assert first.run_key != second.run_key
        days = [date.fromisoformat(first.tags[f"dagster/asset_partition_range_{end}"]) for end in ("start", "end")]
        assert (days[1] - days[0]).days == RECENT_DAYS - 1
        # An empty reading after one that announced something does not hide it.
        _, cursor = tick(instance, one, cursor)
        report(instance, 5)
        report(instance, 0)
        (_,), cursor = tick(instance, one, cursor)
        assert tick(instance, one, cursor) == ([], cursor)
