"""Between the network and the routes: which pages may read, what bodies are taken, how answers are packed."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import brotli
import httpx
import psycopg
import pytest
import zstandard
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from api import Parts, create_app
from api.accounts import required_access
from api.auth import Limits, make_key
from api.problems import ProblemError
from api.walls import BodyLimits, CompressionMiddleware, CorsMiddleware, SecurityHeaders, UnexpectedErrors
from api.walls.bodies import check_json
from signaldelta_assets.settings import Settings
from signaldelta_assets.versioning import canonical_json, content_ulid, hash_document
from signaldelta_assets.warehouse import ArtifactStore, PoolLimits, Warehouse
from signaldelta_assets.warehouse.stores import users
from tests.readside import T0, insert
from tests.serving import serving

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
DESK = "https://desk.example"
KEYS = "/api/v2/users/me/keys"
BODIES = BodyLimits(bytes=20_000, seconds=1.5)


@dataclass
class Place:
    """A client of a server that asks for keys, a key that may write, and the server's own warehouse."""

    client: httpx.Client
    key: dict[str, str]
    port: int
    warehouse: Warehouse


def lent(place: Place) -> int:
    """How many connections to the database are at work or within a transaction."""
    with psycopg.connect(place.warehouse.url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
            " AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture(scope="module")
def place(postgres_url: str, store: ArtifactStore, filled: Warehouse, tmp_path_factory: Any) -> Iterator[Place]:
    warehouse = Warehouse(postgres_url)
    access = required_access(warehouse, None, Limits(refused=50))
    reports = tmp_path_factory.mktemp("reports")
    app = create_app(Parts(warehouse, store, access=access, reports=reports, origins=[DESK], bodies=BODIES))
    owner = users.create_user(
        filled, tier="research", admin=False, email=None, name=None, subject=None, actor=users.OPERATOR
    )
    made = make_key()
    users.create_key(filled, owner, users.NewKey(made.prefix, made.key_hash, "t", ["read", "write"]), users.OPERATOR)
    with serving(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield Place(client, {"X-API-Key": made.text}, urlsplit(url).port or 0, warehouse)


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:signaldelta:problem:{kind}" and body["request_id"] == answer.headers["x-request-id"]
    return body


class TestOrigins:
    def test_a_listed_page_may_ask_and_read_errors_too(self, place: Place) -> None:
        asked = {"Origin": DESK, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
        preflight = place.client.options(KEYS, headers=asked)
        assert preflight.status_code == 204 and preflight.content == b""
        assert preflight.headers["access-control-allow-origin"] == DESK
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "X-API-Key" in preflight.headers["access-control-allow-headers"]
        assert "Origin" in preflight.headers["vary"] and "ratelimit-limit" not in preflight.headers
        for headers, status in (({}, 401), (place.key, 200)):
            answer = place.client.get(KEYS, headers={"Origin": DESK, **headers})
            assert answer.status_code == status and answer.headers["access-control-allow-origin"] == DESK
            assert "Origin" in answer.headers["vary"] and "access-control-allow-credentials" not in answer.headers
            for name in ("X-Request-ID", "RateLimit-Remaining", "ETag", "Location", "Retry-After"):
                assert name in answer.headers["access-control-expose-headers"]

    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example", "https://desk.example.evil.example", "https://evildesk.example", "http://desk.example",
            "https://desk.example:8443", "https://DESK.example", "null", "https://desk.example/", "*", "",
        ],
    )  # fmt: skip
    def test_no_other_page_may(self, place: Place, origin: str) -> None:
        preflight = place.client.options(KEYS, headers={"Origin": origin, "Access-Control-Request-Method": "GET"})
        answer = place.client.get(KEYS, headers={"Origin": origin, **place.key})
        assert (preflight.status_code, answer.status_code) == (405, 200)
        for one in (preflight, answer):
            assert not [name for name in one.headers if name.startswith("access-control")]
            assert "Origin" in one.headers["vary"], "a cache keeps answers apart by it"

    def test_without_a_list_nothing_is_said_of_origins(self) -> None:
        client = TestClient(CorsMiddleware(_greeting(), ()))
        answer = client.get("/", headers={"Origin": DESK})
        assert answer.status_code == 200 and "vary" not in answer.headers

    @pytest.mark.parametrize(
        "origin",
        [
            "*", "https://*.example", "desk.example", "https://desk.example/", "https://desk.example:443",
            "https://Desk.example", "http://desk.example", "null", "https://user@desk.example", "https://desk.example?x",
            "https://desk.example\nhttps://evil.example", "file://desk",
        ],
    )  # fmt: skip
    def test_settings_take_exact_origins_alone(self, origin: str) -> None:
        with pytest.raises(ValidationError, match="expected an origin as a browser writes it"):
            Settings(cors_origins=(DESK, origin))
        assert Settings(cors_origins=(DESK, "http://localhost:5173", "https://a.example:8443")).cors_origins[0] == DESK
        assert Settings().cors_origins == ()


def _greeting() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def greet() -> dict[str, str]:
        return {"text": "hello " * 1000}

    @app.get("/broken")
    def fail() -> None:
        raise RuntimeError("secret")

    return app


def test_an_error_nobody_expected_has_the_headers_of_every_answer() -> None:
    app = _greeting()
    app.add_middleware(UnexpectedErrors)
    app.add_middleware(CorsMiddleware, origins=[DESK])
    app.add_middleware(SecurityHeaders)
    answer = TestClient(app).get("/broken", headers={"Origin": DESK})
    assert answer.status_code == 500 and answer.json()["type"].endswith(":internal") and "secret" not in answer.text
    assert answer.headers["access-control-allow-origin"] == DESK
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_browsers_are_told_to_take_answers_for_what_they_are(place: Place) -> None:
    for path in ("/docs", "/health", KEYS, "/nowhere", "/api/v2/signals?limit=0", "/%00"):
        headers = place.client.get(path, headers=place.key).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer", path
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script" not in policy, path
    assert "style-src 'unsafe-inline'" in place.client.get("/docs").headers["content-security-policy"]


def _unpack(coding: str, body: bytes) -> bytes:
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return gzip.decompress(body) if coding == "gzip" else bytes(brotli.decompress(body))


class TestCompression:
    PINNED = "/api/v2/signals?as_of=2024-05-01T00:00:00Z&known_as_of=2024-10-01T00:00:00Z"

    @pytest.mark.parametrize("coding", ["zstd", "br", "gzip"])
    def test_a_packed_answer_is_the_same_with_a_weak_tag(self, place: Place, coding: str) -> None:
        plain = place.client.get(self.PINNED, headers={**place.key, "Accept-Encoding": "identity"})
        strong = plain.headers["etag"]
        assert "content-encoding" not in plain.headers and strong.startswith('"')
        packing = {**place.key, "Accept-Encoding": f"{coding}, identity;q=0.5"}
        with place.client.stream("GET", self.PINNED, headers=packing) as packed:
            raw = b"".join(packed.iter_raw())
        assert packed.headers["content-encoding"] == coding and _unpack(coding, raw) == plain.content
        assert len(raw) < len(plain.content) / 4 and int(packed.headers["content-length"]) == len(raw)
        weak = packed.headers["etag"]
        assert weak == f"W/{strong}" and "Accept-Encoding" in packed.headers["vary"]
        # Either form that a caller has is still good, and is named as the caller knows it.
        for known in (weak, strong, f'"other", {weak}'):
            again = place.client.get(self.PINNED, headers={**packing, "If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"") and "Accept-Encoding" in again.headers["vary"]
            assert again.headers["etag"] == (strong if known == strong else weak)

    def test_what_is_packed_in_itself_small_or_secret_stays_as_it_is(self, place: Place) -> None:
        run = place.client.get("/api/v2/backtests", headers=place.key).json()["data"][0]["run_id"]
        path = f"/api/v2/backtests/{run}/artifacts/scores.parquet"
        taking = {**place.key, "Accept-Encoding": "zstd, br, gzip"}
        whole = place.client.get(path, headers=taking)
        part = place.client.get(path, headers={**taking, "Range": "bytes=2-9"})
        assert part.status_code == 206 and part.content == whole.content[2:10]
        explained = place.client.get("/api/v2/platform/explain/term/S001", headers=taking)
        assert explained.headers["cache-control"] == "no-store"
        for one in (whole, part, explained, place.client.get("/health", headers=taking)):
            assert "content-encoding" not in one.headers and not one.headers.get("etag", "").startswith("W/")
        secret = FastAPI()
        secret.get("/")(lambda: {"key": "x" * 5000})
        app = CompressionMiddleware(_with_header(secret, b"no-store"))
        assert "content-encoding" not in TestClient(app).get("/", headers=taking).headers
        app = CompressionMiddleware(_with_header(secret, b"no-cache"))
        assert TestClient(app).get("/", headers=taking).headers["content-encoding"] == "zstd"

    def test_events_are_sent_as_they_come(self) -> None:
        """The second event is made only when the first has been read."""
        app, read = FastAPI(), threading.Event()
        app.add_middleware(CompressionMiddleware)

        @app.get("/events", response_class=EventSourceResponse)
        async def events() -> AsyncIterator[ServerSentEvent]:
            yield ServerSentEvent(data="first " * 500)
            import asyncio

            while not read.is_set():
                await asyncio.sleep(0.01)
            yield ServerSentEvent(data="second")

        taking = {"Accept-Encoding": "zstd, gzip"}
        with serving(app) as url, httpx.stream("GET", f"{url}/events", headers=taking, timeout=5) as answer:
            assert "content-encoding" not in answer.headers
            lines = (line for line in answer.iter_lines() if line.startswith("data:"))
            assert "first" in next(lines)
            read.set()
            assert "second" in next(lines)


def _with_header(app: FastAPI, value: bytes) -> Any:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"cache-control", value))
            await send(message)

        await app(scope, receive, marked)

    return wrapped


def _nested(levels: int) -> bytes:
    return b'{"name": ' + b"[" * levels + b"]" * levels + b"}"


def test_a_reader_that_is_slow_holds_no_connection(place: Place, store: ArtifactStore, filled: Warehouse) -> None:
    """A file larger than all buffers in between, of which nothing is read."""
    large = store.put_file(lambda file: file.write(bytes(range(256)) * 65_536), ".parquet")
    snapshot = place.client.get("/api/v2/backtests/snapshots", headers=place.key).json()["data"][0]
    manifest = {"schema": "signaldelta.snapshot/1", "parts": [{"file_hash": large}]}
    row = {**snapshot, "snapshot_id": content_ulid(T0, b"large"), "snapshot_hash": hash_document(manifest),
           "manifest": manifest, "manifest_canonical": canonical_json(manifest)}  # fmt: skip
    insert(filled, "backtest_snapshots", [row])
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", place.port))
        path = f"/api/v2/backtests/snapshots/{row['snapshot_id']}/parts/{large}"
        reader.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {place.key['X-API-Key']}\r\n\r\n".encode())
        assert reader.recv(200).startswith(b"HTTP/1.1 200"), "it has begun, and cannot end"
        assert lent(place) == 0
    assert place.client.get(KEYS, headers=place.key).status_code == 200


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "status", "kind"),
        [
            (b'{"name": "x"', 422, "invalid-request"), (b'{"name": NaN}', 422, "invalid-request"),
            (b'{"name": "x", "requests_per_hour": Infinity}', 422, "invalid-request"),
            (b'{"name": "x", "name": "y"}', 422, "invalid-request"),
            (b'{"name": "a\\u0000b"}', 422, "invalid-request"), (b'{"na\\u0000me": "b"}', 422, "invalid-request"),
            (b'{"name": "\\ud800"}', 422, "invalid-request"), (b'{"name": "\xff"}', 422, "invalid-request"),
            (b'\xef\xbb\xbf{"name": "x"}', 422, "invalid-request"), (b"null", 422, "invalid-request"),
            (b"[]", 422, "invalid-request"), (b"", 422, "invalid-request"),
            (b'{"name": "x", "requests_per_hour": ' + b"9" * 5000 + b"}", 422, "invalid-request"),
            (b'{"name": "x", "requests_per_hour": 1e400}', 422, "invalid-request"),
            (b'{"name": "x", "expires_at": 2}', 422, "invalid-request"),
            (b'{"name": "x", "expires_at": "0001-01-01T00:00:00+14:00"}', 422, "invalid-request"),
            (b'{"name": "' + b"x" * 21_000 + b'"}', 413, "content-too-large"),
            (_nested(9000), 413, "content-too-large"), (_nested(40), 413, "content-too-large"),
            (b'{"name": ' + b'{"a":' * 3000, 413, "content-too-large"),
        ],
    )  # fmt: skip
    def test_a_hostile_body_is_a_problem(self, place: Place, body: bytes, status: int, kind: str) -> None:
        headers = {**place.key, "Content-Type": "application/json"}
        told = problem(place.client.post(KEYS, headers=headers, content=body), status, kind)
        assert status == 413 or told["errors"], told

    @pytest.mark.parametrize(
        "headers",
        [
            {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"},
            {"Content-Type": "multipart/form-data; boundary=x"}, {},
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ],
    )  # fmt: skip
    def test_a_body_of_another_kind_is_not_taken(self, place: Place, headers: dict[str, str]) -> None:
        answer = place.client.post(KEYS, headers={**place.key, **headers}, content=b'{"name": "x"}')
        problem(answer, 415, "unsupported-media-type")

    def test_a_body_is_counted_though_it_does_not_say_how_long_it_is(self, place: Place) -> None:
        sent = 0

        def chunks() -> Iterator[bytes]:
            nonlocal sent
            for _ in range(200):
                sent += 1000
                yield b"x" * 1000

        headers = {**place.key, "Content-Type": "application/json"}
        try:
            problem(place.client.post(KEYS, headers=headers, content=chunks()), 413, "content-too-large")
        except (httpx.WriteError, httpx.ReadError):
            assert sent > BODIES.bytes  # cut off while it was still sending

    def test_who_is_not_let_in_is_not_read(self, place: Place) -> None:
        """The body is announced and never sent: whoever waits for it has not asked who is there."""
        for key, status in (("", 401), ("sd_wrong", 401)):
            connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=5)
            connection.putrequest("POST", KEYS)
            for name, value in (("Content-Type", "application/json"), ("Content-Length", "15000"), ("X-API-Key", key)):
                if value:
                    connection.putheader(name, value)
            connection.endheaders()
            assert connection.getresponse().status == status
            connection.close()

    def test_nonsense_without_a_credential_is_refused_and_counted(self, place: Place) -> None:
        wrong = {"X-API-Key": make_key().text, "Content-Type": "application/json"}
        assert place.client.post(KEYS, headers=wrong, content=b"{").status_code == 401
        before = place.client.get(KEYS, headers=place.key).headers["ratelimit-remaining"]
        bad = {**place.key, "Content-Type": "application/json"}
        for number in (1, 2):
            refused = place.client.post(KEYS, headers=bad, content=b"{")
            assert refused.status_code == 422
            assert int(refused.headers["ratelimit-remaining"]) == int(before) - number, "once, not twice"

    def test_a_database_that_is_away_is_no_fault_of_the_body(self, tmp_path: Path) -> None:
        warehouse = Warehouse("postgresql://nobody@127.0.0.1:9/none", limits=PoolLimits(wait_seconds=0.2))
        app = create_app(Parts(warehouse, ArtifactStore(tmp_path), access=required_access(warehouse)))
        with TestClient(app) as client:
            answer = client.post(KEYS, headers={"X-API-Key": make_key().text}, json={"name": "x"})
        problem(answer, 503, "database-unavailable")

    def test_a_body_that_dribbles_is_cut_and_holds_nothing_meanwhile(self, place: Place) -> None:
        """Eight bodies wait; there are more requests than that, answered at once, and no connection is lent."""
        connections = []
        for _ in range(8):
            connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=5)
            connection.putrequest("POST", KEYS)
            for name, value in {**place.key, "Content-Type": "application/json", "Content-Length": "100"}.items():
                connection.putheader(name, value)
            connection.endheaders(b'{"na')
            connections.append(connection)
        assert place.client.get(KEYS, headers=place.key).status_code == 200
        begun = time.monotonic()
        while lent(place):  # being let in takes a moment
            assert time.monotonic() - begun < BODIES.seconds, "as long as the bodies are waited for"
        for connection in connections:
            answer = connection.getresponse()
            body = json.loads(answer.read())
            assert answer.status == 408 and body["type"].endswith(":request-timeout") and answer.will_close
            connection.close()


