"""A collector that fails, hangs or dies is seen to, without its help: with real processes, stopped and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

import pytest

from signaldelta_assets.collectors import (
    Batch,
    CollectContext,
    Collector,
    Schedule,
    Window,
    registered_collectors,
    run_collector,
)
from signaldelta_assets.collectors.base import POLYGON
from signaldelta_assets.collectors.pulse import EVERY_SECONDS, Pulse
from signaldelta_assets.errors import DocumentError
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import health
from signaldelta_assets.warehouse.stores.health import freshness, run_state, troubles
from tests.collectors.conftest import UNIVERSE, settings_for

NOW = datetime(2024, 7, 3, 15, tzinfo=UTC)


@pytest.fixture
def warehouse(fresh_postgres_url: str) -> Iterator[Warehouse]:
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


class Standing(Collector):
    """A collector that does its work, then stands still."""

    name = "test/standing"
    source_types = ("filing_index",)
    schema_version = "1"
    schedule = Schedule("0 0 * * *", "UTC")
    upstream = POLYGON
    modules: ClassVar[tuple[str, ...]] = ()

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        yield Batch()
        time.sleep(120)


# Its pulse is as quick as the test is patient.
CHILD = """
import sys
from datetime import date
from pathlib import Path
from signaldelta_assets.collectors import Window, pulse, run_collector
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.collectors.conftest import UNIVERSE, settings_for
from tests.collectors.test_health import Standing
pulse.EVERY_SECONDS = 0.1
database, archive = sys.argv[1:]
with Warehouse(database) as warehouse:
    day = Window(date(2024, 1, 1), date(2024, 1, 1))
    run_collector(Standing(), warehouse, ArtifactStore(Path(archive)), settings_for("http://127.0.0.1:1"), day,
                  universe=UNIVERSE)
