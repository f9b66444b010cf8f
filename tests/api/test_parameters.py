"""Query parameters that a route does not have, tried at every route of the description against a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.description import operations
from tests.api.hunt import world

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
KEYS = "/api/v2/users/me/keys"


@pytest.fixture(scope="module")
def place(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, httpx.Client]]:
    with (
        world(postgres_url, tmp_path_factory.mktemp("world")) as (app, url, headers),
        httpx.Client(base_url=url, headers=headers, timeout=20) as client,
    ):
        yield app, client


def refused(answer: httpx.Response) -> list[dict[str, Any]]:
    """The fields that a 422 names."""
    assert answer.status_code == 422 and answer.json()["type"] == "urn:signaldelta:problem:invalid-request", answer.text
    found: list[dict[str, Any]] = answer.json()["errors"]
    return found


def test_every_route_refuses_what_it_does_not_have_and_names_what_it_has(place: tuple[FastAPI, httpx.Client]) -> None:
    app, client = place
    asked = list(operations(app.openapi()))
    public = {path for path, _, operation in asked if not operation["security"]}
    assert {"/health"} <= public <= {"/health", "/docs", "/metrics"}
    assert client.get("/health", params={"at": "123"}).is_success, "who balances adds what he likes"
    for path, method, operation in asked:
        if path in public:
            continue
        has = sorted(one["name"] for one in operation.get("parameters", []) if one["in"] == "query")
        url = re.sub(r"\{\w+\}", "nothing", path)
        [error] = refused(client.request(method, url, params={**dict.fromkeys(has, "x"), "limt": "secret-7"}))
        assert error["field"] == "query.limt" and error["found"] is None, (method, path)
        names = error["expected"].removeprefix("one of the parameters ")
        assert names == (", ".join(has) or "no parameter: there are none here"), (method, path)
        assert "422" in operation["responses"], (method, path)
    assert len(asked) >= 44


def test_a_misspelt_filter_is_no_answer_without_it(place: tuple[FastAPI, httpx.Client]) -> None:
    _, client = place
    assert client.get("/api/v2/signals", params={"family": "F01"}).is_success
    errors = refused(client.get("/api/v2/signals", params={"famly": "F01", "": "", "Limit": "5", "limit": "5"}))
    assert [error["field"] for error in errors] == ["query.famly", "query.", "query.Limit"]
    # However many there are, the answer stays small.
    many = client.get("/api/v2/signals", params={f"{'n' * 300}{number}": "" for number in range(20)})
    assert len(refused(many)) == 10 and len(many.content) < 8_000


def test_a_parameter_that_is_there_twice_is_no_answer_to_the_last_of_both(place: tuple[FastAPI, httpx.Client]) -> None:
    app, client = place
    [error] = refused(client.get("/api/v2/signals?entity_id=0000320193&entity_id=0000789019&limit=5"))
    assert error["field"] == "query.entity_id" and error["expected"] == "one value" and error["found"] is None
    # No route has one that may be.
    for path, _, operation in operations(app.openapi()):
        kinds = [one["schema"] for one in operation.get("parameters", []) if one["in"] == "query"]
        assert not any("array" in str(kind) for kind in kinds), path


def test_who_asks_comes_first_and_nothing_is_done(place: tuple[FastAPI, httpx.Client]) -> None:
    _, client = place
    nobody = {"Authorization": "Bearer nonsense"}
    for url in ("/api/v2/signals?famly=F01", "/status?x=1"):
        assert client.get(url, headers=nobody).status_code == 401
        assert int(client.get(url).headers["RateLimit-Remaining"]) > 0
    refused(client.post(f"{KEYS}?dry_run=true", json={"name": "never made"}))
    assert client.get(KEYS).json()["data"] == []
