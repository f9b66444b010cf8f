"""Ways to spoil a document. Each takes its bytes and two numbers, where and with what; same numbers, same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import orjson

Mutation = Callable[[bytes, int, int], bytes]

# What may stand in place of any value, as text: numbers, dates, blanks, controls, words that mean something.
HOSTILE: tuple[str, ...] = (
    "", " ", "\t\n", "-100", "-0.01", "+5", "1e999", "1E5", "NaN", "Infinity", "-inf", "9" * 400, "0." + "1" * 400,
    "0x10", "1,000", "1900-01-01", "2100-12-31", "0000-00-00", "9999-12-31", "99999-01-01", "2024-02-30", "20240101",
    "19000101", "21001231", "01/01/1900", "12/31/2100", "13/45/2024", "19000101000000", "21001231235959",
    "20240230120000", "1900-01-01T00:00:00.000Z", "2100-12-31T00:00:00+99:99", "9999-12-31T23:59:59Z",
    "Mon, 99 Jan 9999999999 00:00:00 +9999999", "Fri, 31 Dec 9999 23:59:59 -2359", "٣٤", "１２３", "²", "\u200b",
    "\u202e", "\x01\x1f", "\x7f\x85\x0b\x0c", "😀" * 50, "9.99", "99.99", "5.2", "Item 5.02", "<ITEMS>7.77",
    "Gossip about the registrant", "../../etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/x", "true", "null",
    "None", "0000000000-00-000000", "0000320193-24-00000A", "-", ".", "a" * 3000, "</TEXT>", "<DOCUMENT>", "]]>",
    "<![CDATA[", "&amp;&lt;", "&undefined;", "&#0;", "&#xD800;", "<!-- ", "<?xml?>", "%s{}",
)  # fmt: skip

# What may stand in place of any value of a JSON document.
HOSTILE_JSON: tuple[Any, ...] = (
    None, True, False, 0, -1, -0.5, 1e308, 2**53, 2**63, 2**64 - 1, 0.1, [], {}, [[]], [None], {"a": None}, [1, "x"],
    [{}], "\x00", "a\x00b", "\ud800", *HOSTILE,
)  # fmt: skip
_NESTED = 900

_TAG = re.compile(rb"<(/?)([A-Za-z][A-Za-z0-9:.-]*)([^<>]*)>")
_VALUE = re.compile(rb">([^<>]{0,200})<")
_LABEL = re.compile(rb"^([ \t]*[A-Z][A-Z 0-9-]{2,40}:|<[A-Z-]{3,25}>)([^\r\n]*)$", re.MULTILINE)
_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp1252", "latin-1", "cp037", "utf-7", "shift_jis")
_DECLARED = (b"UTF-16", b"UTF-7", b"EBCDIC-CP-US", b"windows-1252", b"ISO-8859-1", b"KOI8-R", b"no-such-thing", b"")


def _at(body: bytes, a: int) -> int:
    return a % (len(body) + 1)


def cut(body: bytes, a: int, b: int) -> bytes:
    """Leave out the end, or the beginning."""
    return body[: _at(body, a * 7919)] if b % 4 else body[_at(body, a * 7919) :]


def flip(body: bytes, a: int, b: int) -> bytes:
    """Change one byte."""
    at = _at(body, a * 7919)
    return body[:at] + bytes([b % 256]) + body[at + 1 :]


def insert(body: bytes, a: int, b: int) -> bytes:
    """Put bytes in between."""
    pieces = (
        b"\0",
        b"\xff\xfe",
        b"\n\n",
        b" " * 5000,
        b"<",
        b'"',
        b"\x85",
        b"\xef\xbb\xbf",
        b"\x1a",
        b"{",
        b"&",
        b"\r",
    )
    at = _at(body, a * 7919)
    return body[:at] + pieces[b % len(pieces)] + body[at:]


def delete(body: bytes, a: int, b: int) -> bytes:
    """Take some bytes out."""
    at = _at(body, a * 7919)
    return body[:at] + body[at + 1 + b % 300 :]


def twice(body: bytes, a: int, b: int) -> bytes:
    """Repeat a part."""
    at = _at(body, a * 7919)
    part = body[at : at + 1 + b % 2000]
    return body[:at] + part + part + body[at + len(part) :]


def encoded(body: bytes, a: int, b: int) -> bytes:
    """Write it in another encoding."""
    return body.decode("utf-8", "replace").encode(_ENCODINGS[a % len(_ENCODINGS)], "replace")


def declared(body: bytes, a: int, b: int) -> bytes:
    """Declare another encoding than it has."""
    declaration = b'<?xml version="1.0" encoding="' + _DECLARED[a % len(_DECLARED)] + b'"?>\n'
    return declaration + re.sub(rb"\A\s*<\?xml[^>]*>\s*", b"", body)


def doctyped(body: bytes, a: int, b: int) -> bytes:
    """Give it a document type with an entity, which a value refers to."""
    types = (
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/evil.dtd">',
        b'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p"> %p;]>',
        b'<!DOCTYPE x [<!ENTITY e "ha">]>',
        b"<!DOCTYPE html>",
    )
    rest = re.sub(rb"\A\s*<\?xml[^>]*>\s*", b"", body)
    return b'<?xml version="1.0"?>\n' + types[a % len(types)] + valued(rest, b, 0, b"&e;")


def valued(body: bytes, a: int, b: int, value: bytes | None = None) -> bytes:
    """Put a hostile value in place of the text of an element."""
    return _replaced(body, _VALUE, 1, a, _hostile(b) if value is None else value)


def labelled(body: bytes, a: int, b: int) -> bytes:
    """Put a hostile value in place of what stands behind a label of a header."""
    return _replaced(body, _LABEL, 2, a, _hostile(b))


def unlabelled(body: bytes, a: int, b: int) -> bytes:
    """Drop a line of a header, or put it somewhere else as well."""
    found = list(_LABEL.finditer(body[:200_000]))
    if not found:
        return body
    one = found[a % len(found)]
    if b % 2:
        return body[: one.start()] + body[one.end() :]
    other = found[b % len(found)]
    return body[: other.start()] + one[0] + b"\n" + body[other.start() :]


def retagged(body: bytes, a: int, b: int) -> bytes:
    """Remove, double or rename a tag."""
    found = list(_TAG.finditer(body[:200_000]))
    if not found:
        return body
    tag, other = found[a % len(found)], found[b % len(found)]
    made = (b"", tag[0] + tag[0], b"<" + tag[1] + other[2] + tag[3] + b">", b"<" + tag[1] + b"x:" + tag[2] + b">")[
        b % 4
    ]
    return body[: tag.start()] + made + body[tag.end() :]


def moved(body: bytes, a: int, b: int) -> bytes:
    """Put an element into another, whole."""
    found = list(re.finditer(rb"<([A-Za-z][A-Za-z0-9]*)>.{0,2000}?</\1>", body[:200_000], re.DOTALL))
    if not found:
        return body
    one, other = found[a % len(found)], found[b % len(found)]
    at = other.start(0) + len(other[1]) + 2
    return body[:at] + one[0] + body[at:]


def _replaced(body: bytes, pattern: re.Pattern[bytes], group: int, a: int, value: bytes) -> bytes:
    found = list(pattern.finditer(body[:200_000]))
    if not found:
        return body
    one = found[a % len(found)]
    return body[: one.start(group)] + value + body[one.end(group) :]


def _hostile(b: int) -> bytes:
    return HOSTILE[b % len(HOSTILE)].encode("utf-8", "replace")


# --- JSON -----------------------------------------------------------------------------------------------------------


def json_valued(body: bytes, a: int, b: int) -> bytes:
    """Put a hostile value in place of any value of the document, a whole branch or a leaf."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    places = list(_places(document))
    if not places:
        return body
    holder, name = places[(a * 7919) % len(places)]
    if b % 97 == 0:
        value: Any = _deep()
    else:
        value = HOSTILE_JSON[b % len(HOSTILE_JSON)]
    holder[name] = value
    return _dumped(document)


