"""Which pages of other sites may read: those whose origin is on the list, exactly as the browser writes it.

No wildcard and no credentials of the browser's own (cookies): a key or token is in a header that the page sets, so a
page that is let read still needs one. An origin that is not listed gets the answer without permission to read it.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_REQUEST_HEADERS = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "If-Range", "Last-Event-ID",
    "Range", "X-API-Key", "X-Request-ID",
)  # fmt: skip
_EXPOSED = (
    "Content-Disposition", "Content-Range", "ETag", "Link", "Location", "RateLimit-Limit", "RateLimit-Policy",
    "RateLimit-Remaining", "RateLimit-Reset", "Retry-After", "X-Request-ID",
)  # fmt: skip
_PREFLIGHT_SECONDS = 600


class CorsMiddleware:
    """Answers preflights of listed origins (204) and lets their pages read every answer, errors too.

    A preflight holds no credential and is answered without one: it asks what may be asked, of no route and no data.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self.app, self.origins = app, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.origins:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        listed = origin in self.origins and len(headers.getlist("origin")) == 1

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                # Always: a cache must not give one origin's answer, or that for none, to another.
                told.add_vary_header("Origin")
                if listed and origin is not None:
                    told["Access-Control-Allow-Origin"] = origin
                    told["Access-Control-Expose-Headers"] = ", ".join(_EXPOSED)
            await send(message)

        if listed and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            told = {
                "Access-Control-Allow-Methods": ", ".join(CORS_METHODS),
                "Access-Control-Allow-Headers": ", ".join(_REQUEST_HEADERS),
                "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
                "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
            }
            await Response(status_code=204, headers=told)(scope, receive, marked)
            return
        await self.app(scope, receive, marked)
