"""From two JSON schemas to the changes between them, seen from a request or from an answer.

What a request may be must not shrink, what an answer may be must not grow: the same difference is harmless on one side
and breaking on the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]
Found = tuple[str, str, str]

_TEXT = {"title", "description", "examples", "example", "$comment"}
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
# Not a number that grows or shrinks: another value is neither wider nor narrower than the one before.
_RULES = ("pattern", "multipleOf", "uniqueItems", "format", "contentMediaType", "contentEncoding")
_KNOWN = {
    *_TEXT, *_LOWER, *_UPPER, *_RULES, "type", "enum", "const", "anyOf", "oneOf", "properties", "required", "items",
    "additionalProperties", "default", "deprecated", "$ref",
}  # fmt: skip


@dataclass
class Documents:
    """The old and the new document, for what refers to their components."""

    old: Json
    new: Json
    # Pairs of names that are being compared: schemas may hold themselves.
    open_pairs: set[tuple[str, str, bool]] = field(default_factory=set)

    def resolve_old(self, one: Json) -> Json:
        """Follow a `$ref` of the old document."""
        return _resolved(self.old, one)

    def resolve_new(self, one: Json) -> Json:
        """Follow a `$ref` of the new document."""
        return _resolved(self.new, one)


def _resolved(document: Json, one: Json) -> Json:
    while "$ref" in one:
        found: Any = document
        for part in one["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        one = {**found, **{name: value for name, value in one.items() if name != "$ref"}}
    return one


def compare_shapes(documents: Documents, where: str, old: Json, new: Json, *, answer: bool) -> Iterator[Found]:
    """Yield the changes of a schema: of an answer, or else of a request."""
    pair = (old.get("$ref", ""), new.get("$ref", ""), answer)
    if all(pair[:2]):
        if pair in documents.open_pairs:
            return
        documents.open_pairs.add(pair)
    yield from _compare(documents, where, documents.resolve_old(old), documents.resolve_new(new), answer)
    documents.open_pairs.discard(pair)


def _wider(answer: bool, where: str, words: str, breaking: str = "limit-widened") -> Found:
    return (breaking if answer else "request-widened"), where, words


def _narrower(answer: bool, where: str, words: str, breaking: str = "limit-narrowed") -> Found:
    return ("answer-narrowed" if answer else breaking), where, words


def _compare(documents: Documents, where: str, old: Json, new: Json, answer: bool) -> Iterator[Found]:
    before, after = _variants(documents.resolve_old, old), _variants(documents.resolve_new, new)
    nullable = "null" in before, "null" in after
    before.pop("null", None), after.pop("null", None)
    if nullable[1] and not nullable[0]:
        yield _wider(answer, where, "may be null", "field-nullable")
    elif nullable[0] and not nullable[1]:
        yield _narrower(answer, where, "is never null", "value-refused")
    if not answer and ("default" in old, old.get("default")) != ("default" in new, new.get("default")):
        yield "default-changed", where, f"default {new.get('default')!r}, was {old.get('default')!r}"
    if new.get("deprecated") and not old.get("deprecated"):
        yield "deprecated", where, "is marked as going away"
    if len(before) == len(after) == 1:
        [one], [other] = before.values(), after.values()
        yield from _plain(documents, where, one, other, answer)
        return
    for kind in before.keys() - after.keys():
        yield _narrower(answer, where, f"is no {kind} any more", "value-refused")
    for kind in after.keys() - before.keys():
        yield _wider(answer, where, f"may be {kind}", "type-changed")
    for kind in before.keys() & after.keys():
        yield from _plain(documents, where, before[kind], after[kind], answer)


def _variants(resolve: Any, schema: Json) -> dict[str, Json]:
    """The forms that a value may have, by kind: its type and, where several have the same, their place."""
    found: dict[str, Json] = {}
    given: list[Json] = [one for name in ("anyOf", "oneOf") for one in schema.get(name, ())]
    around = {name: value for name, value in schema.items() if name not in ("anyOf", "oneOf", "default", *_TEXT)}
    forms: list[Json] = [{**around, **one} for one in given]
    for one in forms or [schema]:
        whole = resolve(one)
        types = whole.get("type", "anything")
        for kind in types if isinstance(types, list) else [types]:
            name = kind if kind not in found else f"{kind} {len(found)}"
            found[name] = {**one, "type": kind} if isinstance(types, list) else one
    return found


def _plain(documents: Documents, where: str, one: Json, other: Json, answer: bool) -> Iterator[Found]:
    pair = (one.get("$ref", ""), other.get("$ref", ""), answer)
    if all(pair[:2]):
        if pair in documents.open_pairs:
            return
        documents.open_pairs.add(pair)
    old, new = documents.resolve_old(one), documents.resolve_new(other)
    yield from _type(where, old.get("type"), new.get("type"), answer)
    yield from _choices(where, old, new, answer)
    yield from _limits(where, old, new, answer)
    yield from _members(documents, where, old, new, answer)
    yield from _others(documents, where, old, new, answer)
    for name in sorted((set(old) | set(new)) - _KNOWN):
        if old.get(name) != new.get(name):
            yield "unknown-change", where, f"{name} differs"
    documents.open_pairs.discard(pair)


def _type(where: str, old: str | None, new: str | None, answer: bool) -> Iterator[Found]:
    words = f"is {new or 'anything'}, was {old or 'anything'}"
    if old == new:
        return
    if new is None or (old, new) == ("integer", "number"):
        yield _wider(answer, where, words, "type-changed")
    elif old is None or (old, new) == ("number", "integer"):
        yield _narrower(answer, where, words, "value-refused")
    else:
        yield "type-changed", where, words


def _choices(where: str, old: Json, new: Json, answer: bool) -> Iterator[Found]:
    before, after = (
        {repr(value) for value in one.get("enum", [one["const"]] if "const" in one else [])} for one in (old, new)
    )
    if before == after:
        return
    if not before:
        yield _narrower(answer, where, f"is one of {sorted(after)}", "value-refused")
    elif not after:
        yield _wider(answer, where, "has no choices any more", "values-changed")
    elif answer:
        yield "values-changed", where, f"one of {sorted(after)}, was one of {sorted(before)}"
    elif before - after:
        yield "value-refused", where, f"{sorted(before - after)} is no longer taken"
    else:
        yield "request-widened", where, f"{sorted(after - before)} is taken"


def _limits(where: str, old: Json, new: Json, answer: bool) -> Iterator[Found]:
    for name in (*_LOWER, *_UPPER, *_RULES):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        words = f"{name} {after}, was {before}"
        if before is None:
            yield _narrower(answer, where, words)
        elif after is None:
            yield _wider(answer, where, words)
        elif name in _RULES:
            yield ("type-changed" if answer else "limit-narrowed"), where, words
        elif (after > before) == (name in _LOWER):
            yield _narrower(answer, where, words)
        else:
            yield _wider(answer, where, words)


def _members(documents: Documents, where: str, old: Json, new: Json, answer: bool) -> Iterator[Found]:
    before, after = old.get("properties", {}), new.get("properties", {})
    needed = set(old.get("required", ())), set(new.get("required", ()))
    for name in before.keys() - after.keys():
        yield ("field-removed" if answer else "field-refused"), f"{where} {name}", "is gone"
    for name in after.keys() - before.keys():
        here = f"{where} {name}"
        if answer:
            yield "field-added", here, "is new"
        else:
            yield ("field-required" if name in needed[1] else "request-widened"), here, "is new"
    for name in before.keys() & after.keys():
        here = f"{where} {name}"
        if name in needed[0] - needed[1]:
            yield _wider(answer, here, "need not be there", "field-optional")
        elif name in needed[1] - needed[0]:
            yield _narrower(answer, here, "has to be there", "field-required")
        yield from compare_shapes(documents, here, before[name], after[name], answer=answer)


def _others(documents: Documents, where: str, old: Json, new: Json, answer: bool) -> Iterator[Found]:
    """Members that are not named, and elements of lists."""
    for name, nothing in (("additionalProperties", True), ("items", {})):
        if name not in old and name not in new:
            continue
        before, after = (one.get(name, nothing) for one in (old, new))
        here = f"{where} {'[]' if name == 'items' else '{}'}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from compare_shapes(documents, here, before, after, answer=answer)
        elif before != after:
            if after is False or before is True:
                yield _narrower(answer, here, "is said of what is not named", "field-refused")
            elif before is False:
                # A reader passes over what it does not know.
                yield ("field-added" if answer else "request-widened"), here, "may be there"
            else:
                yield _wider(answer, here, "is anything", "type-changed")
