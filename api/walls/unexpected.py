"""Errors nobody expected: answered within the other walls, so that the answer has their headers too."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import problems


class UnexpectedErrors:
    """Answers 500 for whatever a route raises that nothing else answers. Where the answer has begun, it is cut off."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            # Whatever it is: the caller gets a problem document, the log everything.
            if begun or scope["type"] != "http":
                raise
            await problems.unexpected(Request(scope), error)(scope, receive, send)
