"""Who keeps the server waiting is cut off, by its own protocol over real sockets; all others are served meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from api.correlation import CorrelationMiddleware
from api.walls import BodyLimits, BodyWall
from api.walls.patience import PatientProtocol
from tests.serving import serving

pytestmark = pytest.mark.platform


class Hurried(PatientProtocol):
    """The same, in a hurry."""

    head_seconds = 0.5
    body_seconds = 2.0
    unread_seconds = 0.2
    reader_seconds = 0.5


# How long a cut may take on a busy machine; the protocol's own patience without the cut would be for ever.
CUT = 5.0


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    app = FastAPI()

    @app.get("/quick")
    def quick() -> dict[str, bool]:
        return {"ok": True}

    @app.post("/body")
    def body(wanted: dict[str, str]) -> dict[str, int]:
        return {"members": len(wanted)}

    @app.get("/endless")
    def endless() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65_536
                    await asyncio.sleep(0)
            finally:
                app.state.ended = True

        return StreamingResponse(parts())

    app.state.ended = False
    app.add_middleware(BodyWall, limits=BodyLimits(seconds=30))
    app.add_middleware(CorrelationMiddleware)
    with serving(app, Hurried) as url:
        APPS.append(app)
        yield "127.0.0.1", urlsplit(url).port or 0


APPS: list[FastAPI] = []


def ended(connection: socket.socket) -> bytes:
    """What comes until the other side closes. Raises TimeoutError where it does not."""
    connection.settimeout(CUT)
    found = b""
    while True:
        try:
            part = connection.recv(65_536)
        except ConnectionResetError:
            return found
        if not part:
            return found
        found += part


def served(address: tuple[str, int]) -> None:
    assert httpx.get(f"http://{address[0]}:{address[1]}/quick", timeout=CUT).json() == {"ok": True}


def problem(answer: bytes, status: int, kind: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    document = json.loads(body)
    assert (document["status"], document["type"]) == (status, f"urn:signaldelta:problem:{kind}")
    assert document["request_id"].encode() in head and b"application/problem+json" in head


@pytest.mark.parametrize("sent", [b"G", b"GET /quick HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
def test_a_head_that_does_not_end_is_answered_408(address: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        served(address)
        problem(ended(connection), 408, "request-timeout")


def test_a_head_that_dribbles_gets_no_more_time_by_it(address: tuple[str, int]) -> None:
    begun = time.monotonic()
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET /quick HTTP/1.1\r\n")
        with pytest.raises((ConnectionError, TimeoutError)):
            while time.monotonic() - begun < CUT:
                connection.sendall(b"X-A: b\r\n")
                time.sleep(0.05)
            raise AssertionError("nobody cut it off")
    assert time.monotonic() - begun < CUT


def test_who_says_nothing_is_closed_and_the_second_request_waits_no_longer_than_the_first(
    address: tuple[str, int],
) -> None:
    with socket.create_connection(address) as silent:
        assert ended(silent) == b""
    with socket.create_connection(address) as twice:
        twice.sendall(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
        twice.settimeout(CUT)
        assert b"200 OK" in twice.recv(65_536)
        twice.sendall(b"GET /qui")
        assert b"408" in ended(twice)


def test_a_body_that_does_not_end_is_cut_and_served_are_the_others(address: tuple[str, int]) -> None:
    head = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
    with socket.create_connection(address) as connection:
        connection.sendall(head + b'{"a":')
        served(address)
        assert ended(connection) == b""


def test_a_body_that_goes_on_after_its_answer_is_not_heard_out(address: tuple[str, int]) -> None:
    """A route without a body has answered; what is still announced is not waited for."""
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET /quick HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        begun = time.monotonic()
        assert ended(connection).count(b"HTTP/1.1") == 1
        assert time.monotonic() - begun < Hurried.body_seconds, "not as long as for a body that somebody reads"
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET /quick HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        sent, begun = 0, time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - begun < CUT:
                sent += connection.send(b"x" * 65_536)
        assert sent < 20_000_000


def test_a_reader_that_does_not_read_is_cut(address: tuple[str, int]) -> None:
    APPS[-1].state.ended = False
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address)
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        begun = time.monotonic()
        while not APPS[-1].state.ended:
            assert time.monotonic() - begun < CUT, "it is still being written to"
            time.sleep(0.02)
    served(address)


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "uri-too-long"),
        (b"GET /quick?" + b"a" * 9000, 414, "uri-too-long"),
        (b"GET /quick HTTP/1.1\r\nX-A: " + b"a" * 40_000 + b"\r\n\r\n", 431, "header-fields-too-large"),
        (b"GET /quick HTTP/1.1\r\nX-A: " + b"a" * 40_000, 431, "header-fields-too-large"),
        (b"GET /quick HTTP/1.1\r\n" + b"X-A: a\r\n" * 150 + b"\r\n", 431, "header-fields-too-large"),
        (b"NONSENSE\r\n\r\n", 400, "bad-request"),
        (b"GET /quick HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n", 400, "bad-request"),
        (b"GET /quick HTTP/1.1\r\nHost: x\r\nX-A : a\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad-request"),
        (b"GET /quick HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400, "bad-request"),
        (b"GET /quick HTTP/9.9\r\n\r\n", 400, "bad-request"),
    ],
)  # fmt: skip
def test_a_head_that_is_no_head_is_a_problem(address: tuple[str, int], sent: bytes, status: int, kind: str) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        problem(ended(connection), status, kind)


def test_long_heads_within_the_limits_are_served(address: tuple[str, int]) -> None:
    url = f"http://{address[0]}:{address[1]}/quick?{'a' * 7000}"
    assert httpx.get(url, headers={f"X-{n}": "v" * 200 for n in range(80)}).status_code == 200
    assert httpx.post(f"http://{address[0]}:{address[1]}/body", json={"a": "b"}).json() == {"members": 1}
