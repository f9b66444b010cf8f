"""Paths and queries of plain text: what holds control characters is refused before any route looks at it.

PostgreSQL keeps no NUL, and no name, id or cursor of ours has a line break: whoever sends one wants another reader of
it, a log or a header, to stumble.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from .. import problems
from ..problems import ProblemError

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class TextWall:
    """Answers 400 where the decoded path or query has a control character or is not UTF-8."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            part = _fault(scope)
            if part is not None:
                words = f"{part}: expected UTF-8 text without control characters"
                answer = problems.answer(Request(scope), ProblemError(400, "bad-request", words))
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _fault(scope: Scope) -> str | None:
    raw = {"path": scope.get("raw_path") or scope["path"].encode(), "query": scope.get("query_string", b"")}
    for part, text in raw.items():
        decoded = unquote_to_bytes(text) if b"%" in text else text
        if _CONTROL.search(decoded):
            return part
        if not decoded.isascii():
            try:
                decoded.decode("utf-8")
            except UnicodeDecodeError:
                return part
    return None
