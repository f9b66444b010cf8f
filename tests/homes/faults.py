"""All scenarios one after the other, and docs/faults.md: ``python -m tests.homes.faults`` (`make faults`)."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from signaldelta_assets.warehouse import watch
from tests.homes import daemons, scenarios
from tests.homes.daemons import COLLECT, Daemons, collecting
from tests.homes.places import PLAN, Homes, Outcome, two_homes, undisturbed
from tests.homes.scenarios import Course
from tests.paths import ROOT

Note = Callable[[Any], None]

_KEPT = ROOT / ".signaldelta" / "faults"
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
one who started it. A run that Dagster's daemon started is told, and started again, whatever it works on. Where its code
server died with it, Dagster tries to start it again before that server is back, and gives up: an operator launches it.

Measured {when} with Python {python} on {cores} cores that were shared with other work.
"""


def main(parts: Sequence[str]) -> int:
    """Run the parts named, all where none is; write the page from what every part has come to last (`page` alone)."""
    for part in [part for part in parts if part != "page"] if parts else PARTS:
        outcomes: list[Outcome] = []
        PARTS[part](lambda found, outcomes=outcomes: _note(outcomes, found))
        _KEPT.mkdir(parents=True, exist_ok=True)
        (_KEPT / f"{part}.json").write_text(json.dumps([asdict(outcome) for outcome in outcomes]))
    found = [
        Outcome(**row)
        for part in PARTS
        if (_KEPT / f"{part}.json").exists()
        for row in json.loads((_KEPT / f"{part}.json").read_text())
    ]
    _write(found)
    lost = [outcome for outcome in found if outcome.lost]
    for outcome in lost:
        print(outcome.fault, outcome.when, outcome.lost, file=sys.stderr)
    return 1 if lost else 0


def _note(outcomes: list[Outcome], found: Outcome | Iterable[Outcome]) -> None:
    for outcome in [found] if isinstance(found, Outcome) else found:
        outcomes.append(outcome)
        print(f"{outcome.fault}, {outcome.when}: {outcome.consistent_seconds:.1f} s, {outcome.words}", flush=True)


def _of_work(note: Note) -> None:
    """Work disturbed piece by piece; the link; what is delivered twice; migrations; clocks; a backtest of Dagster."""

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


def _of_daemons(note: Note) -> None:
    """A reader that dies during its first copy; and what needs a daemon and an archive nobody has collected."""
    with two_homes(replay=False) as homes:
        note(scenarios.reader_killed_during_the_first_copy(homes, durable=True))
        note(scenarios.reader_killed_during_the_first_copy(homes, durable=False))
    with two_homes() as homes:
        made = Daemons(homes)
        made.start()
        days = collecting(PLAN.start.isoformat(), PLAN.end.isoformat())

        def amid() -> Callable[[], bool]:
            before = homes.count("offsite", "collector_runs")
            return lambda: homes.count("offsite", "collector_runs") > before

        try:
            note(daemons.a_second_one(made))
            note(daemons.worker_killed(made, COLLECT, days, amid()))
            note(daemons.daemon_killed(made, "collect_polygon_earnings", days, amid()))
            note(daemons.worker_killed(made, "collect_polygon_daily_bars", days, amid(), server_too=True))
            note(daemons.one_outside_the_lock(made))
        finally:
            made.stop()


PARTS: dict[str, Callable[[Note], None]] = {"work": _of_work, "daemons": _of_daemons}


def _write(outcomes: list[Outcome]) -> None:
    rows = [
        f"| {o.fault} | {o.when} | {len(o.lost)} | {o.consistent_seconds:.1f} | {_cell(o.words)} | "
        f"{f'{o.told_seconds:.1f}' if o.words else ''} |"
        for o in outcomes
        # What was only the first of several disturbances of one piece of work is not a row of its own.
        if o.consistent_seconds or o.words
    ]
    when = time.strftime("%Y-%m-%d")
    tail = _TAIL.format(when=when, python=platform.python_version(), cores=os.cpu_count())
    _PAGE.write_text(_HEAD + "\n".join(rows) + "\n" + tail)


def _cell(words: str) -> str:
    # Where it was run is of no interest.
    words = re.sub(r"@[\w.-]+( since|:)", r"@host\1", re.sub(r"/\S*/sd-\w+", "…", words))
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
