"""`make bench`: what the fast ways are worth, side by side with the plain ways in one run, written to docs.

Nothing here is a test: a ratio says something on a quiet machine, and never fails a build.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from tests.paths import ROOT

from . import collection, evaluation, foundations, homes, joins, run, scores_at_scale, scoring, service, snapshot
from .machine import described
from .timing import Row

DOCUMENT = ROOT / "docs" / "benchmarks.md"
HEADS = ("what", "took", "beside it", "ratio", "units a second", "note")
_BENCHES: dict[str, Callable[[], Iterator[Row]]] = {
    "Kernel": scoring.measure,
    "Run": run.measure,
    "Evaluation": evaluation.measure,
    "Point-in-time join": joins.measure,
    "Snapshot": snapshot.measure,
    "Foundations": foundations.measure,
    "Collection": collection.measure,
    "Two homes": homes.measure,
    "Service": service.measure,
}


def _took(value: float) -> str:
    return f"{value * 1e3:.2f} ms" if value < 0.1 else f"{value:,.2f} s"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as texts: how many times as long the other way takes is the ratio."""
    other = row.baseline_seconds
    ratio = (
        ""
        if other is None
        else f"{other / row.seconds:,.1f}"
        if other < 100 * row.seconds
        else f"{other / row.seconds:,.0f}"
    )
    return (
        row.what,
        _took(row.seconds),
        "" if other is None else _took(other),
        ratio,
        f"{row.units / row.seconds:,.0f}" if row.units >= row.seconds else "",
        row.note,
    )


def main(wanted: list[str]) -> None:
    """Measure all benches, or those named, and print a table of each; all of them are also written to docs."""
    console = Console()
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Reference size (scoring.md): 1,500 entities hourly for four months, 4.32 million",
        "points, 500,000 events, 30 signals, 12 families, 10 chain types. Each figure stands beside another way,",
        "measured in the same run on the same data; plain ways too slow for all of it were given a part, and their",
        "time scaled up.",
        "",
        described(),
    ]
    for name, measure in _BENCHES.items():
        if wanted and name.lower() not in wanted:
            continue
        shown = Table(*HEADS, title=name)
        lines += ["", f"## {name}", "", f"| {' | '.join(HEADS)} |", "|" + "---|" * len(HEADS)]
        with console.status(f"measuring: {name}"):
            for row in measure():
                shown.add_row(*cells(row))
                lines.append(f"| {' | '.join(cells(row))} |")
        console.print(shown)
    if not wanted:
        # What takes too long to be measured every time has a part of its own, which stays.
        _, mark, kept = DOCUMENT.read_text().partition(f"\n{scores_at_scale.HEAD}\n")
        DOCUMENT.write_text("\n".join(lines) + "\n" + mark + kept)


if __name__ == "__main__":
    main([name.lower() for name in sys.argv[1:]])
