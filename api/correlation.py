"""Correlation ids: X-Request-ID is taken from the caller or made, kept with the request, logged and sent back.

Rows that a request writes, and writes that are refused, carry it (`signaldelta_assets.correlation`); so do the runs it
starts. Every request is told once it is over: to the log, and to whoever counts (`metrics`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signaldelta_assets.correlation import SAFE, correlated
from signaldelta_assets.versioning import new_ulid

from .auth.seen import seen_of
from .wire import headers_of

HEADER = "X-Request-ID"
_HEADER = HEADER.lower().encode()
log = logging.getLogger("signaldelta.api.access")


@dataclass(frozen=True, slots=True)
class Served:
    """One request that is over. `route` is its template, None where no route matched; `bytes` those of the body.

    status: 500 where it failed before it answered, 499 where its caller went away first.
    """

    method: str
    route: str | None
    status: int
    seconds: float
    bytes: int


def _own_path(route: Any) -> str | None:
    return getattr(route, "path", None)


class CorrelationMiddleware:
    """Pure ASGI, outside of every other: streams pass through untouched.

    path_of: a matched route's template. began, ended: are told of every request, and must neither wait nor fail.
    """

    def __init__(
        self,
        app: ASGIApp,
        path_of: Callable[[Any], str | None] = _own_path,
        began: Callable[[str], None] | None = None,
        ended: Callable[[Served], None] | None = None,
    ) -> None:
        self.app, self.path_of, self.began, self.ended = app, path_of, began, ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER), "")
        request_id = given if SAFE.fullmatch(given) else new_ulid()
        scope.setdefault("state", {})["request_id"] = request_id
        started, status, size = time.perf_counter(), 0, 0

        async def tagged(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = headers_of(message)
                # A problem document says it itself.
                if all(name != _HEADER for name, _ in headers):
                    headers.append((_HEADER, request_id.encode()))
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        if self.began is not None:
            self.began(scope["method"])
        failed = False
        try:
            with correlated(request_id):
                await self.app(scope, receive, tagged)
        except Exception:
            # Answered further out, where the line with its stack is written too.
            failed = True
            raise
        finally:
            status = status or (500 if failed else 499)
            route = self.path_of(scope.get("route"))
            served = Served(scope["method"], route, status, time.perf_counter() - started, size)
            if self.ended is not None:
                self.ended(served)
            _tell(scope, request_id, served)


def _tell(scope: Scope, request_id: str, served: Served) -> None:
    """Write the line of the log. It has no query: that is where callers put what should not be kept."""
    # As it came: decoded, a path may hold line breaks, and with them lines of the log that nobody wrote.
    path = scope.get("raw_path", b"").decode("ascii", "backslashreplace")
    milliseconds = round(served.seconds * 1000, 1)
    principal = seen_of(scope).principal
    context = {
        "method": served.method,
        "route": served.route,
        "path": path,
        "status": served.status,
        "milliseconds": milliseconds,
        "bytes": served.bytes,
        "user_id": principal and principal.user_id,
        "key_id": principal and principal.key_id,
    }
    log.info(
        "%s %s %s %d %.1f ms", request_id, served.method, path, served.status, milliseconds,
        extra={"context": context, "correlation_id": request_id},
    )  # fmt: skip
