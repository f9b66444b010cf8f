"""The pulse of a run: says every few seconds that the process lives, and since when the work stands still.

A thread writes it, so that a collector that hangs in its own work is seen to hang: it lives, and does not get on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import psycopg

EVERY_SECONDS = 5.0


class Pulse:
    """Writes a heartbeat by `write(idle_seconds)` while it is open as a context manager; without one it only counts."""

    def __init__(
        self,
        write: Callable[[float], None] | None = None,
        *,
        every_seconds: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._monotonic = write, monotonic
        self._every = EVERY_SECONDS if every_seconds is None else every_seconds
        self._last = monotonic()
        self._waiting = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def beat(self) -> None:
        """Note that the work got on."""
        self._last = self._monotonic()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Note that what follows is a wait that an upstream asked for: nobody hangs meanwhile."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self.beat()

    def idle_seconds(self) -> float:
        """Return for how long the work has stood still without having been asked to."""
        return 0.0 if self._waiting else max(self._monotonic() - self._last, 0.0)

    def __enter__(self) -> Self:
        if self._write is not None:
            self._thread = threading.Thread(target=self._go, args=(self._write,), name="pulse", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _go(self, write: Callable[[float], None]) -> None:
        while not self._stop.wait(self._every):
            try:
                write(self.idle_seconds())
            except psycopg.Error as error:
                # Without its connection the run has lost its lock as well: to readers it is dead, and says so here.
                logging.getLogger(__name__).warning("no heartbeat any more: %s", error)
                return
