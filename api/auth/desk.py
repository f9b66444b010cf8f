"""Where requests wait to be let in, together with those that came in meanwhile: one way to the stores for all of them.

Each is asked about after it came in, and counted by itself: no limit becomes less exact. What is remembered of a key
holds only if the statement that counts the request finds it unchanged; else nothing was counted, and it is asked for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request

from ..together import Together
from .principal import Principal
from .seen import seen_of
from .stores import Asked, Keys, Several

if TYPE_CHECKING:
    from .access import Access, Question

_MOST_KEYS = 10_000


class Desk:
    """Lets in several at once: `Access.admit` for whoever awaits it."""

    def __init__(self, access: Access) -> None:
        self._access = access
        # Of the desk's own thread alone.
        self._keys: dict[str, Keys] = {}
        self._together: Together[Request, Principal] = Together("desk", self._admit)

    async def admit(self, request: Request) -> Principal:
        """Return who asks, having counted the request; raises as `Access.admit` does."""
        return await self._together.ask(request)

    def _admit(self, requests: Sequence[Request]) -> list[Principal | Exception]:
        found = self._as_remembered(requests)
        if found is None:
            for request in requests:
                seen_of(request.scope).forget()
            found = self._in_steps(requests)
        return found

    def _as_remembered(self, requests: Sequence[Request]) -> list[Principal | Exception] | None:
        """Let all in by the keys as they were last read, if they are so still; None where anything is otherwise."""
        steps, counts = [], []
        versions: dict[str, str] = {}
        for request in requests:
            one = self._access.steps(request)
            try:
                prefix = next(one)
                keys = self._keys.get(prefix) if isinstance(prefix, str) else None
                if not isinstance(prefix, str) or keys is None or keys.version is None:
                    return None
                counts.append(cast(Asked, one.send(keys.found)))
            except Exception:  # noqa: BLE001 - said again by the steps, for this request alone
                return None
            steps.append(one)
            versions[prefix] = keys.version
        counted = cast(Several, self._access.counter).count_all_held(counts, versions)
        if counted is None:
            return None
        return [_ended(one, answer) for one, answer in zip(steps, counted, strict=True)]

    def _in_steps(self, requests: Sequence[Request]) -> list[Principal | Exception]:
        """Go through the steps of all requests side by side, asking the stores once for all that are at one step."""
        outcomes: dict[int, Principal | Exception] = {}
        steps = [self._access.steps(request) for request in requests]
        standing: list[tuple[int, Question]] = []

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

    def _ask(self, asked: Sequence[Question]) -> list[Any]:
        assert self._access.resolver is not None
        users = cast(Several, self._access.resolver.users)
        counter = cast(Several, self._access.counter)
        prefixes = list(dict.fromkeys(one for one in asked if isinstance(one, str)))
        counts = [one for one in asked if not isinstance(one, str)]
        keys = users.keys_of_prefixes(prefixes) if prefixes else {}
        if len(self._keys) > _MOST_KEYS:
            self._keys.clear()
        self._keys |= keys
        counted: Iterator[Any] = iter(counter.count_all(counts) if counts else ())
        return [(keys[one].found if one in keys else ()) if isinstance(one, str) else next(counted) for one in asked]


def _ended(steps: Generator[Any, Any, Principal], answer: Any) -> Principal | Exception:
    """Return how the last of its steps ends for a request."""
    try:
        steps.send(answer)
    except StopIteration as done:
        principal: Principal = done.value
        return principal
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this request alone
        return error
    raise AssertionError("a request is counted once")
