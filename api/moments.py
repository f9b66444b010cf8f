"""Moments and days as callers write them: in full, with a zone, and within the years that UTC has."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _written_out(value: object) -> object:
    """Refuse a bare number, which pydantic takes for seconds since 1970: `as_of=2024` is no year's answer."""
    if not isinstance(value, str) or not _DAY.match(value):
        raise ValueError("expected a day as 2024-06-03, for a moment with time and zone: 2024-06-03T14:30:00Z")
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("expected a moment between the years 1 and 9999 of UTC") from error


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_utc)]
CalendarDay = Annotated[date, BeforeValidator(_written_out)]