def json_dropped(body: bytes, a: int, b: int) -> bytes:
    """Drop a member, or give it twice under its name, with another value."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    places = list(_places(document))
    if not places:
        return body
    holder, name = places[(a * 7919) % len(places)]
    if b % 2 and isinstance(holder, dict):
        text = orjson.dumps(name) + b":"
        return body.replace(text, text + b"null," + text, 1)
    del holder[name]
    return _dumped(document)


def _places(document: Any) -> Any:
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            # The members near the top are few among thousands of rows: they come several times.
            for name in list(value):
                yield value, name
                left.append(value[name])
        elif isinstance(value, list):
            for at in range(min(len(value), 4)):
                yield value, at
                left.append(value[at])


def _deep() -> Any:
    value: Any = 1
    for _ in range(_NESTED):
        value = [value]
    return value


def _dumped(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=True).encode()


ANY: tuple[Mutation, ...] = (cut, flip, insert, delete, twice, encoded)
MARKUP: tuple[Mutation, ...] = (valued, valued, valued, retagged, moved, declared, doctyped, *ANY)
HEADER: tuple[Mutation, ...] = (labelled, labelled, labelled, unlabelled, *MARKUP)
LINES: tuple[Mutation, ...] = (*ANY, insert, flip)
JSON: tuple[Mutation, ...] = (json_valued, json_valued, json_valued, json_dropped, *ANY)
