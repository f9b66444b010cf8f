"""US equity sessions: which days the New York Stock Exchange trades, and when each closes.

The calendar is exchange_calendars' XNYS with its unscheduled closings; it is built on first use, over fixed years,
so that the answer does not depend on the day it is asked.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any, Final

import pandas as pd

from ..errors import RecordError

FIRST_SESSION_YEAR: Final = 1985
LAST_SESSION_YEAR: Final = 2049


@lru_cache(maxsize=1)
def _closes() -> pd.Series[Any]:
    """Return the close (datetime64[us, UTC]) of every session, by session date (naive midnight)."""
    import exchange_calendars  # half a second, and only who asks for sessions pays it

    first, last = f"{FIRST_SESSION_YEAR}-01-01", f"{LAST_SESSION_YEAR}-12-31"
    closes: pd.Series[Any] = exchange_calendars.get_calendar("XNYS", start=first, end=last).closes
    return pd.Series(
        pd.DatetimeIndex(closes.array).tz_convert("UTC").as_unit("us"),
        index=pd.DatetimeIndex(closes.index).as_unit("us"),
        name="session_close",
    )


def _within(days: pd.DatetimeIndex) -> None:
    outside = (days.year < FIRST_SESSION_YEAR) | (days.year > LAST_SESSION_YEAR)
    if outside.any():
        expected = f"a date in {FIRST_SESSION_YEAR} to {LAST_SESSION_YEAR}"
        raise RecordError("session", "date", expected, days[outside][0])


def sessions(start: date, end: date) -> pd.DatetimeIndex:
    """Return the sessions from `start` to `end`, both included, as naive midnights (datetime64[us])."""
    bounds = pd.DatetimeIndex([start, end])
    if bounds.tz is not None:
        raise RecordError("session", "date", "dates without a time zone", start)
    _within(bounds)
    days = pd.DatetimeIndex(_closes().index)
    return days[(days >= bounds[0].normalize()) & (days <= bounds[1].normalize())]


def session_close(dates: pd.Series[Any] | pd.DatetimeIndex) -> pd.Series[Any]:
    """Return the close of each session date: datetime64[us, UTC], index of `dates` (a RangeIndex for an index).

    16:00 New York, 13:00 on half days (signals.md 4.0, event_time of a daily bar). NaT where the exchange did not
    trade. Dates are New York session dates without a zone; a time of day is refused, for a bar stamped with a moment
    does not say which session it means. Raises RecordError.
    """
    index = dates.index if isinstance(dates, pd.Series) else pd.RangeIndex(len(dates))
    days = pd.DatetimeIndex(pd.to_datetime(dates))
    if days.tz is not None or not (days.normalize() == days)[days.notna()].all():
        raise RecordError("session", "date", "dates without time of day or zone", days.dtype)
    days = days.as_unit("us")
    _within(days.dropna())
    closes = _closes().reindex(days)
    return pd.Series(closes.array, index=index, name="session_close")
