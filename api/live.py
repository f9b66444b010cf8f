"""Live updates: what anybody follows is read once for all of them, at an interval, and sent where it has changed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi.sse import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from signaldelta_assets.versioning import hash_document

from .problems import ProblemError

log = logging.getLogger("signaldelta.api.live")

# A stream ends after so long and its reader comes again with what it saw last, which browsers do by themselves: that
# is when a revoked key, a lower limit or a server that is to stop are noticed.
LONGEST_SECONDS = 60.0
_AGAIN_MILLISECONDS = 1000
_DIGITS = 16
_NOTHING = "-" * _DIGITS


@dataclass(frozen=True, slots=True)
class State:
    """What there is to say of one key now. `final`: nothing will follow, and the stream ends with it.

    version: the event's id, equal where what is said is equal, so that who comes again is told only what is new. Made
    with the state, by whoever reads: all who follow look at it at every turn, in the one loop they share.
    """

    document: Mapping[str, Any]
    event: str = "state"
    final: bool = False
    version: str = field(init=False)

    def __post_init__(self) -> None:
        """Name what is said."""
        named = hash_document({"event": self.event, "document": dict(self.document)})[:_DIGITS]
        object.__setattr__(self, "version", named)


class Feed:
    """One reader of the database for all that follow: `read` is asked once in `every_seconds` for all followed keys.

    read: blocking; gives the state of each key that has one. Where it fails, the failure is logged and asked again.
    """

    def __init__(
        self,
        read: Callable[[frozenset[str]], Mapping[str, State]],
        *,
        every_seconds: float = 1.0,
        most: int = 256,
        most_of_one: int = 32,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._read, self._every, self._most, self._most_of_one = read, every_seconds, most, most_of_one
        self.longest_seconds = longest_seconds
        self._followed: Counter[str] = Counter()
        self._callers: Counter[str] = Counter()
        self._streams = 0
        self._states: Mapping[str, State] = {}
        self._turned = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def room(self, *keys: str, caller: str | None = None) -> Iterator[None]:
        """Hold a place among those who follow. Raises the problem (503) where as many follow as may, `caller` or all.

        For an `async` dependency of the route: entered before the stream begins, where a refusal can still be told, and
        left when the request ends. A generator whose reader has left may wait long for the garbage collector.
        """
        if self._streams >= self._most:
            words = f"{self._most} streams are open, as many as may be: ask again, or poll"
            raise ProblemError(503, "too-many-streams", words, headers={"Retry-After": "10"})
        callers = () if caller is None else (caller,)
        if any(self._callers[one] >= self._most_of_one for one in callers):
            words = f"{self._most_of_one} streams of yours are open, as many as may be: follow more with one, or poll"
            raise ProblemError(503, "too-many-streams", words, headers={"Retry-After": "10"})
        self._streams += 1
        self._followed.update(keys)
        self._callers.update(callers)
        try:
            yield
        finally:
            self._streams -= 1
            self._followed.subtract(keys)
            self._callers.subtract(callers)
            # Keeps what is above zero.
            self._followed += Counter()
            self._callers += Counter()

    def follow(self, key: str, seen: str | None = None) -> AsyncIterator[ServerSentEvent]:
        """Yield the state of `key` now, unless it is the one `seen` (Last-Event-ID), and then each new one.

        Within `room(key)`: outside of any, nobody reads for it.
        """
        return self.follow_all((key,), seen)

    async def follow_all(self, keys: Sequence[str], seen: str | None = None) -> AsyncIterator[ServerSentEvent]:
        """Yield the states of several keys, as `follow` does of one, within their `room`; end when all are final.

        An event's id says what was told of each: who comes again with it, for the same keys in the same order, is
        told only what is new of any.
        """
        told = [seen[place : place + _DIGITS] for place in range(0, len(seen), _DIGITS)] if seen else []
        told = told if len(told) == len(keys) else [_NOTHING] * len(keys)
        if self._task is None or self._task.done():
            self._states = {}
            self._task = asyncio.create_task(self._turn())
        yield ServerSentEvent(retry=_AGAIN_MILLISECONDS)
        until = asyncio.get_running_loop().time() + self.longest_seconds
        while True:
            turned, states = self._turned, self._states
            for place, key in enumerate(keys):
                state = states.get(key)
                if state is not None and (version := state.version) != told[place]:
                    told[place] = version
                    yield ServerSentEvent(data=dict(state.document), event=state.event, id="".join(told))
            if all(key in states and states[key].final for key in keys):
                return
            try:
                await asyncio.wait_for(turned.wait(), until - asyncio.get_running_loop().time())
            except TimeoutError:
                return

    async def _turn(self) -> None:
        while self._followed:
            keys = frozenset(self._followed)
            try:
                self._states = await run_in_threadpool(self._read, keys)
            except Exception:
                # Whatever it is, those who follow are not cut off by it.
                log.exception("live: %d keys could not be read", len(keys))
            turned, self._turned = self._turned, asyncio.Event()
            turned.set()
            await asyncio.sleep(self._every)
