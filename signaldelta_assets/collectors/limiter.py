"""Request slots: no more than so many requests a second to one upstream, over all processes.

Slots lie 8 % further apart than the rate asks, and a slot is used within 40 ms or not at all: the requests of any
second then stay within the rate however the processes that hold the slots are scheduled.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import collection

_SPACING = 1.08
_LATENESS_SECONDS = 0.04
# At most this much time is reserved in advance: what a process does not use is lost to the others.
_AHEAD_SECONDS = 0.5


class Limiter(Protocol):
    """Waits for a request slot; `hold` stops every process for a while, as the upstream asked."""

    def acquire(self) -> None:
        """Return when a request may be sent."""
        ...

    def hold(self, seconds: float) -> None:
        """Give out no slot for `seconds`."""
        ...


class Unlimited:
    """No limit: for upstreams without one, and for tests."""

    def acquire(self) -> None:
        """Return at once."""

    def hold(self, seconds: float) -> None:
        """Do nothing: the caller waits by itself."""


class SharedLimiter:
    """A limiter that all processes share through the table `rate_limits`. Safe for threads."""

    def __init__(
        self,
        warehouse: Warehouse,
        name: str,
        per_second: float,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._warehouse, self.name, self._spacing = warehouse, name, _SPACING / per_second
        self._most = max(1, int(_AHEAD_SECONDS / self._spacing))
        self._batch = 1
        self._slots: deque[float] = deque()
        self._sleep, self._monotonic = sleep, monotonic
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Wait for the next slot of this process; reserve more where none is left."""
        with self._lock:
            while True:
                slot = self._next()
                wait = slot - self._monotonic()
                if wait > 0:
                    self._sleep(wait)
                if self._monotonic() - slot <= _LATENESS_SECONDS:
                    return
                # Too late: the requests of others lie close behind. Slow callers take one slot at a time.
                self._batch = 1
                self._slots.clear()

    def hold(self, seconds: float) -> None:
        """Give out no slot for `seconds`, here and in every other process."""
        with self._lock:
            self._slots.clear()
            collection.hold_slots(self._warehouse, self.name, seconds)

    def _next(self) -> float:
        if not self._slots:
            wait, spacing = collection.reserve_slots(self._warehouse, self.name, self._batch, self._spacing)
            first = self._monotonic() + wait
            self._slots.extend(first + n * spacing for n in range(self._batch))
            self._batch = min(self._batch * 2, self._most)
        return self._slots.popleft()
