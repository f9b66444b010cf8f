"""Where requests wait to be let in, together with those that came in meanwhile: one way to the stores for all of them.

Each is asked about after it came in, and counted by itself: nothing is remembered, and no limit becomes less exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request

from ..together import Together
from .principal import Principal
from .stores import Several

if TYPE_CHECKING:
    from .access import Access, Asked


class Desk:
    """Lets in several at once: `Access.admit` for whoever awaits it."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._together: Together[Request, Principal] = Together("desk", self._admit)

    async def admit(self, request: Request) -> Principal:
        """Return who asks, having counted the request; raises as `Access.admit` does."""
        return await self._together.ask(request)

    def _admit(self, requests: Sequence[Request]) -> list[Principal | Exception]:
        """Go through the steps of all requests side by side, asking the stores once for all that are at one step."""
        outcomes: dict[int, Principal | Exception] = {}
        steps = [self._access.steps(request) for request in requests]
        standing: list[tuple[int, Asked]] = []

        def go(place: int, answer: Any) -> None:
            try:
                standing.append((place, steps[place].send(answer)))
            except StopIteration as done:
                outcomes[place] = done.value
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this request alone
                outcomes[place] = error

        for place in range(len(steps)):
            go(place, None)
        while standing:
            asked = standing.copy()
            standing.clear()
            answers = self._ask([question for _, question in asked])
            for (place, _), answer in zip(asked, answers, strict=True):
                go(place, answer)
        return [outcomes[place] for place in range(len(steps))]

    def _ask(self, asked: Sequence[Asked]) -> list[Any]:
        assert self._access.resolver is not None
        users = cast(Several, self._access.resolver.users)
        counter = cast(Several, self._access.counter)
        prefixes = list(dict.fromkeys(one for one in asked if isinstance(one, str)))
        counts = [one for one in asked if not isinstance(one, str)]
        keys = users.keys_of_prefixes(prefixes) if prefixes else {}
        counted: Iterator[Any] = iter(counter.count_all(counts) if counts else ())
        return [keys.get(one, ()) if isinstance(one, str) else next(counted) for one in asked]
