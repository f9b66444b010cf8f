"""`make study`: run the study, show its progress, write docs/calibration-study.md."""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import chain

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.paths import ROOT

from .study import FULL, run
from .table import document

OUT = ROOT / "docs" / "calibration-study.md"


def main() -> None:
    """Run at full size, or at the size asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("noise", "planted", "replicates", "draws"):
        parser.add_argument(f"--{name}", type=int, default=getattr(FULL, name))
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    size = replace(FULL, **{name: getattr(asked, name) for name in ("noise", "planted", "replicates", "draws")})
    console = Console(stderr=True)
    found = []
    columns = (TextColumn("archives"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("archives", total=size.noise + size.planted)
        for answers in run(size, processes=asked.processes):
            found.append(answers)
            progress.advance(bar)
    sizes = " ".join(f"--{name} {value}" for name, value in vars(size).items() if value != getattr(FULL, name))
    command = f"python -m tests.study {sizes}" if sizes else "make study"
    OUT.write_text(document(list(chain.from_iterable(found)), size, command))
    console.print(f"written: {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
