"""The server's protocol with its patience limited: heads of requests by size and time, bodies and readers by time.

uvicorn waits for ever: for a head that dribbles in, a body that does not end, a reader that does not read. One
machine could hold every connection open that way. `api.server` serves by it.
What is cut here never reached a route, so no thread and no connection of the database is held meanwhile.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from signaldelta_assets.versioning import new_ulid

from ..problems import MEDIA_TYPE, Problem

_KINDS = {400: "bad-request", 408: "request-timeout", 414: "uri-too-long", 431: "header-fields-too-large"}


class _RefusedHeadError(Exception):
    """Raised into the parser, which stops."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's own protocol over httptools, which answers 408, 414 and 431 and cuts who keeps it waiting.

    head_seconds: from the first sign of a caller, or of the next request, to the end of the head.
    body_seconds: from there to the end of the body; a little more than the routes wait, who say so first.
    unread_bytes, unread_seconds: of a body that goes on after its answer.
    reader_seconds: how long an answer may find no room in the network.
    """

    head_seconds: ClassVar[float] = 15.0
    head_bytes: ClassVar[int] = 32_768
    head_lines: ClassVar[int] = 100
    target_bytes: ClassVar[int] = 8_192
    body_seconds: ClassVar[float] = 25.0
    unread_bytes: ClassVar[int] = 1_000_000
    unread_seconds: ClassVar[float] = 2.0
    reader_seconds: ClassVar[float] = 30.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._in_head, self._whole = True, True
        self._head = self._unread = 0
        self._refused: int | None = None

    def _start(self, name: str, seconds: float, then: Any) -> None:
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(seconds, then)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._start("head", self.head_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        for name in tuple(self._timers):
            self._stop(name)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before a head is whole: a parser keeps a line for as long as it goes on."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._start("head", self.head_seconds, self._too_slow)
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > self.head_bytes and not self.transport.is_closing():
            self._refuse(431)

    def on_url(self, url: bytes) -> None:
        """Take a part of the target, up to its limit."""
        super().on_url(url)
        if len(self.url) > self.target_bytes:
            self._refused = 414
            raise _RefusedHeadError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a line of the head, up to so many and so much."""
        super().on_header(name, value)
        size = sum(len(key) + len(text) + 4 for key, text in self.headers)
        if len(self.headers) > self.head_lines or size > self.head_bytes:
            self._refused = 431
            raise _RefusedHeadError

    def on_headers_complete(self) -> None:
        """Begin to wait for the body."""
        self._stop("head")
        self._in_head, self._whole, self._head, self._unread = False, False, 0, 0
        self._start("body", self.body_seconds, self._too_slow)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; one that nobody reads any more, up to so much."""
        if self.cycle.response_complete:
            self._unread += len(body)
            if self._unread > self.unread_bytes:
                self.transport.abort()
                return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; the next may begin."""
        for name in ("body", "unread"):
            self._stop(name)
        self._in_head, self._whole = True, True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answered: what is left of the body is heard out for a moment, or the answer would be lost with it."""
        super().on_response_complete()
        if not self._whole:
            self._start("unread", self.unread_seconds, self._cut)

    def pause_writing(self) -> None:
        """The network takes no more."""
        super().pause_writing()
        self._start("reader", self.reader_seconds, self._cut)

    def resume_writing(self) -> None:
        """It takes more."""
        self._stop("reader")
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, or no longer one."""
        self._refuse(self._refused or 400)

    def _too_slow(self) -> None:
        if not self._in_head or (self.cycle is not None and not self.cycle.response_complete):
            # A route waits for the body, or has answered or begun to: there is no room for another answer.
            self._cut()
        elif self._in_head and self._head == 0:
            self.transport.close()  # nothing was asked
        else:
            self._refuse(408)

    def _cut(self) -> None:
        self.transport.abort()

    def _refuse(self, status: int) -> None:
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and (self._in_head or self.cycle.response_started):
            # Another answer is on its way: there is no place for this one.
            self._cut()
            return
        phrase, request_id = HTTPStatus(status).phrase, new_ulid()
        problem = Problem(
            type=f"urn:signaldelta:problem:{_KINDS[status]}",
            title=phrase,
            status=status,
            detail="The request was cut off before any route had it.",
            instance="",
            request_id=request_id,
        )
        body = problem.model_dump_json().encode()
        lines = [
            f"HTTP/1.1 {status} {phrase}", f"Content-Type: {MEDIA_TYPE}", f"Content-Length: {len(body)}",
            "Cache-Control: no-store", "X-Content-Type-Options: nosniff", f"X-Request-ID: {request_id}",
            "Connection: close", "", "",
        ]  # fmt: skip
        self.logger.warning("request %s was cut off: %d %s", request_id, status, phrase)
        self.transport.write("\r\n".join(lines).encode() + body)
        self.transport.close()
