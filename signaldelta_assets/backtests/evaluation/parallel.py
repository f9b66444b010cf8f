"""Threads over compiled functions: tasks whose results come back in order.

Results never depend on the number of threads: a task's own sums run in one written order, sums across tasks are of
whole numbers or run in the tasks' order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np

from signaldelta_assets.versioning.compiling import threads

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def in_order(work: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
    """Yield work(task) for each task in the order given, a few of them at work or waiting at any moment."""
    # Python threads, not numba's: its layers abort the process on concurrent callers or after a fork.
    count = threads()
    if count == 1:
        yield from map(work, tasks)
        return
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(count) as pool:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def stretches(length: int, parts: int) -> list[tuple[int, int]]:
    """Return at most `parts` neighbouring stretches [low, high) that cover 0..length, none of them empty."""
    bounds = np.linspace(0, length, min(max(parts, 1), max(length, 1)) + 1).astype(np.int64).tolist()
    return [(low, high) for low, high in pairwise(bounds) if high > low]