"""


def state(warehouse: Warehouse, **limits: float) -> str:
    with warehouse.read_pool().connection() as connection:
        rows = {row["collector"]: row for row in health.collector_health(connection, **limits)}
    return str(rows["test/standing"]["state"]) if "test/standing" in rows else "never"


def until(warehouse: Warehouse, expected: str, **limits: float) -> None:
    deadline = time.monotonic() + 120
    while (found := state(warehouse, **limits)) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.postgres
def test_a_run_that_hangs_is_stopped_or_killed_shows(warehouse: Warehouse, tmp_path: Any) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, warehouse.url, str(tmp_path / "archive")])
    try:
        until(warehouse, "running", silent_seconds=30, idle_seconds=30)
        # It lives and does not get on.
        until(warehouse, "hung", silent_seconds=30, idle_seconds=1)
        # Stopped, it keeps its lock and says nothing.
        os.kill(child.pid, signal.SIGSTOP)
        until(warehouse, "hung", silent_seconds=1, idle_seconds=1000)
        os.kill(child.pid, signal.SIGCONT)
        until(warehouse, "running", silent_seconds=1, idle_seconds=1000)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        until(warehouse, "dead", silent_seconds=1, idle_seconds=1000)
    finally:
        child.kill()
        child.wait()
    with warehouse.read_pool().connection() as connection:
        (row,) = health.collector_health(connection, silent_seconds=1)
    assert row["run"]["status"] == "running" and row["run"]["finished_at"] is None
    assert [text for text in troubles(row) if "died: no heartbeat since" in text]


def test_everything_shows_within_a_minute() -> None:
    assert health.SILENT_SECONDS + EVERY_SECONDS <= 60
    assert health.IDLE_SECONDS + EVERY_SECONDS <= 60
    # A few beats may be late without an alarm.
    assert health.SILENT_SECONDS >= 3 * EVERY_SECONDS


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"status": "complete", "silent_seconds": 1e6, "idle_seconds": 1e6, "locked": False}, "complete"),
        ({"status": "failed", "silent_seconds": 0, "idle_seconds": 0, "locked": False}, "failed"),
        ({"status": "running", "silent_seconds": 19, "idle_seconds": 44, "locked": True}, "running"),
        # A lost lock with a fresh word is a run that is just ending.
        ({"status": "running", "silent_seconds": 1, "idle_seconds": 1, "locked": False}, "running"),
        ({"status": "running", "silent_seconds": 21, "idle_seconds": 0, "locked": False}, "dead"),
        ({"status": "running", "silent_seconds": 21, "idle_seconds": 0, "locked": True}, "hung"),
        ({"status": "running", "silent_seconds": 1, "idle_seconds": 46, "locked": True}, "hung"),
    ],
)
def test_states_by_value(run: dict[str, Any], expected: str) -> None:
    assert run_state(run) == expected


@pytest.mark.parametrize(
    ("last_success", "late"),
    [(None, True), (NOW - timedelta(minutes=70), True), (NOW - timedelta(minutes=25), False)],
)
def test_late_is_by_the_schedule_and_leaves_a_run_its_time(last_success: datetime | None, late: bool) -> None:
    found = freshness("*/30 6-22 * * 1-5 America/New_York", last_success, NOW)
    assert (found["due_at"], found["late"]) == (NOW - timedelta(minutes=30), late)
    # On a Sunday what succeeded on Friday evening is not late.
    sunday = freshness(
        "*/30 6-22 * * 1-5 America/New_York", datetime(2024, 7, 6, 2, 31, tzinfo=UTC), NOW.replace(day=7)
    )
    assert sunday["late"] is False
    assert freshness(None, None, NOW) == {"age_seconds": None, "due_at": None, "late": False}


def test_every_registered_schedule_can_be_late() -> None:
    for name, collector in registered_collectors().items():
        assert freshness(str(collector.schedule), None, NOW)["late"], name


def test_being_late_is_trouble_only_where_one_collects_live() -> None:
    row = {"consecutive_failures": 0, "state": "complete", "late": True, "due_at": NOW, "last_success_at": None}
    assert troubles(row | {"run": {"collection_mode": "backfill"}}) == []
    assert len(troubles(row | {"run": {"collection_mode": "live"}})) == 1


@pytest.mark.postgres
def test_a_collector_that_cannot_begin_shows_as_failed(warehouse: Warehouse, tmp_path: Any) -> None:
    collector = registered_collectors()["polygon/earnings"]
    day = Window(date(2024, 1, 1), date(2024, 1, 1))
    settings = settings_for("http://127.0.0.1:1", polygon_api_key=None)
    with pytest.raises(DocumentError):
        run_collector(collector, warehouse, ArtifactStore(tmp_path / "archive"), settings, day, universe=UNIVERSE)
    with warehouse.read_pool().connection() as connection:
        (row,) = health.collector_health(connection)
    assert (row["collector"], row["consecutive_failures"], row["run"]) == ("polygon/earnings", 1, None)
    assert "SIGNALDELTA_POLYGON_API_KEY" in row["last_error"]


def test_a_wait_that_was_asked_for_is_no_standstill() -> None:
    at = [0.0]
    pulse = Pulse(monotonic=lambda: at[0])
    at[0] = 50.0
    assert pulse.idle_seconds() == 50.0
    with pulse.waiting():
        at[0] = 900.0
        assert pulse.idle_seconds() == 0.0
    assert pulse.idle_seconds() == 0.0
    at[0] = 910.0
    assert pulse.idle_seconds() == 10.0
    pulse.beat()
    assert pulse.idle_seconds() == 0.0


def test_a_pulse_beats_until_it_is_closed() -> None:
    beats: list[float] = []
    write: Callable[[float], None] = beats.append
    with Pulse(write, every_seconds=0.01):
        deadline = time.monotonic() + 10
        while len(beats) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    count = len(beats)
    assert count >= 3
    time.sleep(0.05)
    assert len(beats) == count
