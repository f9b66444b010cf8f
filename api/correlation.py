"""Correlation ids: X-Request-ID is taken from the caller or made, kept with the request, logged and sent back.

Rows that a request writes, and writes that are refused, carry it (`signaldelta_assets.correlation`)."""

from __future__ import annotations

import logging
import re
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signaldelta_assets.correlation import correlated
from signaldelta_assets.versioning import new_ulid

HEADER = "X-Request-ID"
# What may be echoed into headers and logs without quoting.
_SAFE = re.compile(r"[A-Za-z0-9._-]{1,128}")
log = logging.getLogger("signaldelta.api.access")


class CorrelationMiddleware:
    """Pure ASGI: streams pass through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _SAFE.fullmatch(given) else new_ulid()
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 0

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            with correlated(request_id):
                await self.app(scope, receive, tagged)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            # As it came: decoded, a path may hold line breaks, and with them lines of the log that nobody wrote.
            path = scope.get("raw_path", b"").decode("ascii", "backslashreplace")
            log.info("%s %s %s %d %.1f ms", request_id, scope["method"], path, status, milliseconds)
