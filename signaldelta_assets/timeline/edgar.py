"""EDGAR's calendar: business days, opening hours, and when a filing accepted at a given moment is disseminated.

Rules are dated tables with their source beside each row (time.md). All arithmetic is on New York wall time,
vectorised; everything that goes in or comes out with a zone is UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final, cast, overload
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import RecordError

NEW_YORK: Final = ZoneInfo("America/New_York")
# EDGAR's first pilot filings are of 1984; the far end is where the tables below stop, not where the rules do.
FIRST_YEAR: Final = 1984
LAST_YEAR: Final = 2100

_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
# 17 CFR 232.12(c): filings may be submitted Monday to Friday, except federal holidays, 6 a.m. to 10 p.m. Eastern.
OPENS: Final = 6 * 3600 * _SECOND
CLOSES: Final = 22 * 3600 * _SECOND
# 17 CFR 232.13(a)(2): on or before 5:30 p.m. is filed that business day, later is filed the next one.
CUTOFF: Final = (17 * 3600 + 30 * 60) * _SECOND

Days = npt.NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class EveningForms:
    """Forms that keep the day, and are disseminated at once, until `until` (microseconds of the Eastern day)."""

    pattern: str
    since: date
    until: int
    source: str


# Schedule 14N is named in 17 CFR 232.13(a)(4) too (Release 33-9136) but not in time.md, and no recorded filing
# shows when it is disseminated; the general cut-off, which can only be later, holds for it.
EVENING_FORMS: Final = (
    EveningForms(
        r"[345](/A)?",
        # In force 2003-06-30; every recorded filing after 17:30 up to 2003-07-25 still got the next business day,
        # every one from 2003-07-29 the same. The later start is the one that lets nothing out early.
        date(2003, 7, 28),
        CLOSES,
        "17 CFR 232.13(a)(4), Release 33-8230 (mandated electronic filing of Forms 3, 4 and 5)",
    ),
    EveningForms(
        r"144(/A)?",
        date(2023, 3, 20),
        CLOSES,
        "17 CFR 232.13(a)(4), Release 33-11159 (Extending Form 144 EDGAR Filing Hours), effective 2023-03-20",
    ),
    EveningForms(
        r"(SC|SCHEDULE) 13[DG](/A)?",
        date(2024, 2, 5),
        CLOSES,
        "17 CFR 232.13(a)(4), Release 33-11253 (Modernization of Beneficial Ownership Reporting), effective 2024-02-05",
    ),
    EveningForms(
        r".+MEF|POS 462B",
        date(1995, 6, 7),
        CLOSES,
        "17 CFR 232.13(a)(3), Release 33-7168 (Rule 462(b) registration statements), effective 1995-06-07",
    ),
)

# Full days, beside the federal holidays, on which the government and EDGAR were closed and filings not accepted.
# Half-day orders (2002, 2009 and 2015) are not here: EDGAR took filings. Nor is Inauguration Day, nor the storm of
# 2012-10-29 and 30, nor a lapse of appropriations: EDGAR was open. The recorded filings hold no acceptance on any of
# these days.
EDGAR_CLOSINGS: Final[dict[date, str]] = {
    date(2000, 11, 24): "SEC notice of 2000-11-02: EDGAR shut down for one day to move to the Internet",
    date(2001, 12, 24): "Executive order of December 2001 closing executive departments",
    date(2003, 12, 26): "Executive order of December 2003 closing executive departments",
    date(2004, 6, 11): "Executive order of June 2004: national day of mourning for President Reagan",
    date(2007, 1, 2): "Executive order of December 2006: national day of mourning for President Ford",
    date(2007, 12, 24): "Executive order of December 2007 closing executive departments",
    date(2008, 12, 26): "Executive order of December 2008 closing executive departments",
    date(2012, 12, 24): "Executive order of December 2012 closing executive departments",
    date(2014, 12, 26): "Executive order of December 2014 closing executive departments",
    date(2018, 12, 5): "SEC announcement `EDGAR to be closed Wednesday, December 5, 2018`: mourning for President Bush",
    date(2018, 12, 24): "SEC Division of Corporation Finance, 2018-12-21: no EDGAR filings accepted December 24 and 25",
    date(2019, 12, 24): "SEC announcement of December 2019: EDGAR closed on December 24 and 25",
    date(2020, 12, 24): "SEC announcement of December 2020: EDGAR closed on December 24 and 25",
    date(2024, 12, 24): "Executive order of December 2024 closing executive departments",
    date(2025, 1, 9): "Executive order of 2024-12-30: national day of mourning for President Carter",
    date(2025, 12, 24): "Executive order of December 2025 closing executive departments on December 24 and 26",
    date(2025, 12, 26): "Executive order of December 2025 closing executive departments on December 24 and 26",
}


@lru_cache(maxsize=1)
def edgar_calendar() -> np.busdaycalendar:
    """Return EDGAR's business days as a numpy calendar, for `np.busday_count` and its like.

    Monday to Friday without US federal holidays as observed (5 U.S.C. 6103, from the `holidays` library: Juneteenth
    since 2021) and without `EDGAR_CLOSINGS`.
    """
    federal = holidays.country_holidays("US", years=range(FIRST_YEAR, LAST_YEAR + 1))
    return np.busdaycalendar(holidays=sorted(np.datetime64(day, "D") for day in {*federal, *EDGAR_CLOSINGS}))


@lru_cache(maxsize=1)
def _openings() -> tuple[np.datetime64, npt.NDArray[np.int64]]:
    """Return the first day of the table and, for each day on, 06:00 New York as microseconds of UTC."""
    first = np.datetime64(f"{FIRST_YEAR}-01-01", "D")
    days = np.arange(first, np.datetime64(f"{LAST_YEAR + 1}-02-01", "D"))
    wall = pd.DatetimeIndex(days.astype("datetime64[us]") + np.timedelta64(OPENS, "us"))
    return first, _micros(wall.tz_localize(NEW_YORK).tz_convert("UTC"))


def _micros(index: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    """Return microseconds since the epoch; NaT becomes the least int64."""
    return cast("npt.NDArray[np.int64]", index.as_unit("us").asi8)


def evening_since(forms: pd.Series[Any]) -> Days:
    """Return for each form the first day on which it keeps the day until 22:00; NaT where it never does.

    A null or unknown form keeps the general cut-off: that is never too early.
    """
    codes, names = pd.factorize(forms)
    since = np.array([_evening_since(str(name)) for name in names] + [np.datetime64("NaT", "D")], "datetime64[D]")
    return since[codes]


@lru_cache(maxsize=4096)
def _evening_since(form: str) -> np.datetime64:
    name = form.strip().upper()
    for row in EVENING_FORMS:
        if re.fullmatch(row.pattern, name):
            return np.datetime64(row.since, "D")
    return np.datetime64("NaT", "D")


def require_utc_series(values: pd.Series[Any], field: str) -> pd.Series[Any]:
    """Return `values` as datetime64[us, UTC]; RecordError where they carry no zone."""
    if not isinstance(values.dtype, pd.DatetimeTZDtype):
        if values.isna().all():
            return pd.Series(pd.NaT, index=values.index, dtype="datetime64[us, UTC]", name=values.name)
        converted = pd.to_datetime(values, utc=False)
        if not isinstance(converted.dtype, pd.DatetimeTZDtype):
            raise RecordError("records", field, "timestamps with a time zone", values.dtype)
        values = converted
    utc: pd.Series[Any] = values.dt.tz_convert("UTC").dt.as_unit("us")
    return utc


def edgar_dissemination(accepted_utc: pd.Series[Any], forms: pd.Series[Any]) -> pd.Series[Any]:
    """Return when EDGAR disseminates filings accepted at `accepted_utc`: datetime64[us, UTC], same index.

    At once on a business day from 06:00 to 17:30:00 New York, and to 22:00:00 for the forms of `EVENING_FORMS` from
    their date on; otherwise 06:00 of the next opening (time.md). NaT stays NaT. `forms` is read by position.

    Raises RecordError where a time has no zone or lies outside `FIRST_YEAR` to `LAST_YEAR`.
    """
    accepted = require_utc_series(accepted_utc, "event_time")
    utc = pd.DatetimeIndex(accepted)
    known = ~np.asarray(utc.isna())
    wall = _micros(utc.tz_convert(NEW_YORK).tz_localize(None))
    wall = np.where(known, wall, 0)
    day_number, clock = np.divmod(wall, _DAY)
    day = day_number.astype("datetime64[D]")
    first, openings = _openings()
    outside = known & ((day < first) | (day >= np.datetime64(f"{LAST_YEAR + 1}-01-01", "D")))
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        expected = f"a time in {FIRST_YEAR} to {LAST_YEAR}, the years of EDGAR's calendar"
        raise RecordError(f"record {accepted.index[at]}", "event_time", expected, accepted.iloc[at])
    calendar = edgar_calendar()
    cutoff = np.where(day >= evening_since(forms), CLOSES, CUTOFF)
    at_once = np.is_busday(day, busdaycal=calendar) & (clock >= OPENS) & (clock <= cutoff)
    opening_day = np.busday_offset(day + (clock >= OPENS), 0, roll="forward", busdaycal=calendar)
    opening = openings[np.where(known, (opening_day - first).astype(np.int64), 0)]
    micros = np.where(at_once, _micros(utc), opening)
    micros = np.where(known, micros, np.iinfo(np.int64).min)
    moments = pd.DatetimeIndex(micros.view("datetime64[us]")).tz_localize("UTC")
    return pd.Series(moments, index=accepted.index, name=accepted.name)


def latest_acceptance(filing_date: pd.Series[Any], forms: pd.Series[Any]) -> pd.Series[Any]:
    """Return the latest moment (UTC) at which a filing of that form and filing date can have been accepted.

    17:30:00 New York of the filing date, 22:00:00 for evening forms. It stands in for an acceptance of which only the
    day is known: later than the truth, so evidence is never let out early.
    """
    day = pd.DatetimeIndex(filing_date).to_numpy().astype("datetime64[D]")
    cutoff = np.where(day >= evening_since(forms), CLOSES, CUTOFF)
    wall = pd.DatetimeIndex(day.astype("datetime64[us]") + cutoff.astype("timedelta64[us]"))
    moments = wall.tz_localize(NEW_YORK).tz_convert("UTC").as_unit("us")
    return pd.Series(moments, index=filing_date.index, name=filing_date.name)


def edgar_filing_date(accepted_utc: pd.Series[Any], forms: pd.Series[Any]) -> list[date]:
    """Return the filing date of each filing accepted at `accepted_utc`: the New York day of its dissemination."""
    disseminated = new_york(edgar_dissemination(accepted_utc, forms))
    return [moment.date() for moment in disseminated.dt.to_pydatetime()]


def edgar_business_days(after: date, until: date) -> int:
    """Return how many EDGAR business days lie after the day `after`, up to and with the day `until`."""
    first, last = (np.datetime64(day, "D") + 1 for day in (after, until))
    return int(np.busday_count(first, last, busdaycal=edgar_calendar()))


def is_edgar_business_day(day: date) -> bool:
    """Return whether EDGAR takes and disseminates filings on `day` (a New York date)."""
    return bool(np.is_busday(np.datetime64(day, "D"), busdaycal=edgar_calendar()))


def next_edgar_business_day(day: date) -> date:
    """Return the first EDGAR business day after `day`."""
    following = np.busday_offset(np.datetime64(day, "D") + 1, 0, roll="forward", busdaycal=edgar_calendar())
    return cast("date", following.item())


@overload
def new_york(moment: datetime) -> datetime: ...
@overload
def new_york(moment: pd.Series[Any]) -> pd.Series[Any]: ...
def new_york(moment: datetime | pd.Series[Any]) -> datetime | pd.Series[Any]:
    """Return `moment`, which must carry a zone, on New York's clock (still aware)."""
    if isinstance(moment, pd.Series):
        local: pd.Series[Any] = require_utc_series(moment, "moment").dt.tz_convert(NEW_YORK)
        return local
    if moment.tzinfo is None:
        raise RecordError("moment", "moment", "a time with a time zone", moment)
    return moment.astimezone(NEW_YORK)


def header_acceptance_to_utc(stamp: str) -> datetime:
    """Return the UTC moment of a submission header's `<ACCEPTANCE-DATETIME>`: 14 digits of Eastern wall time.

    An hour that the clocks show twice, or skip, means the later of the two instants it can be. RecordError otherwise.
    """
    expected = "14 digits YYYYMMDDHHMMSS of Eastern wall time"
    if not re.fullmatch(r"[0-9]{14}", stamp):
        raise RecordError("submission header", "ACCEPTANCE-DATETIME", expected, stamp)
    try:
        wall = datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=NEW_YORK)
    except ValueError:
        raise RecordError("submission header", "ACCEPTANCE-DATETIME", expected, stamp) from None
    return max(wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
