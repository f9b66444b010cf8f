"""Where requests wait to be let in: what comes in while the stores are being asked goes to them together, next.

The busier a process is, the more requests share one way to the database, as commits share a flush of a log. Each is
asked about after it came in, and counted by itself: nothing is remembered, and no limit becomes less exact.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request

from .principal import Principal
from .stores import Together

if TYPE_CHECKING:
    from .access import Access, Asked

# So many at most share one question: the statement stays of a size that plans well.
_MOST = 64
_Waiting = tuple[Request, "asyncio.Future[Principal]"]
_Outcome = tuple["asyncio.Future[Principal]", Principal | None, BaseException | None]


class Desk:
    """Lets in several at once: `Access.admit` for whoever awaits it, of one process, whatever loop they are in."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()
        self._serving = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="desk")

    async def admit(self, request: Request) -> Principal:
        """Return who asks, having counted the request; raises as `Access.admit` does."""
        future: asyncio.Future[Principal] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append((request, future))
            idle, self._serving = not self._serving, True
        if idle:
            self._thread.submit(self._serve)
        return await future

    def _serve(self) -> None:
        while True:
            with self._lock:
                served, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                if not served:
                    self._serving = False
                    return
            outcomes = self._admit([request for request, _ in served], [future for _, future in served])
            by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
            for outcome in outcomes:
                by_loop.setdefault(outcome[0].get_loop(), []).append(outcome)
            for loop, told in by_loop.items():
                # A loop that has ended has nobody left who waits.
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_tell, told)

    def _admit(self, requests: Sequence[Request], futures: Sequence[asyncio.Future[Principal]]) -> list[_Outcome]:
        """Go through the steps of all requests side by side, asking the stores once for all that are at one step."""
        outcomes: list[_Outcome] = []
        steps = [self._access.steps(request) for request in requests]
        standing: list[tuple[int, Asked]] = []

        def go(place: int, answer: Any) -> None:
            try:
                standing.append((place, steps[place].send(answer)))
            except StopIteration as done:
                outcomes.append((futures[place], done.value, None))
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever waits for this request
                outcomes.append((futures[place], None, error))

        for place in range(len(steps)):
            go(place, None)
        while standing:
            asked, standing = standing, []
            try:
                answers = self._ask([question for _, question in asked])
            except Exception as error:  # noqa: BLE001 - as above, of all of them
                outcomes += [(futures[place], None, error) for place, _ in asked]
                break
            for (place, _), answer in zip(asked, answers, strict=True):
                go(place, answer)
        return outcomes

    def _ask(self, asked: Sequence[Asked]) -> list[Any]:
        assert self._access.resolver is not None
        users = cast(Together, self._access.resolver.users)
        counter = cast(Together, self._access.counter)
        prefixes = list(dict.fromkeys(one for one in asked if isinstance(one, str)))
        counts = [one for one in asked if not isinstance(one, str)]
        keys = users.keys_of_prefixes(prefixes) if prefixes else {}
        counted: Iterator[Any] = iter(counter.count_all(counts) if counts else ())
        return [keys.get(one, ()) if isinstance(one, str) else next(counted) for one in asked]


def _tell(outcomes: Sequence[_Outcome]) -> None:
    for future, principal, error in outcomes:
        if future.done():
            continue  # whoever asked has gone
        if error is not None:
            future.set_exception(error)
        else:
            assert principal is not None
            future.set_result(principal)
