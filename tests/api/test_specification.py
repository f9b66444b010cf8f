"""The API does what its description says: schemathesis over all of it, against a real server and database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from fastapi import FastAPI

from api.description import TAGS, operations
from tests.api.hunt import CHECKS, Found, hunt, world

pytestmark = [pytest.mark.postgres, pytest.mark.platform]


@pytest.fixture(scope="module")
def place(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, str, dict[str, str]]]:
    with world(postgres_url, tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def found(place: tuple[FastAPI, str, dict[str, str]]) -> Found:
    _, url, headers = place
    return hunt(url, headers, examples=2, deterministic=True)


@pytest.fixture(scope="module")
def document(place: tuple[FastAPI, str, dict[str, str]]) -> dict[str, Any]:
    return place[0].openapi()


def test_no_answer_is_undocumented_and_none_is_a_server_error(found: Found, document: dict[str, Any]) -> None:
    assert found.failures == {}
    assert not [status for status in found.statuses if status >= 500]
    assert len(found.operations) == len(list(operations(document))) >= 44
    assert sum(found.cases.values()) > 1500 and set(found.cases) == {"examples", "coverage", "fuzzing", "stateful"}
    # The hunt was worth something: every check ran, and it came to answers of all kinds.
    assert set(found.checks) == set(CHECKS) and {200, 201, 204, 401, 403, 404, 405, 422} <= set(found.statuses)


def test_every_operation_is_described_whole(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names) and all(name.isidentifier() and name.islower() for name in names)
    assert {tag["name"] for tag in document["tags"]} == set(TAGS) and document["servers"]
    components = document["components"]

    def resolved(one: dict[str, Any]) -> dict[str, Any]:
        kind, name = one["$ref"].rsplit("/", 2)[1:] if "$ref" in one else ("", "")
        return components[kind][name] if name else one

    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"] and operation["description"] and operation["tags"][0] in TAGS, where
        for parameter in operation.get("parameters", []):
            assert parameter["schema"].get("examples"), (where, parameter["name"])
        expected = {"400", "408", "414", "431"}
        expected |= {"401", "403", "429", "500", "503"} if operation["security"] else set()
        expected |= {"422"} if operation.get("parameters") or operation.get("requestBody") else set()
        expected |= {"413", "415"} if operation.get("requestBody") else set()
        assert expected <= set(operation["responses"]), where
        for status, response in operation["responses"].items():
            answer = resolved(response)
            assert answer["description"] and resolved(answer["headers"]["X-Request-ID"])["required"], (where, status)
            if status >= "400":
                assert "application/problem+json" in answer["content"], (where, status)
            for media, body in answer.get("content", {}).items():
                schema = resolved(body.get("schema", {}) or body["itemSchema"])
                assert schema.get("examples") or "example" in body or schema.get("format") == "binary", (where, media)
        for link in (link for one in operation["responses"].values() for link in one.get("links", {}).values()):
            assert link["operationId"] in names


def test_every_problem_of_the_document_is_one(document: dict[str, Any]) -> None:
    schema = {**document["components"]["schemas"]["Problem"], "components": document["components"]}
    for response in document["components"]["responses"].values():
        jsonschema.Draft202012Validator(schema).validate(response["content"]["application/problem+json"]["example"])
