"""Checks that every contract makes on its values."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from ..errors import RecordError
from ..versioning import canonical_json


def require_utc(record: str, field: str, value: datetime | None, *, nullable: bool = False) -> datetime | None:
    """Return `value` in UTC, or raise `RecordError`: a naive time could be any time."""
    if value is None:
        if nullable:
            return None
        raise RecordError(record, field, "a UTC time", None)
    if value.tzinfo is None:
        raise RecordError(record, field, "a time with a zone", value)
    return value.astimezone(UTC)


def require_text(record: str, field: str, value: str) -> None:
    """Raise `RecordError` unless `value` is a non-empty string."""
    if not isinstance(value, str) or not value:
        raise RecordError(record, field, "a non-empty text", value)


def require_range(record: str, field: str, value: float, low: float, high: float) -> None:
    """Raise `RecordError` unless `value` is a finite number in [low, high]."""
    if not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
        raise RecordError(record, field, f"a number in [{low}, {high}]", value)


def require_canonical(record: str, field: str, document: Any) -> bytes:
    """Return the canonical JSON of `document`, or raise `RecordError`: what has none cannot be named.

    A NUL character is refused as well: PostgreSQL keeps none in a text.
    """
    try:
        text = canonical_json(document)
    except (ValueError, RecursionError) as error:
        raise RecordError(record, field, "values that canonical JSON can hold", error) from error
    if b"\\u0000" in text and has_nul(document):
        raise RecordError(record, field, "text without NUL characters", text[:200])
    return text


def has_nul(document: Any) -> bool:
    """Return whether a text of a JSON document holds a NUL character.

    Its bytes alone do not tell: what looks like the escape may follow a backslash that is escaped itself.
    """
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, str) and "\0" in value:
            return True
        if isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            left += value
    return False
