"""Headers that tell a browser to take answers for what they are, and pages for no more."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..wire import headers_of

# A page of ours shows text, its own styles and its own pictures; it runs nothing, loads nothing, and is framed nowhere.
_PAGE = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_DATA = "default-src 'none'; frame-ancestors 'none'"
_POLICY = b"content-security-policy"
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


class SecurityHeaders:
    """Adds nosniff, no-referrer, a content security policy and no framing to every answer that has none of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                # As they are on the wire: read once and added to, at every answer.
                headers = headers_of(message)
                own = dict(headers)
                page = own.get(b"content-type", b"").startswith(b"text/html")
                if _POLICY not in own:
                    headers.append((_POLICY, (_PAGE if page else _DATA).encode()))
                headers.extend(header for header in _ALWAYS if header[0] not in own)
            await send(message)

        await self.app(scope, receive, marked)
