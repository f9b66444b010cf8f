"""What breaks a client is found: every rule, any field of the real document, and the published one against the code."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import specification
from api.compatibility import BREAKING, HARMLESS, compare

Json = dict[str, Any]

_THING = {
    "type": "object", "required": ["id", "size", "kind"],
    "properties": {
        "id": {"type": "string", "format": "uuid", "description": "Its id."}, "size": {"type": "integer", "maximum": 9},
        "kind": {"type": "string", "enum": ["a", "b"]}, "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "inner": {"$ref": "#/components/schemas/Thing"}, "parts": {"type": "array", "items": {"type": "string"}},
    },
}  # fmt: skip
_WISH = {
    "type": "object", "required": ["name"], "additionalProperties": True,
    "properties": {
        "name": {"type": "string", "maxLength": 80}, "count": {"type": "integer", "minimum": 1, "default": 3},
        "kind": {"type": "string", "enum": ["a", "b"]}, "when": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
}  # fmt: skip
_GET: Json = {
    "operationId": "get_thing", "security": [{"key": []}, {"token": []}],
    "x-signaldelta": {"asks": {"who": "user", "needs": ["tier entry"]}},
    "parameters": [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 1000, "default": 100}},
    ],
    "responses": {
        "200": {
            "description": "It.", "headers": {"ETag": {"required": True, "schema": {"type": "string"}}},
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
        },
        "404": {"$ref": "#/components/responses/NotFound"},
    },
}  # fmt: skip
_POST: Json = {
    "operationId": "make_thing", "x-signaldelta": {"asks": {"who": "user", "needs": []}}, "security": [{"key": []}],
    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Wish"}}}},
    "responses": {"201": {"description": "Made."}},
}  # fmt: skip
SMALL: Json = {
    "paths": {"/things/{id}": {"get": _GET}, "/things": {"post": _POST}},
    "components": {
        "schemas": {"Thing": _THING, "Wish": _WISH}, "responses": {"NotFound": {"description": "Not there."}},
    },
    "x-problem-types": {"not-found": [404]},
}  # fmt: skip
GET, POST = ("paths", "/things/{id}", "get"), ("paths", "/things", "post")
THING, WISH = ("components", "schemas", "Thing"), ("components", "schemas", "Wish")
OK = (*GET, "responses", "200")
CASES: list[tuple[str, tuple[Any, ...], Any]] = [
    ("operation-removed", GET, None),
    ("operation-removed", ("paths", "/things"), None),
    ("operation-renamed", (*GET, "operationId"), "read_thing"),
    ("auth-tightened", (*GET, "security"), [{"key": []}]),
    ("auth-tightened", (*GET, "x-signaldelta", "asks", "who"), "administrator"),
    ("auth-tightened", (*GET, "x-signaldelta", "asks", "needs"), ["tier research"]),
    ("auth-tightened", (*POST, "x-signaldelta", "asks", "needs"), ["bulk_export"]),
    ("parameter-removed", (*GET, "parameters", 1), None),
    ("parameter-required", (*GET, "parameters", 1, "required"), True),
    ("parameter-required", (*GET, "parameters", 2), {"name": "x", "in": "query", "required": True, "schema": {}}),
    ("body-removed", (*POST, "requestBody"), None),
    ("body-removed", (*POST, "requestBody", "content", "application/json"), None),
    ("body-required", (*POST, "requestBody", "required"), True),
    ("body-required", (*GET, "requestBody"), {"required": True, "content": {}}),
    ("field-required", (*WISH, "required"), ["name", "count"]),
    ("field-refused", (*WISH, "properties", "kind"), None),
    ("field-refused", (*WISH, "additionalProperties"), False),
    ("limit-narrowed", (*WISH, "properties", "name", "maxLength"), 60),
    ("limit-narrowed", (*WISH, "properties", "name", "pattern"), "^a"),
    ("limit-narrowed", (*WISH, "properties", "count", "minimum"), 2),
    ("limit-narrowed", (*GET, "parameters", 1, "schema", "maximum"), 100),
    ("value-refused", (*WISH, "properties", "kind", "enum"), ["a"]),
    ("value-refused", (*WISH, "properties", "when"), {"type": "string"}),
    ("value-refused", (*WISH, "properties", "name", "enum"), ["x"]),
    ("default-changed", (*GET, "parameters", 1, "schema", "default"), 50),
    ("default-changed", (*WISH, "properties", "count", "default"), None),
    ("status-removed", (*GET, "responses", "404"), None),
    ("success-added", (*POST, "responses", "202"), {"description": "Later."}),
    ("header-removed", (*OK, "headers", "ETag"), None),
    ("header-removed", (*OK, "headers", "ETag", "required"), None),
    ("content-removed", (*OK, "content", "application/json"), None),
    ("field-removed", (*THING, "properties", "note"), None),
    ("field-optional", (*THING, "required"), ["id", "kind"]),
    ("field-nullable", (*THING, "properties", "size"), {"type": ["integer", "null"], "maximum": 9}),
    ("type-changed", (*THING, "properties", "size", "type"), "string"),
    ("type-changed", (*THING, "properties", "size", "type"), "number"),
    ("type-changed", (*THING, "properties", "id", "format"), "date"),
    ("type-changed", (*THING, "properties", "parts", "items", "type"), "integer"),
    (
        "type-changed",
        (*THING, "properties", "note", "anyOf"),
        [{"type": "string"}, {"type": "null"}, {"type": "object"}],
    ),
    ("values-changed", (*THING, "properties", "kind", "enum"), ["a"]),
    ("values-changed", (*THING, "properties", "kind", "enum"), ["a", "b", "c"]),
    ("limit-widened", (*THING, "properties", "size", "maximum"), 10),
    ("limit-widened", (*THING, "properties", "id", "format"), None),
    ("problem-removed", ("x-problem-types", "not-found"), None),
    ("unknown-change", (*THING, "properties", "size", "if"), {"maximum": 3}),
    ("unknown-change", (*GET, "callbacks"), {}),
    ("operation-added", ("paths", "/new"), {"get": _POST}),
    ("auth-loosened", (*GET, "security"), []),
    ("auth-loosened", (*GET, "x-signaldelta", "asks", "needs"), ["tier free"]),
    ("parameter-added", (*GET, "parameters", 2), {"name": "x", "in": "query", "schema": {}}),
    ("request-widened", (*GET, "parameters", 1, "schema", "maximum"), 2000),
    ("request-widened", (*WISH, "required"), []),
    ("request-widened", (*WISH, "properties", "kind", "enum"), ["a", "b", "c"]),
    ("request-widened", (*WISH, "properties", "more"), {"type": "string"}),
    ("status-added", (*GET, "responses", "409"), {"description": "Conflict."}),
    ("header-added", (*OK, "headers", "Age"), {"schema": {"type": "integer"}}),
    ("content-added", (*OK, "content", "text/csv"), {}),
    ("field-added", (*THING, "properties", "more"), {"type": "string"}),
    ("answer-narrowed", (*THING, "properties", "note"), {"type": "string"}),
    ("answer-narrowed", (*THING, "required"), ["id", "size", "kind", "note"]),
    ("problem-added", ("x-problem-types", "gone"), [410]),
    ("deprecated", (*GET, "deprecated"), True),
]


def changed(document: Json, pointer: tuple[Any, ...], value: Any) -> Json:
    """The document with another value there; None takes it away. What is not on the way is shared."""
    made = copy.copy(document)
    place: Any = made
    for part in pointer[:-1]:
        place[part] = copy.copy(place[part])
        place = place[part]
    if value is None:
        del place[pointer[-1]]
    elif isinstance(place, list) and pointer[-1] == len(place):
        place.append(value)
    else:
        place[pointer[-1]] = value
    return made


@pytest.mark.parametrize(("rule", "pointer", "value"), CASES, ids=lambda one: one if isinstance(one, str) else None)
def test_each_rule_finds_its_change_and_no_other_breaks(rule: str, pointer: tuple[Any, ...], value: Any) -> None:
    changes = compare(SMALL, changed(SMALL, pointer, value))
    assert rule in {change.rule for change in changes}, changes
    assert {change.rule for change in changes if change.breaking} <= {rule}
    assert rule in BREAKING or not any(change.breaking for change in changes)


def test_every_rule_has_a_case() -> None:
    assert {rule for rule, _, _ in CASES} == set(BREAKING) | set(HARMLESS) and not set(BREAKING) & set(HARMLESS)


@pytest.mark.parametrize("pointer", [(*GET, "summary"), (*THING, "properties", "id", "description"), (*THING, "title")])
def test_words_are_no_change(pointer: tuple[Any, ...]) -> None:
    assert compare(SMALL, changed(SMALL, pointer, "Otherwise.")) == []


_WORDS = {
    "title", "description", "examples", "example", "summary", "tags", "links", "servers", "info", "openapi",
    "securitySchemes", "reads", "cached", "bearerFormat",
}  # fmt: skip


def pointers(node: Any, at: tuple[Any, ...] = (), names: bool = False) -> Iterator[tuple[Any, ...]]:
    """Every place of a document that means something to a client. `names`: the members are names of somebody's."""
    if at:
        yield at
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if names or key not in _WORDS:
            yield from pointers(value, (*at, key), names=not names and key in ("properties", "schemas", "headers"))