LIMITS = BodyLimits(depth=6, members=60)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8"), max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def _depth(value: Any) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(value=_JSON)
def test_exactly_what_is_deeper_or_has_nul_is_refused(value: Any) -> None:
    text = json.dumps(value)
    try:
        check_json(text.encode(), LIMITS)
        refused = False
    except ProblemError as error:
        refused = error.status in (413, 422)
    assert refused == (_depth(value) > LIMITS.depth or "\\u0000" in text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(body=st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0123n ', max_size=60).map(str.encode))
def test_no_bytes_come_to_anything_but_a_problem(body: bytes) -> None:
    try:
        check_json(body, LIMITS)
    except ProblemError as error:
        assert error.status in (413, 422)
    else:
        json.loads(body)


def test_guesses_are_counted_exactly_however_many_come_at_once(
    postgres_url: str, store: ArtifactStore, filled: Warehouse
) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DELETE FROM signaldelta.request_counts")
    with Warehouse(postgres_url) as warehouse:
        app = create_app(Parts(warehouse, store, access=required_access(warehouse, None, Limits(refused=5))))
        with serving(app) as url, httpx.Client(base_url=url) as client, ThreadPoolExecutor(8) as pool:
            wrong = [
                pool.submit(lambda: client.get("/status", headers={"X-API-Key": make_key().text}).status_code)
                for _ in range(24)
            ]
            assert sorted(one.result() for one in wrong) == [401] * 5 + [429] * 19
