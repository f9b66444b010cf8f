"""Bodies of requests: read whole, in time and up to a size, and only of those who were let in; JSON of sane shape.

Who asks is found out before the first byte is read, so that nonsense without a credential costs nothing and counts as
every other request does. What a route then parses has no more levels and members than any honest request.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..problems import CarriedError, FieldError, ProblemError

# Their bodies mean nothing (RFC 9110, section 9.3), and no route reads them.
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
# A string, or a bracket, or a comma: enough to tell depth and members without building anything.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much and how slowly: bytes of a body, seconds until it is there, levels and members of its JSON."""

    bytes: int = 1_000_000
    seconds: float = 20.0
    depth: int = 32
    members: int = 20_000


async def _let_in(_: Scope) -> None:
    return None


class BodyWall:
    """Gives a route its body whole and checked, or raises the problem: 408, 413, 415, 422.

    admit: asked before anything is read, with the scope after routing; raises where the caller is not let in.
    """

    def __init__(
        self, app: ASGIApp, limits: BodyLimits | None = None, admit: Callable[[Scope], Awaitable[None]] = _let_in
    ) -> None:
        self.app, self.limits, self.admit = app, limits or BodyLimits(), admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self.app(scope, receive, send)
            return
        begun = False

        async def whole() -> Message:
            nonlocal begun
            if begun:
                return await receive()
            begun = True
            try:
                await self.admit(scope)
            except HTTPException:
                raise
            except Exception as error:
                # Whatever it is, it is answered as it would be anywhere else.
                raise CarriedError(error) from error
            return await self._read(scope, receive)

        await self.app(scope, whole, send)

    async def _read(self, scope: Scope, receive: Receive) -> Message:
        headers = Headers(scope=scope)
        stated = headers.get("content-length", "")
        if stated.isdigit() and int(stated) > self.limits.bytes:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return message
                    body += message.get("body", b"")
                    if len(body) > self.limits.bytes:
                        raise self._too_large()
                    more = message.get("more_body", False)
        except TimeoutError:
            words = f"the body was not there after {self.limits.seconds:g} s"
            raise ProblemError(408, "request-timeout", words, headers={"Connection": "close"}) from None
        if body:
            _require_json(headers)
            check_json(bytes(body), self.limits)
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    def _too_large(self) -> ProblemError:
        words = f"a body has at most {self.limits.bytes} bytes"
        return ProblemError(413, "content-too-large", words, headers={"Connection": "close"})


def _require_json(headers: Headers) -> None:
    given = headers.getlist("content-type")
    media = given[0].partition(";")[0].strip().lower() if len(given) == 1 else ""
    coded = headers.get("content-encoding", "identity").strip().lower()
    if media != "application/json" or coded != "identity":
        words = "expected one body of application/json, not encoded"
        raise ProblemError(415, "unsupported-media-type", words, headers={"Accept": "application/json"})


def check_json(body: bytes, limits: BodyLimits) -> None:
    """Raise the problem (413, 422) where `body` is no JSON that a route may be given.

    Refused: text that is not UTF-8 or not JSON (NaN and Infinity are not), the same member twice, NUL and lone
    surrogates in strings, which PostgreSQL cannot keep, and more levels or members than `limits`.
    """
    depth = members = 0
    for found in _TOKEN.finditer(body):
        token = body[found.start()]
        if token in b"[{":
            depth += 1
            members += 1
        elif token in b"]}":
            depth -= 1
        elif token == 0x2C:  # a comma
            members += 1
        if depth > limits.depth or members > limits.members:
            words = f"JSON has at most {limits.depth} levels and {limits.members} members"
            raise ProblemError(413, "content-too-large", words)
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_once)
        _check_text(document)
    except ValueError as error:
        words = f"expected JSON: {error}"[:200]
        raise ProblemError(422, "invalid-request", words, [FieldError(field="body", expected="JSON")]) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is there twice")
    return found


def _check_text(value: Any) -> None:
    """Raise ValueError for a string that no database keeps. The depth of `value` is bounded already."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a string has a NUL character")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("a string has half of a surrogate pair")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_text(name)
            _check_text(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_text(inner)