@pytest.fixture(scope="module")
def real() -> Json:
    return specification.described()


def test_the_document_beside_the_code_is_the_code_s(real: Json) -> None:
    assert specification.CURRENT.read_text() == specification.written(real), "make openapi"


def test_no_published_promise_is_broken(real: Json) -> None:
    """What fails here would fail at a client's: give the change a new prefix, or leave what was there beside it."""
    broken = [str(one) for one in compare(json.loads(specification.PUBLISHED.read_text()), real) if one.breaking]
    assert broken == []


def _places(document: Json) -> list[tuple[Any, ...]]:
    used = json.dumps(document["paths"]) + json.dumps(document["components"])

    def in_use(pointer: tuple[Any, ...]) -> bool:
        return pointer[0] != "components" or (len(pointer) > 2 and f"/{pointer[1]}/{pointer[2]}" in used)

    roots = ("paths", "components", "x-problem-types")
    return [one for one in pointers(document) if one[0] in roots and len(one) > 1 and in_use(one)]


_DOCUMENT: Json = {}
_PLACES: list[tuple[Any, ...]] = []


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_is_taken_from_the_real_document_is_found(data: st.DataObject) -> None:
    if not _PLACES:
        _DOCUMENT.update(specification.described())
        _PLACES.extend(_places(_DOCUMENT))
    pointer = data.draw(st.sampled_from(_PLACES))
    old: Any = _DOCUMENT
    for part in pointer:
        old = old[part]
    if old is False:
        return  # said of what is so where nothing is said
    other: Any = None
    if isinstance(old, str | int | float | bool) and data.draw(st.booleans()):
        other = (not old) if isinstance(old, bool) else old + 1 if isinstance(old, int | float) else f"{old}x"
    try:
        changes = compare(_DOCUMENT, changed(_DOCUMENT, pointer, other))
    except (KeyError, TypeError, ValueError):
        return  # no document any more: a reference to nothing, a parameter without a name
    assert changes, pointer


def test_publishing_refuses_what_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = tmp_path / "published.json"
    assert specification.publish(SMALL, published) == 0
    grown = changed(SMALL, (*THING, "properties", "more"), {"type": "string"})
    assert specification.publish(grown, published) == 0
    assert json.loads(published.read_text()) == grown
    assert specification.publish(SMALL, published) == 1, "the new field was published"
    assert json.loads(published.read_text()) == grown and "field-removed" in capsys.readouterr().err


def test_a_broken_promise_fails_the_check(
    real: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run: Callable[[], int] = lambda: specification.main("check")  # noqa: E731
    promised = changed(real, ("components", "schemas", "Key", "properties", "colour"), {"type": "string"})
    (tmp_path / "published.json").write_text(json.dumps(promised))
    monkeypatch.setattr(specification, "PUBLISHED", tmp_path / "published.json")
    assert run() == 1 and "colour: is gone [field-removed]" in capsys.readouterr().out
    (tmp_path / "published.json").write_text(json.dumps(real))
    assert run() == 0 and specification.main("nothing") == 2
