"""Around every request: the headers that say where its caller stands, and the line in the log where it was refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..wire import Header, add_vary, headers_of
from .access import Access
from .seen import seen_of
from .stores import Counted

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSED = (401, 403, 429)


def _own_path(route: Any) -> str | None:
    return getattr(route, "path", None)


class AccessMiddleware:
    """Pure ASGI, inside of the correlation id: streams pass through untouched.

    path_of: the template by which a matched route is known in the log; a path as sent could hold anything.

    A line is written before the answer goes out, so that who has been answered finds it there.
    """

    def __init__(self, app: ASGIApp, access: Access, path_of: Callable[[Any], str | None] = _own_path) -> None:
        self.app, self.access, self.path_of = app, access, path_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})
        seen = seen_of(scope)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = headers_of(message)
                if seen.counted:
                    headers.extend(_standing(seen.counted))
                if seen.principal is not None or message["status"] in _REFUSED:
                    add_vary(headers, b"Authorization, X-API-Key")
                await note(message["status"])
            await send(message)

        async def note(status: int) -> None:
            changing = scope["method"] not in _SAFE_METHODS and seen.principal is not None
            if status in _REFUSED or (changing and not seen.noted):
                seen.noted = True
                route = self.path_of(scope.get("route"))
                await run_in_threadpool(self.access.note_refusal, scope, route, status)

        try:
            await self.app(scope, receive, told)
        except Exception:
            # Answered further out, as an unexpected error; what it may have changed is noted here.
            await note(500)
            raise


def _standing(rows: Sequence[Counted]) -> Iterator[Header]:
    """RateLimit-* of the allowance that is nearest to its end (IETF httpapi's draft), and Retry-After where it is."""
    nearest = min(rows, key=lambda one: (one.within, one.allowance.allowed - one.used))
    allowance = nearest.allowance
    left = max(allowance.allowed - nearest.used, 0) if nearest.within else 0
    policy = ", ".join(f'"{one.allowance.scope}";q={one.allowance.allowed};w={one.allowance.seconds}' for one in rows)
    yield b"ratelimit-limit", b"%d" % allowance.allowed
    yield b"ratelimit-remaining", b"%d" % left
    yield b"ratelimit-reset", b"%d" % nearest.reset_seconds
    yield b"ratelimit-policy", policy.encode()
