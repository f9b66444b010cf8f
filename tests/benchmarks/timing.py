"""What a benchmark is: a timing of the fast way beside one of another way, taken in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Row:
    """`seconds` for `units` of work; `baseline_seconds` for the same by the way it stands beside, if there is one."""

    what: str
    seconds: float
    baseline_seconds: float | None
    units: float
    note: str = ""


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def best(work: Callable[[], object], times: int = 3) -> float:
    """Return the shortest of some timings: what disturbs a timing only ever lengthens it."""
    return min(seconds(work) for _ in range(times))


STATUS = Path("/proc/self/status")


def peak_memory(status: TextIO | None = None) -> int:
    """Return the most memory this process has had, in bytes; `status` is an open `STATUS`, where no more may be opened.

    Not getrusage's ru_maxrss: that outlives exec, and a child starts with its parent's.
    """
    text = STATUS.read_text() if status is None else status.read()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM"))
