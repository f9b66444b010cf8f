"""From two documents to the changes between them: operations, parameters, bodies, answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..auth import TIERS
from .rules import BREAKING, HARMLESS
from .shapes import Documents, Found, compare_shapes

Json = Mapping[str, Any]
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_WHO = ("public", "user", "administrator")
# Text for people, and what is compared under its own rules or nowhere: links repeat what the schemas say.
_OF_OPERATION = {
    "summary", "description", "tags", "externalDocs", "links", "parameters", "requestBody", "responses", "security",
    "operationId", "deprecated", "x-signaldelta", "servers",
}  # fmt: skip
_OF_PARAMETER = {"name", "in", "required", "schema", "description", "example", "examples", "deprecated"}
_OF_HEADER = {"required", "schema", "description", "example", "examples", "deprecated"}


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One difference: by which rule, where, in words."""

    rule: str
    where: str
    words: str

    @property
    def breaking(self) -> bool:
        """Whether a client may be wrong after it."""
        return self.rule in BREAKING

    def __str__(self) -> str:
        return f"{self.where}: {self.words} [{self.rule}]"


def compare(old: Json, new: Json) -> list[Change]:
    """Return the changes from the OpenAPI document `old` to `new`, breaking ones first. Texts and examples are none."""
    documents = Documents(old, new)
    found = [Change(rule, where, words) for rule, where, words in _changes(documents)]
    unknown = {change.rule for change in found} - set(BREAKING) - set(HARMLESS)
    assert not unknown, unknown
    return sorted(set(found), key=lambda change: (not change.breaking, change.where, change.rule, change.words))


def _changes(documents: Documents) -> Iterator[Found]:
    old, new = documents.old, documents.new
    yield from _problems(old.get("x-problem-types", {}), new.get("x-problem-types", {}))
    olds, news = (dict(_operations(document)) for document in (old, new))
    for name in olds:
        if name not in news:
            yield "operation-removed", name, "is gone"
    for name, operation in news.items():
        if name not in olds:
            yield "operation-added", name, "is new"
        else:
            yield from _operation(documents, name, olds[name], operation)


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def _problems(old: Json, new: Json) -> Iterator[Found]:
    pairs = [{(kind, status) for kind, statuses in one.items() for status in statuses} for one in (old, new)]
    for kind, status in pairs[0] - pairs[1]:
        yield "problem-removed", f"problem {kind}", f"no longer comes with {status}"
    for kind, status in pairs[1] - pairs[0]:
        yield "problem-added", f"problem {kind}", f"comes with {status}"


def _operation(documents: Documents, where: str, old: Json, new: Json) -> Iterator[Found]:
    if old.get("operationId") != new.get("operationId"):
        yield "operation-renamed", where, f"{old.get('operationId')} is {new.get('operationId')}"
    yield from _auth(where, old, new)
    yield from _parameters(documents, where, old, new)
    yield from _body(documents, where, old.get("requestBody"), new.get("requestBody"))
    yield from _responses(documents, where, old["responses"], new["responses"])
    if new.get("deprecated") and not old.get("deprecated"):
        yield "deprecated", where, "is marked as going away"
    yield from _rest(where, old, new, _OF_OPERATION)


def _rest(where: str, old: Json, new: Json, known: set[str]) -> Iterator[Found]:
    for name in sorted((set(old) | set(new)) - known):
        if old.get(name) != new.get(name):
            yield "unknown-change", where, f"{name} differs"


def _auth(where: str, old: Json, new: Json) -> Iterator[Found]:
    ways = [{tuple(sorted(one)) for one in operation.get("security", [])} or {()} for operation in (old, new)]
    asks = [operation.get("x-signaldelta", {}).get("asks", {}) for operation in (old, new)]
    who = [_WHO.index(one.get("who", "public")) for one in asks]
    needs = [_needs(one.get("needs", ())) for one in asks]
    if () not in ways[1] and ways[0] - ways[1]:
        yield "auth-tightened", where, "a way to say who asks is gone, or one has to be named"
    elif ways[0] != ways[1]:
        yield "auth-loosened", where, "another way to say who asks, or none is needed"
    if who[1] > who[0] or needs[1] - needs[0]:
        yield "auth-tightened", where, f"asks {asks[1]}, asked {asks[0]}"
    elif asks[0] != asks[1]:
        yield "auth-loosened", where, f"asks {asks[1]}, asked {asks[0]}"


