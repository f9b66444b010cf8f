"""Faults on request, and the log of what was asked: one ASGI layer around everything else.

Rules are tried in the order they were given; the first that matches acts. Kinds: `status` (429, 403, 5xx, with
Retry-After), `cut` (the connection closes inside the body), `slow` (the body comes in pieces), `garble` (other bytes
than the document's, with status 200).
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = ("status", "cut", "slow", "garble")
CONTROL = "/__replay__/"
# Enough for any test; a server left running does not fill memory.
_LONGEST_LOG = 200_000


@dataclass(slots=True)
class FaultRule:
    """One rule. `path` is a regular expression searched in the path; `count` None means without end.

    `probability` is drawn from a generator seeded with `seed`, so that a run can be repeated. `after_bytes` is where a
    cut falls; `delay_seconds` is what a slow body takes in all.
    """

    path: str
    kind: str
    status: int = 503
    retry_after: str | None = None
    after_bytes: int = 16
    delay_seconds: float = 1.0
    probability: float = 1.0
    count: int | None = None
    seed: int = 0
    hits: int = 0
    _pattern: re.Pattern[str] = field(init=False, repr=False)
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, found {self.kind!r}")
        if not 400 <= self.status <= 599:
            raise ValueError(f"status: expected 400 to 599, found {self.status!r}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability: expected 0 to 1, found {self.probability!r}")
        try:
            self._pattern = re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path: expected a regular expression, found {self.path!r} ({error})") from error
        self._random = random.Random(self.seed)

    def fires(self, path: str) -> bool:
        """Return whether this rule acts on a request for `path`; counts if so."""
        if self.count is not None and self.hits >= self.count:
            return False
        if not self._pattern.search(path) or self._random.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as JSON-able dict."""
        names = ("path", "kind", "status", "retry_after", "after_bytes", "delay_seconds", "probability", "count")
        return {name: getattr(self, name) for name in (*names, "seed", "hits")}


@dataclass(slots=True)
class Desk:
    """What the control endpoints change and read: rules and log."""

    rules: list[FaultRule] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)


class FaultLayer:
    """The ASGI layer. Control paths are neither logged nor disturbed."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app, self._desk = app, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        rule = next((rule for rule in self._desk.rules if rule.fires(scope["path"])), None)
        entry = self._entry(scope, rule)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
            await send(message)

        if rule is None:
            await self._app(scope, receive, noted)
        elif rule.kind == "status":
            await _refuse(rule, noted)
        elif rule.kind == "garble":
            await _garble(noted)
        elif rule.kind == "cut":
            await self._app(scope, receive, _cutter(rule, noted))
        else:
            await self._app(scope, receive, _brake(rule, noted))

    def _entry(self, scope: Scope, rule: FaultRule | None) -> dict[str, Any]:
        # A key in the query is a secret wherever it is written down.
        query = [(k, v) for k, v in parse_qsl(scope["query_string"].decode("latin-1")) if k.lower() != "apikey"]
        entry = {
            "at": time.time(),
            "method": scope["method"],
            "path": scope["path"],
            "query": urlencode(query),
            "status": None,
            "fault": rule.kind if rule else None,
        }
        if len(self._desk.log) < _LONGEST_LOG:
            self._desk.log.append(entry)
        return entry


async def _refuse(rule: FaultRule, send: Send) -> None:
    body = f"{rule.status}: fault injected by the replay server\n".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    if rule.retry_after is not None:
        headers.append((b"retry-after", rule.retry_after.encode()))
    await send({"type": "http.response.start", "status": rule.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _garble(send: Send) -> None:
    body = b"<!DOCTYPE html><html><body>Something else than was asked for.</body>"
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _cutter(rule: FaultRule, send: Send) -> Send:
    """Pass the head and the first bytes, then nothing: the server closes a response that was never completed."""
    left = rule.after_bytes

    async def cut(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            # Promise more than will come, whatever the length of the true body.
            headers = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
            await send({**message, "headers": [*headers, (b"content-length", b"1000000000")]})
            return
        part = message.get("body", b"")[:left]
        left -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": True})

    return cut


def _brake(rule: FaultRule, send: Send) -> Send:
    async def slow(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message.get("body", b"")
        size = max(len(body) // 8, 1)
        pieces = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
        for piece in pieces:
            await asyncio.sleep(rule.delay_seconds / len(pieces))
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)})

    return slow
