"""Nothing is lost whatever fails while work is done: one deployment's work, each piece of it disturbed in turn.

The tests stand in the order of the work: what one has collected the next one freezes.
"""

from __future__ import annotations

import pytest

from tests.homes.places import Outcome
from tests.homes.scenarios import Course

pytestmark = [pytest.mark.platform, pytest.mark.postgres]


def _held(outcome: Outcome, *words: str) -> None:
    """Nothing lost or left over, both homes equal, the operator told within a minute and in words that say what."""
    assert outcome.lost == []
    assert outcome.told_seconds < 60 and all(word in outcome.words for word in words), outcome


def test_the_worker_of_a_collection_is_killed(course: Course) -> None:
    course.history()
    _held(course.worker_killed("collect 0"))


def test_the_home_is_killed_during_a_collection(course: Course) -> None:
    outcome = course.server_killed("collect 1", "offsite")
    _held(outcome, "offsite: the database does not answer")
    assert "start the same again" in outcome.notes["the work"]


def test_the_other_home_is_killed_during_a_collection(course: Course) -> None:
    outcome = course.server_killed("collect 2", "aws")
    _held(outcome, "aws: the database does not answer")
    assert outcome.notes["the work"] == "ended as if nothing had been"


def test_the_disk_of_the_database_is_full_during_a_collection(course: Course) -> None:
    if course.homes.roomy:
        course.launched_twice("collect 3")
        pytest.skip(course.homes.roomy)
    outcome = course.disk_full("collect 3", "postgres")
    _held(outcome)
    assert "No space left on device" in outcome.notes["the work"]


def test_the_same_collection_is_launched_twice(course: Course) -> None:
    _held(course.launched_twice("collect 3"))


def test_a_snapshot_is_disturbed_three_times(course: Course) -> None:
    course.worker_killed("freeze", finish=False)
    if not course.homes.roomy:
        outcome = course.disk_full("freeze", "artifacts", finish=False)
        assert "no space is left" in outcome.notes["the work"], outcome
    _held(course.server_killed("freeze", "offsite"), "offsite: the database does not answer")


def test_a_backtest_is_disturbed_and_then_run_by_two_at_once(course: Course) -> None:
    course.worker_killed("backtest 0", finish=False)
    if not course.homes.roomy:
        outcome = course.disk_full("backtest 0", "artifacts", finish=False)
        assert "no space is left" in outcome.notes["the work"], outcome
    _held(course.two_at_once())
    # The run is stored: another try finds it and counts no further trial.
    assert course.homes.start("backtest", course.spec(0)).result()["created"] is False
    assert course.lost("backtest 0") == []
