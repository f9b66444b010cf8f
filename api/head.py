"""HEAD for every GET (RFC 9110 section 9.3.2): the same headers, no body, and no work for a body that is not sent."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _EnoughError(OSError):
    """Told to whoever goes on sending: a stream then ends as if its reader had left."""


class HeadMiddleware:
    """Pure ASGI, around what packs answers, whose headers are those of GET too; metrics and log see the HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        answered = False

        async def without_body(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.body":
                if not answered:
                    answered = True
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                if message.get("more_body"):
                    raise _EnoughError
                return
            await send(message)

        inner = {**scope, "method": "GET"}
        try:
            await self.app(inner, receive, without_body)
        except (ClientDisconnect, _EnoughError):
            if not answered:
                raise
        finally:
            # Which route it was is told by the inner scope.
            if "route" in inner:
                scope["route"] = inner["route"]
