"""Hostile text in every parameter of every route: it is looked up like any other name, or refused, and changes nothing.

What is tried comes from the description of the API, so that a new route or parameter is tried with the others.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import psycopg
import pytest

from api.description import operations
from api.paging import question
from tests.api.hunt import world

pytestmark = [pytest.mark.postgres, pytest.mark.platform]

# Nothing has such a name: the answer must be the one that any unknown name gets.
NAMES = (
    "' OR '1'='1", "'; DROP TABLE signaldelta.users; --", "%' UNION SELECT key_hash FROM api_keys --",
    "$$ || pg_sleep(9)",
    "\\", "%", "_%", "%(id)s", "{0.__class__}", "{{7*7}}", "${jndi:ldap://x}", "<script>alert(1)</script>",
    "..", "../../../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "file:///etc/passwd", "C:\\x", "~root",
    "%2e%2e%2f", "....//", ".", "NaN", "-1", "1e309", "0x10", "null", "None", "true", "\u202etxt", "\uffff", "ａdmin",
    "İ" * 50, "\U0001f600" * 20, "9" * 199,
)  # fmt: skip
# No name can be these.
REFUSED = {
    "\x00": 400, "a\x00b": 400, "a\r\nX-Injected: 1": 400, "a\nb": 400, "\x1b[31m": 400, "\x7f": 400, "x" * 201: 422,
}  # fmt: skip
HARMLESS = "nothing-has-this-name"


@pytest.fixture(scope="module")
def place(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], httpx.Client]]:
    with world(postgres_url, tmp_path_factory.mktemp("world")) as (app, url, headers):
        (Path(app.state.store.root) / "passwd").write_text("root:x:0:0")
        with httpx.Client(base_url=url, headers=headers, timeout=20) as client:
            yield app.openapi(), client


def contents(url: str) -> dict[str, Any]:
    """What every table holds, by its rows' hash; but for counts of requests and the log of them."""
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('signaldelta', 'marts')"
            " AND tablename NOT IN ('request_counts', 'user_activity')"
        ).fetchall()
        return {
            name: connection.execute(f"SELECT count(*), sum(hashtext(t::text)) FROM {name} t").fetchone()  # type: ignore[arg-type]
            for (name,) in names
        }


