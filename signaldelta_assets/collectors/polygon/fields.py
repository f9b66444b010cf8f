"""Reading the fields of one row: a value of the kind expected, or a RecordError naming record, field and found."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

from signaldelta_assets.errors import RecordError


def an_object(row: Any, record: str) -> dict[str, Any]:
    """Return `row`, which must be an object."""
    if not isinstance(row, dict):
        raise RecordError(record, "row", "an object", type(row).__name__)
    return row


def number(record: str, row: dict[str, Any], field: str, *, optional: bool = False) -> float | int | None:
    """Return a finite number; None where it may be absent and is."""
    value = row.get(field)
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RecordError(record, field, "a finite number", value)
    return value


def price(record: str, row: dict[str, Any], field: str) -> float | int:
    """Return a number above 0."""
    value = number(record, row, field)
    if value is None or value <= 0:
        raise RecordError(record, field, "a number above 0", value)
    return value


def text(record: str, row: dict[str, Any], field: str) -> str:
    """Return a text that is not empty."""
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise RecordError(record, field, "a non-empty text", value)
    return value


def day(record: str, row: dict[str, Any], field: str) -> str:
    """Return a date as ISO text."""
    try:
        return date.fromisoformat(str(row.get(field))).isoformat()
    except ValueError:
        raise RecordError(record, field, "a date YYYY-MM-DD", row.get(field)) from None


def optional_day(record: str, row: dict[str, Any], field: str) -> str | None:
    """Return a date as ISO text, None where it is absent or empty."""
    return day(record, row, field) if row.get(field) else None


def milliseconds(record: str, row: Any, field: str = "t") -> datetime:
    """Return a stamp in milliseconds of the epoch as the moment it means."""
    stamp = row.get(field) if isinstance(row, dict) else None
    if not isinstance(stamp, int) or isinstance(stamp, bool) or not 0 <= stamp < 4_102_444_800_000:
        raise RecordError(record, field, "milliseconds of the epoch, before the year 2100", stamp)
    return datetime.fromtimestamp(stamp / 1000, UTC)
