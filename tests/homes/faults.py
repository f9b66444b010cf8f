"""All scenarios one after the other, and docs/faults.md: ``python -m tests.homes.faults`` (`make faults`)."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from signaldelta_assets.warehouse import watch
from tests.homes import daemons, scenarios
from tests.homes.daemons import COLLECT, Daemons, collecting
from tests.homes.places import PLAN, Homes, Outcome, two_homes, undisturbed
from tests.homes.scenarios import Course
from tests.paths import ROOT

_PAGE = ROOT / "docs" / "faults.md"
_HEAD = """# What fails, and what comes of it

Written by `make faults`: two PostgreSQL servers, `offsite` and `aws`, replication between them, a simulated archive,
and one fault after another in the middle of real work. After each one every row of every replicated table is equal at
both homes, and equal to what undisturbed work came to (without run ids, names that a writer makes up, and the moments
of writing); the stores hold every file that a row names and no other.

"Lost" is the number of tables that differ and files too many or too few. "Consistent" is how long after the fault, or
after the healing of a link, the same work was done and both homes had it: the time it took to do the work again is
within. The words are those of `signaldelta status`, with the seconds after the fault, or of a command that refuses.

| fault | when | lost | consistent (s) | how the operator learns of it | after (s) |
|---|---|---|---|---|---|
"""
_TAIL = """
Not exercised: a machine that loses power (the servers run with `fsync` off here, and processes are killed, not
machines); a server whose own clock is ahead (one answer of the watch is moved instead: tested are the comparison, its
words, and that replication and its lag do not mind); two machines.

Of the worker of a snapshot or a backtest that no daemon started, such as one at a command line, nobody is told but the
one who started it. A run that Dagster's daemon started is told, and started again, whatever it works on.

Measured {when} with Python {python} on {cores} cores that were shared with other work.
"""


def main() -> int:
    """Run everything; write the page."""
    outcomes: list[Outcome] = []

    def note(found: Outcome | Iterable[Outcome]) -> None:
        for outcome in [found] if isinstance(found, Outcome) else found:
            outcomes.append(outcome)
            print(f"{outcome.fault}, {outcome.when}: {outcome.consistent_seconds:.1f} s, {outcome.words}", flush=True)

    def steps(homes: Homes) -> list[Callable[[], Any]]:
        course = Course(homes, undisturbed(homes, 3))
        full: list[Callable[[], Any]] = []
        if homes.roomy is None:
            full = [
                lambda: course.disk_full("collect 3", "postgres"),
                lambda: course.disk_full("freeze", "artifacts", finish=False),
                lambda: course.disk_full("backtest 0", "artifacts", finish=False),
            ]
        return [
            lambda: course.history() or [],
            lambda: course.worker_killed("collect 0", wait=True),
            lambda: course.server_killed("collect 1", "offsite"),
            lambda: course.server_killed("collect 2", "aws"),
            *full[:1],
            lambda: course.launched_twice("collect 3"),
            lambda: course.worker_killed("freeze", finish=False),
            *full[1:2],
            lambda: course.server_killed("freeze", "offsite", finish=False),
            lambda: course.server_killed("freeze", "aws"),
            lambda: course.worker_killed("backtest 0", finish=False),
            *full[2:],
            lambda: course.server_killed("backtest 0", "offsite"),
            lambda: course.server_killed("backtest 1", "aws"),
            lambda: course.two_at_once("backtest 2"),
            lambda: scenarios.link_cut(homes, "refused"),
            lambda: scenarios.link_cut(homes, "swallowed"),
            lambda: scenarios.replayed_from_an_older_position(homes),
            lambda: scenarios.misrouted_twice(homes),
            lambda: scenarios.migration_fails(homes),
            lambda: scenarios.clocks_apart(homes, lambda hook: setattr(watch, "_clock_offset", hook)),
            lambda: _backtest_of_dagster(Daemons(homes), course),
        ]

    with two_homes() as homes:
        for step in steps(homes):
            note(step())
    with two_homes(replay=False) as homes:
        note(scenarios.reader_killed_during_the_first_copy(homes, durable=True))
        note(scenarios.reader_killed_during_the_first_copy(homes, durable=False))
    with two_homes() as homes:
        note(_daemon(Daemons(homes)))
    rows = [
        f"| {o.fault} | {o.when} | {len(o.lost)} | {o.consistent_seconds:.1f} | {_cell(o.words)} | "
        f"{f'{o.told_seconds:.1f}' if o.words else ''} |"
        for o in outcomes
        # What was only the first of several disturbances of one piece of work is not a row of its own.
        if o.consistent_seconds or o.words
    ]
    when = time.strftime("%Y-%m-%d")
    _PAGE.write_text(
        _HEAD + "\n".join(rows) + "\n" + _TAIL.format(when=when, python=platform.python_version(), cores=2)
    )
    lost = [outcome for outcome in outcomes if outcome.lost]
    for outcome in lost:
        print(outcome.fault, outcome.when, outcome.lost, file=sys.stderr)
    return 1 if lost else 0


def _cell(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|")[:400]


def _backtest_of_dagster(made: Daemons, course: Course) -> list[Outcome]:
    """A backtest that Dagster started and whose worker is killed."""
    made.start()
    try:
        tags = {"dagster/partition": course.spec(3)}
        statement = "INSERT INTO dagster.dynamic_partitions (partitions_def_name, partition) VALUES (%s, %s)"
        made.homes.rows("offsite", statement, "backtest_specs", course.spec(3))
        sandbox = course.homes.state / "tmp"
        return [daemons.worker_killed(made, "run_backtest", tags, lambda: any(sandbox.glob("signaldelta-sandbox-*/*")))]
    finally:
        made.stop()


def _daemon(made: Daemons) -> list[Outcome]:
    """Everything that needs a daemon and an archive that nobody has collected."""
    made.start()
    days = collecting(PLAN.start.isoformat(), PLAN.end.isoformat())

    def amid() -> Callable[[], bool]:
        before = made.homes.count("offsite", "collector_runs")
        return lambda: made.homes.count("offsite", "collector_runs") > before

    try:
        return [
            daemons.a_second_one(made),
            daemons.worker_killed(made, COLLECT, days, amid()),
            daemons.worker_killed(made, "collect_polygon_daily_bars", days, amid(), server_too=True),
            daemons.daemon_killed(made, "collect_polygon_earnings", days, amid()),
            daemons.one_outside_the_lock(made),
        ]
    finally:
        made.stop()


if __name__ == "__main__":
    sys.exit(main())
