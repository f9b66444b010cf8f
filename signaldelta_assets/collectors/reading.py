"""JSON from outside, read once and the same way for every upstream. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from signaldelta_assets.contracts import has_nul
from signaldelta_assets.errors import RecordError


def read_json(body: bytes, record: str) -> Any:
    """Return the document in `body`. Raises RecordError where it is no JSON, or where a text has a NUL character.

    Numbers that no float holds, lone surrogates and more than a thousand levels are no JSON here. Of a name given twice
    in an object the last value counts, as for nearly every reader.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RecordError(record, "body", "a JSON document", error) from error
    # PostgreSQL keeps no NUL in a text.
    if b"\\u0000" in body and has_nul(document):
        raise RecordError(record, "body", "text without NUL characters")
    return document


def json_object(body: bytes, record: str) -> dict[str, Any]:
    """Return the object that `body` is, see `read_json`."""
    document = read_json(body, record)
    if not isinstance(document, dict):
        raise RecordError(record, "body", "a JSON object", type(document).__name__)
    return document
