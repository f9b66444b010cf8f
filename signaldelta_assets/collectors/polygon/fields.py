"""Reading the fields of one row: a value of the kind expected, or a RecordError naming record, field and found."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from typing import Any

from signaldelta_assets.errors import RecordError

# Beyond it a whole number is not one number for every reader of JSON (RFC 8785).
_LARGEST_WHOLE = 2**53 - 1
# Names become parts of keys and of URLs.
_LONGEST_TEXT = 300
_TICKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,29}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# The vendor has list dates of the nineteenth century.
_FIRST_YEAR, _END_YEAR = 1800, 2100


def an_object(row: Any, record: str) -> dict[str, Any]:
    """Return `row`, which must be an object."""
    if not isinstance(row, dict):
        raise RecordError(record, "row", "an object", type(row).__name__)
    return row


def replayed(row: dict[str, Any], record: str) -> dict[str, Any]:
    """Return what replay adds to a row or page about its recording; empty where the vendor itself answers."""
    return an_object(row.get("signaldelta") or {}, f"{record}:signaldelta")


def number(record: str, row: dict[str, Any], field: str, *, optional: bool = False) -> float | int | None:
    """Return a finite number; None where it may be absent and is."""
    value = row.get(field)
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RecordError(record, field, "a finite number", value)
    if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
        raise RecordError(record, field, "a whole number of at most 2**53", value)
    return value


def whole(record: str, row: dict[str, Any], field: str) -> int | None:
    """Return a number without its fraction, None where it is absent."""
    value = number(record, row, field, optional=True)
    if value is not None and abs(value) > _LARGEST_WHOLE:
        raise RecordError(record, field, "a number of at most 2**53", value)
    return None if value is None else int(value)


def amount(record: str, row: dict[str, Any], field: str) -> float | int:
    """Return a number that is not negative."""
    value = number(record, row, field)
    if value is None or value < 0:
        raise RecordError(record, field, "a number, not negative", value)
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
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT:
        raise RecordError(record, field, f"a text of 1 to {_LONGEST_TEXT} characters", value)
    return value


def ticker_of(record: str, row: dict[str, Any]) -> str:
    """Return a ticker: it becomes part of a path."""
    value = row.get("ticker")
    if not isinstance(value, str) or not _TICKER.fullmatch(value):
        raise RecordError(record, "ticker", "a ticker of letters, digits, dots, dashes and colons", value)
    return value


def optional_text(record: str, row: dict[str, Any], field: str) -> str | None:
    """Return a text, None where it is absent or empty; a vendor's number for a name is one too."""
    value = row.get(field)
    if isinstance(value, int) and not isinstance(value, bool) and value:
        return str(value)
    return text(record, row, field) if value else None


def day(record: str, row: dict[str, Any], field: str) -> str:
    """Return a date as ISO text: of years that a market can have a date in."""
    value = row.get(field)
    try:
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            raise ValueError(value)
        found = date.fromisoformat(value)
    except ValueError:
        raise RecordError(record, field, "a date YYYY-MM-DD", value) from None
    if not _FIRST_YEAR <= found.year < _END_YEAR:
        raise RecordError(record, field, f"a date from {_FIRST_YEAR} on, before {_END_YEAR}", value)
    return found.isoformat()


def optional_day(record: str, row: dict[str, Any], field: str) -> str | None:
    """Return a date as ISO text, None where it is absent or empty."""
    return day(record, row, field) if row.get(field) else None


def milliseconds(record: str, row: Any, field: str = "t") -> datetime:
    """Return a stamp in milliseconds of the epoch as the moment it means."""
    stamp = row.get(field) if isinstance(row, dict) else None
    if not isinstance(stamp, int) or isinstance(stamp, bool) or not 0 <= stamp < 4_102_444_800_000:
        raise RecordError(record, field, "milliseconds of the epoch, before the year 2100", stamp)
    return datetime.fromtimestamp(stamp / 1000, UTC)
