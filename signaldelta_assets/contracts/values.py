"""Checks that every contract makes on its values."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from ..errors import RecordError


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
