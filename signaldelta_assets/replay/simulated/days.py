"""Days of the simulation: EDGAR's business days, NYSE sessions, Eastern wall time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays

from .chance import Chance

NEW_YORK = ZoneInfo("America/New_York")
LATE = time(17, 30)
# Forms that keep their day until 22:00, and since when (17 CFR 232.13(a)(4)).
_EVENING = (
    (("3", "4", "5"), date(2003, 7, 28)),
    (("144",), date(2023, 3, 20)),
    (("SCHEDULE 13D", "SCHEDULE 13G"), date(2024, 2, 5)),
)
# Closed by executive order: calendars disagree on them, so nothing is filed on or into these days.
_DISPUTED = frozenset(
    date.fromisoformat(day)
    for day in (
        "2018-12-05",
        "2018-12-24",
        "2019-12-24",
        "2020-12-24",
        "2024-12-24",
        "2025-01-09",
        "2025-12-24",
        "2025-12-26",
    )
)


@cache
def _federal(year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays("US", years=year))


@cache
def _exchange(year: int) -> frozenset[date]:
    return frozenset(holidays.financial_holidays("NYSE", years=year))


def is_business(day: date) -> bool:
    """Whether EDGAR takes filings on `day`."""
    return day.weekday() < 5 and day not in _federal(day.year) and day not in _DISPUTED


def is_session(day: date) -> bool:
    """Whether the exchange trades on `day`."""
    return day.weekday() < 5 and day not in _exchange(day.year)


def is_short(day: date) -> bool:
    """Whether the session of `day` may end early: before Independence Day, after Thanksgiving, Christmas Eve."""
    return (day.month, day.day) in {(7, 3), (12, 24)} or (
        day.month == 11 and day.weekday() == 4 and 23 <= day.day <= 29
    )


def on_or_after(day: date, kind: str = "business") -> date:
    """The first business day (or `session`) on or after `day`."""
    good = is_business if kind == "business" else is_session
    while not good(day):
        day += timedelta(days=1)
    return day


def on_or_before(day: date, kind: str = "business") -> date:
    """The last business day (or `session`) on or before `day`."""
    good = is_business if kind == "business" else is_session
    while not good(day):
        day -= timedelta(days=1)
    return day


def after(day: date, count: int = 1) -> date:
    """The `count`-th business day after `day`."""
    for _ in range(count):
        day = on_or_after(day + timedelta(days=1))
    return day


def sessions(first: date, last: date) -> list[date]:
    """The sessions from `first` to `last`, both included."""
    span = (last - first).days
    return [day for day in (first + timedelta(days=n) for n in range(span + 1)) if is_session(day)]


def utc(eastern: datetime) -> datetime:
    """The moment of an Eastern wall time (never inside a clock change: nothing is filed at night)."""
    return eastern.replace(tzinfo=NEW_YORK).astimezone(UTC)


def stamp(moment: datetime) -> str:
    """A moment as ISO text with Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def filing_date(form: str, accepted: datetime) -> date:
    """The filing date EDGAR gives: the next business day after 17:30, but evening forms keep theirs until 22:00."""
    since = next((first for forms, first in _EVENING if form.removesuffix("/A") in forms), None)
    same = (since is not None and accepted.date() >= since) or accepted.time() < LATE
    return accepted.date() if same else after(accepted.date())


def _at(day: date, chance: Chance, low: str, high: str) -> datetime:
    first, last = (datetime.combine(day, time.fromisoformat(text)) for text in (low, high))
    return first + timedelta(seconds=chance.integer(0, int((last - first).total_seconds())))


def office_time(day: date, chance: Chance, late: float = 0.15) -> datetime:
    """An Eastern acceptance time on `day` as companies file; `late` is the share from 17:31 on."""
    # A late filing on the eve of a disputed day would get a filing date that calendars disagree on.
    disputed = any(day + timedelta(days=n) in _DISPUTED for n in range(1, (after(day) - day).days))
    if chance.happens(late) and not disputed:
        return _at(day, chance, "17:31", "21:30")
    low, high = chance.pick(
        (("07:05", "09:25"), ("07:05", "09:25"), ("10:00", "15:55"), ("16:02", "17:25"), ("16:02", "17:25"))
    )
    return _at(day, chance, low, high)


def ownership_time(day: date, chance: Chance) -> datetime:
    """An Eastern acceptance time of an ownership report: mostly the evening, until 22:00 still that day's."""
    return _at(day, chance, "16:20", "21:50") if chance.happens(0.7) else _at(day, chance, "09:00", "16:20")


def release_time(day: date, chance: Chance) -> datetime:
    """An Eastern time of an earnings release: after the close or before the open."""
    return _at(day, chance, "16:03", "16:35") if chance.happens(0.6) else _at(day, chance, "06:31", "08:30")