def _needs(given: Iterable[str]) -> set[str]:
    """What is needed; a tier is all below it, too, so that a lower one is less."""
    found = set(given)
    for tier in [one.removeprefix("tier ") for one in found if one.startswith("tier ")]:
        found |= {f"tier {below}" for below in TIERS[: TIERS.index(tier) + 1]}
    return found


def _parameters(documents: Documents, where: str, old: Json, new: Json) -> Iterator[Found]:
    olds = {(one["in"], one["name"]): one for one in map(documents.resolve_old, old.get("parameters", []))}
    news = {(one["in"], one["name"]): one for one in map(documents.resolve_new, new.get("parameters", []))}
    for place, name in olds.keys() - news.keys():
        yield "parameter-removed", where, f"{place} parameter {name} is gone"
    for (place, name), parameter in news.items():
        here = f"{where} {place} parameter {name}"
        before = olds.get((place, name))
        if before is None:
            rule = "parameter-required" if parameter.get("required") else "parameter-added"
            yield rule, here, "is new"
            continue
        if bool(parameter.get("required")) != bool(before.get("required")):
            rule = "parameter-required" if parameter.get("required") else "request-widened"
            yield rule, here, "has to be sent" if parameter.get("required") else "need not be sent"
        if parameter.get("deprecated") and not before.get("deprecated"):
            yield "deprecated", here, "is marked as going away"
        yield from compare_shapes(documents, here, before["schema"], parameter["schema"], answer=False)
        yield from _rest(here, before, parameter, _OF_PARAMETER)


def _body(documents: Documents, where: str, old: Json | None, new: Json | None) -> Iterator[Found]:
    here = f"{where} body"
    if old is None and new is None:
        return
    if old is None or new is None:
        if new is None:
            yield "body-removed", here, "is no longer taken"
        else:
            yield ("body-required" if new.get("required") else "request-widened"), here, "is new"
        return
    if bool(old.get("required")) != bool(new.get("required")):
        yield ("body-required" if new.get("required") else "request-widened"), here, "is required or not"
    for media in old["content"].keys() | new["content"].keys():
        if media not in new["content"]:
            yield "body-removed", here, f"{media} is no longer taken"
        elif media not in old["content"]:
            yield "request-widened", here, f"{media} is taken"
        else:
            before, after = old["content"][media], new["content"][media]
            yield from compare_shapes(documents, here, before.get("schema", {}), after.get("schema", {}), answer=False)
    yield from _rest(here, old, new, {"required", "content", "description"})


def _responses(documents: Documents, where: str, old: Json, new: Json) -> Iterator[Found]:
    for status in old.keys() - new.keys():
        yield "status-removed", f"{where} {status}", "is gone"
    for status, response in new.items():
        here = f"{where} {status}"
        if status not in old:
            yield ("status-added" if status[0] in "45" else "success-added"), here, "is new"
            continue
        before, after = documents.resolve_old(old[status]), documents.resolve_new(response)
        yield from _headers(documents, here, before.get("headers", {}), after.get("headers", {}))
        contents = before.get("content", {}), after.get("content", {})
        for media in contents[0].keys() - contents[1].keys():
            yield "content-removed", here, f"{media} is gone"
        for media in contents[1].keys() - contents[0].keys():
            yield "content-added", here, f"{media} is new"
        for media in contents[0].keys() & contents[1].keys():
            one, other = (content[media] for content in contents)
            shapes = one.get("schema", {}), other.get("schema", {})
            yield from compare_shapes(documents, f"{here} {media}", *shapes, answer=True)
            yield from _rest(f"{here} {media}", one, other, {"schema", "example", "examples"})
        yield from _rest(here, before, after, {"headers", "content", "description", "links"})


def _headers(documents: Documents, where: str, old: Json, new: Json) -> Iterator[Found]:
    for name in old.keys() - new.keys():
        yield "header-removed", where, f"header {name} is gone"
    for name, reference in new.items():
        here = f"{where} header {name}"
        if name not in old:
            yield "header-added", here, "is new"
            continue
        before, after = documents.resolve_old(old[name]), documents.resolve_new(reference)
        if before.get("required") and not after.get("required"):
            yield "header-removed", here, "is no longer sure to be there"
        elif after.get("required") and not before.get("required"):
            yield "answer-narrowed", here, "is always there"
        yield from compare_shapes(documents, here, before["schema"], after["schema"], answer=True)
        yield from _rest(here, before, after, _OF_HEADER)