def texts(document: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(method, path, place, name) of every parameter of a path or query that may be any text."""
    found = []
    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "header":
                continue  # no text of a header reaches a query; their shapes are schemathesis's to try
            schemas = parameter["schema"].get("anyOf", [parameter["schema"]])
            if any(one.get("type") == "string" and not {"enum", "const", "format"} & set(one) for one in schemas):
                found.append((method, path, parameter["in"], parameter["name"]))
    return found


def asked(client: httpx.Client, method: str, path: str, place: str, name: str, value: str) -> httpx.Response:
    other = quote(HARMLESS)
    if place == "path":
        # Clients take dots between slashes for the way up, unless they are written otherwise.
        path = path.replace(f"{{{name}}}", quote(value, safe="").replace(".", "%2e"))
    while "{" in path:
        path = f"{path.partition('{')[0]}{other}{path.partition('}')[2]}"
    query = f"?{name}={quote(value, safe='')}" if place == "query" else ""
    return client.request(method, httpx.URL(f"{client.base_url}".rstrip("/") + path + query))


def told(answer: httpx.Response) -> tuple[int, Any, Any]:
    """What an answer says, but for what names the question."""
    body = answer.json() if "json" in answer.headers.get("content-type", "") else None
    if isinstance(body, dict) and "type" in body and "instance" in body:
        return answer.status_code, body["type"], None
    return answer.status_code, None, body["data"] if isinstance(body, dict) and "data" in body else None


def test_no_text_does_more_than_an_unknown_name(place: tuple[dict[str, Any], httpx.Client], postgres_url: str) -> None:
    document, client = place
    parameters = texts(document)
    assert len(parameters) > 60 and {"path", "query"} == {one[2] for one in parameters}
    before = contents(postgres_url)
    assert len(before) > 30
    for number, (method, path, where, name) in enumerate(parameters):
        harmless = told(asked(client, method, path, where, name, HARMLESS))
        # Every text at a few parameters, a few texts at every parameter: all pairs would be minutes.
        some = [text for place, text in enumerate(NAMES) if (place + number) % 7 == 0 or number % 23 == 0]
        for text in some:
            answer = asked(client, method, path, where, name, text)
            assert answer.status_code < 500, (path, name, text, answer.text)
            if where == "path" and "/" in text:
                assert answer.status_code in (404, 405), (path, name, text)  # another path, and none of ours
            elif name == "q":
                assert answer.status_code == 200, text  # a part of a name, and may be one
            elif harmless[0] == 422:  # of a shape of its own, which the text may have by chance
                assert answer.status_code in (404, 422) or answer.json()["data"] == [], (path, name, text)
            else:
                assert told(answer) == harmless, (path, name, text, answer.text)
            assert "root:x" not in answer.text
        for text, status in list(REFUSED.items())[number % 3 :: 3]:
            answer = asked(client, method, path, where, name, text)
            assert answer.status_code == status or name == "cursor", (path, name, text, answer.text)
            assert "x-injected" not in answer.headers and answer.headers["content-type"] == "application/problem+json"
    assert contents(postgres_url) == before, "nothing was changed"


@pytest.mark.parametrize(
    "target",
    [
        "/api/v2/backtests/x/artifacts/..%2f..%2f..%2fpasswd", "/api/v2/backtests/x/artifacts/%2e%2e/passwd",
        "/api/v2/../../passwd", "/../passwd", "//passwd", "/api/v2/backtests/..%5c..%5cpasswd/report",
        "/api/v2/backtests/snapshots/{snapshot}/parts/..%2fpasswd",
        "/api/v2/backtests/snapshots/{snapshot}/parts/passwd",
        "/api/v2/backtests/snapshots/{snapshot}/parts/signaldelta.snapshot%2f1", "http://evil.example/etc/passwd",
        "/api/v2/backtests/%252e%252e%252fpasswd/report", "/docs/../passwd", "/static/%c0%ae%c0%ae/passwd",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_rows(place: tuple[dict[str, Any], httpx.Client], target: str) -> None:
    """As written on the wire: clients tidy up a path before they send it."""
    _, client = place
    snapshot = client.get("/api/v2/backtests/snapshots").json()["data"][0]["snapshot_id"]
    port = urlsplit(str(client.base_url)).port or 0
    head = f"GET {target.format(snapshot=snapshot)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{head}Authorization: {client.headers['authorization']}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.split()[1] in (b"404", b"400") and b"root:x" not in answer, answer[:300]


def test_no_header_makes_another_method_or_path(place: tuple[dict[str, Any], httpx.Client], postgres_url: str) -> None:
    _, client = place
    before = contents(postgres_url)
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = client.get("/api/v2/users/me/keys", headers={name: "POST"})
        assert answer.status_code == 200 and "data" in answer.json()
    assert client.get("/api/v2/users/me/keys", params={"_method": "DELETE"}).status_code == 422
    for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"):
        assert client.get("/health", headers={name: "/api/v2/users/me"}).json() == {"status": "ok"}
    assert contents(postgres_url) == before


@pytest.mark.parametrize(
    "cursor",
    [
        '{"k":["2024-01-01T00:00:00+00:00","a\\u0000"],"p":{},"q":"%s"}', '{"k":[["x"],{}],"p":{},"q":"%s"}',
        '{"k":["0001-01-01T00:00:00+14:00","a"],"p":{},"q":"%s"}', '{"k":["2024-01-01T00:00:00","a"],"p":{},"q":"%s"}',
        '{"k":["2024-01-01T00:00:00+00:00","a"],"p":{"known_as_of":"0001-01-01T00:00:00+14:00"},"q":"%s"}',
        '{"k":["2024-01-01T00:00:00+00:00","a"],"p":{"known_as_of":{"x":1}},"q":"%s"}',
        '{"k":["2024-01-01T00:00:00+00:00","a"],"p":[],"q":"%s"}', "[]", "null", "1", '{"k":1e999}', "[" * 1400,
        '{"k":["2024-01-01T00:00:00+00:00",true],"p":{},"q":"%s"}',
    ],
)  # fmt: skip
def test_a_cursor_made_by_hand_is_refused(place: tuple[dict[str, Any], httpx.Client], cursor: str) -> None:
    asked = question("snapshots", {})
    text = base64.urlsafe_b64encode((cursor.replace("%s", asked)).encode()).decode().rstrip("=")
    answer = place[1].get("/api/v2/backtests/snapshots", params={"cursor": text})
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "query.cursor", answer.text


def test_a_number_is_no_moment_and_none_is_beyond_the_years(place: tuple[dict[str, Any], httpx.Client]) -> None:
    for value in ("2024", "0", "1e9", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "10000-01-01T00:00Z"):
        answer = place[1].get("/api/v2/signals", params={"as_of": value})
        assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "query.as_of", value
    for value in ("2024", "20240101"):
        assert place[1].get("/api/v2/market/securities", params={"as_of": value}).status_code == 422
