"""One daemon, runs whose process was killed, and the health of the platform as Dagster shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.homes import daemons
from tests.homes.daemons import COLLECT, Daemons, collecting
from tests.homes.places import PLAN, Homes, two_homes

pytestmark = [pytest.mark.platform, pytest.mark.postgres]


@pytest.fixture(scope="module")
def paired() -> Iterator[Homes]:
    with two_homes() as made:
        yield made


@pytest.fixture(scope="module")
def daemon(paired: Homes) -> Iterator[Daemons]:
    made = Daemons(paired)
    made.start()
    yield made
    made.stop()


def test_a_second_daemon_is_refused_and_told_who_has_the_lock(daemon: Daemons) -> None:
    outcome = daemons.a_second_one(daemon)
    assert outcome.words.startswith("error: a daemon runs already: process ")


def test_a_run_whose_worker_was_killed_is_told_and_run_again(daemon: Daemons) -> None:
    homes = daemon.homes
    tags = collecting(PLAN.start.isoformat(), PLAN.end.isoformat())
    outcome = daemons.worker_killed(daemon, COLLECT, tags, lambda: homes.count("offsite", "collector_runs") > 0)
    assert outcome.told_seconds < 60
    assert [state for _, state in outcome.notes["runs"]] == ["FAILURE", "SUCCESS"]
    # The run in its place found what the first one had begun, and brought the rest.
    assert homes.count("offsite", "collector_runs", "status = 'running'") == 0
    assert homes.count("aws", "raw_records") == homes.count("offsite", "raw_records") > 0


def test_a_daemon_outside_the_lock_is_told_and_stands_in_dagster_as_a_check(daemon: Daemons) -> None:
    outcome = daemons.one_outside_the_lock(daemon)
    assert outcome.words.startswith("2 daemons are at work") and "the lock is held by process" in outcome.words
    query = "SELECT execution_status FROM dagster.asset_check_executions WHERE asset_key LIKE '%platform%health%'"
    # It is told for a minute and more, and the sensor looks every half minute.
    daemon.until(lambda: {"execution_status": "FAILED"} in daemon.homes.rows("offsite", query), "the check", 90)
    noted = daemon.homes.rows("offsite", "SELECT words FROM operator_alerts WHERE kind = 'daemons'")
    assert len(noted) == 1 and noted[0]["words"].startswith("2 daemons are at work")


def test_sigterm_ends_the_daemon_and_frees_the_lock(daemon: Daemons) -> None:
    assert daemon.process is not None and daemon.process.poll() is None
    daemon.stop()
    assert not daemon.processes("dagster-daemon")
    words, _ = daemon.homes.told("none holds the lock", time.monotonic())
    assert "it has just ended" in words
