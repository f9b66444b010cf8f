"""EDGAR's calendar and dissemination: edges of the day, of daylight saving, and of each dated rule."""

from __future__ import annotations

from datetime import UTC, date, datetime

import holidays
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import (
    EDGAR_CLOSINGS,
    EVENING_FORMS,
    NEW_YORK,
    edgar_dissemination,
    header_acceptance_to_utc,
    is_edgar_business_day,
    latest_acceptance,
    new_york,
    next_edgar_business_day,
)

from . import reference


def released(wall: str, form: str | None) -> str:
    """The release of one filing accepted at New York `wall`, as New York wall time."""
    accepted = pd.Series(pd.DatetimeIndex([wall]).tz_localize(NEW_YORK).tz_convert("UTC"))
    got = edgar_dissemination(accepted, pd.Series([form]))
    return str(got.dt.tz_convert(NEW_YORK).iloc[0].strftime("%Y-%m-%d %H:%M:%S.%f").removesuffix(".000000"))


@pytest.mark.parametrize(
    ("wall", "form", "expected"),
    [
        ("2024-05-08 17:30:00", "8-K", "2024-05-08 17:30:00"),
        ("2024-05-08 17:30:00.000001", "8-K", "2024-05-09 06:00:00"),
        ("2024-05-08 05:59:59.999999", "8-K", "2024-05-08 06:00:00"),
        ("2024-05-08 06:00:00", "8-K", "2024-05-08 06:00:00"),
        ("2024-05-10 17:31:00", "10-Q", "2024-05-13 06:00:00"),
        ("2024-05-08 22:00:00", "4", "2024-05-08 22:00:00"),
        ("2024-05-08 22:00:01", "4", "2024-05-09 06:00:00"),
        ("2024-05-08 22:00:00", None, "2024-05-09 06:00:00"),
        ("2024-05-11 12:00:00", "4", "2024-05-13 06:00:00"),
        ("2024-05-27 12:00:00", "4", "2024-05-28 06:00:00"),
        # Each evening rule, the last business day before it and its first.
        ("2003-07-25 18:00:00", "4", "2003-07-28 06:00:00"),
        ("2003-07-28 18:00:00", "4", "2003-07-28 18:00:00"),
        ("2023-03-17 18:00:00", "144", "2023-03-20 06:00:00"),
        ("2023-03-20 18:00:00", "144/A", "2023-03-20 18:00:00"),
        ("2024-02-02 18:00:00", "SC 13G", "2024-02-05 06:00:00"),
        ("2024-02-05 18:00:00", "SC 13D/A", "2024-02-05 18:00:00"),
        ("2025-02-14 21:59:59", "SCHEDULE 13G/A", "2025-02-14 21:59:59"),
        ("2015-07-31 21:00:00", "S-3MEF", "2015-07-31 21:00:00"),
        ("2015-07-31 21:00:00", "POS 462B", "2015-07-31 21:00:00"),
        # Forms whose names only look alike.
        ("2024-05-08 18:00:00", "13F-HR", "2024-05-09 06:00:00"),
        ("2024-05-08 18:00:00", "SC 13E3", "2024-05-09 06:00:00"),
        ("2024-05-08 18:00:00", "40-F", "2024-05-09 06:00:00"),
        # Closed without being a federal holiday; and open on Inauguration Day.
        ("2018-12-04 18:00:00", "8-K", "2018-12-06 06:00:00"),
        ("2025-01-08 18:00:00", "8-K", "2025-01-10 06:00:00"),
        ("2021-06-17 18:00:00", "8-K", "2021-06-21 06:00:00"),
        ("2021-01-19 18:00:00", "8-K", "2021-01-20 06:00:00"),
        # Good Friday is no federal holiday: the exchange is shut and EDGAR is not.
        ("2024-03-29 12:00:00", "8-K", "2024-03-29 12:00:00"),
    ],
)
def test_when_a_filing_is_disseminated(wall: str, form: str | None, expected: str) -> None:
    assert released(wall, form) == expected


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        # 17:30 Eastern is 22:30 UTC up to Friday 8 March 2024 and 21:30 UTC from Monday 11 March.
        ("2024-03-08T22:30:00Z", "2024-03-08T22:30:00Z"),
        ("2024-03-08T22:30:01Z", "2024-03-11T10:00:00Z"),
        ("2024-03-11T21:30:00Z", "2024-03-11T21:30:00Z"),
        ("2024-03-11T21:30:01Z", "2024-03-12T10:00:00Z"),
        # and back in November: 06:00 is 10:00 UTC on Friday the 1st and 11:00 UTC on Monday the 4th.
        ("2024-11-01T21:30:01Z", "2024-11-04T11:00:00Z"),
        ("2024-11-04T22:30:00Z", "2024-11-04T22:30:00Z"),
        ("2024-11-04T10:59:59Z", "2024-11-04T11:00:00Z"),
        # Before 2007 daylight saving began in April: 22:30 UTC on 2006-03-20 is still 17:30.
        ("2006-03-20T22:30:00Z", "2006-03-20T22:30:00Z"),
    ],
)
def test_daylight_saving(accepted: str, expected: str) -> None:
    got = edgar_dissemination(pd.Series(pd.DatetimeIndex([accepted])), pd.Series(["8-K"]))
    assert got.iloc[0] == pd.Timestamp(expected)


@given(
    st.datetimes(datetime(1991, 1, 1), datetime(2039, 12, 1), timezones=st.just(UTC)),
    st.sampled_from(["8-K", "5/A", "144", "SC 13D", "SCHEDULE 13G/A", "F-1MEF", None]),
)
@settings(max_examples=300, deadline=None)
def test_equals_the_reference_and_always_lands_in_opening_hours(accepted: datetime, form: str | None) -> None:
    got = edgar_dissemination(pd.Series([accepted]), pd.Series([form], dtype=object)).iloc[0].to_pydatetime()
    assert got == reference.dissemination(accepted, form)
    assert got >= accepted
    local = got.astimezone(NEW_YORK)
    assert is_edgar_business_day(local.date())
    assert 6 <= local.hour <= 22


def test_null_times_stay_null_and_times_beyond_the_calendar_are_refused() -> None:
    times = pd.Series(pd.DatetimeIndex(["2024-05-08T14:00:00Z", pd.NaT]), index=["a", "b"])
    got = edgar_dissemination(times, pd.Series(["8-K", "8-K"]))
    assert got["a"] == times["a"]
    assert got["b"] is pd.NaT
    with pytest.raises(RecordError, match="2100"):
        edgar_dissemination(pd.Series(pd.DatetimeIndex(["2101-01-03T14:00:00Z"])), pd.Series(["8-K"]))


def test_business_days_agree_with_two_other_calendars() -> None:
    days = pd.date_range("1996-01-01", "2035-12-31")
    ours = np.array([is_edgar_business_day(day.date()) for day in days])
    theirs = np.array([reference.business_day(day.date()) for day in days])
    assert [day.date() for day in days[ours != theirs]] == []
    # The library keeps the government's closings too, half days among them; EDGAR's move of 2000 is the SEC's own.
    library = holidays.country_holidays("US", years=range(2000, 2027), categories=("government",))
    full_days = {day for day, name in library.items() if "half-day" not in name}
    federal = set(holidays.country_holidays("US", years=range(2000, 2027)))
    assert full_days - federal == set(EDGAR_CLOSINGS) - {date(2000, 11, 24)}


def test_every_dated_row_cites_its_source() -> None:
    assert all("17 CFR 232.13" in row.source and "Release 33-" in row.source for row in EVENING_FORMS)
    assert all(day.weekday() < 5 and reason for day, reason in EDGAR_CLOSINGS.items())


def test_next_business_day() -> None:
    assert next_edgar_business_day(date(2024, 12, 23)) == date(2024, 12, 26)
    assert next_edgar_business_day(date(2025, 1, 8)) == date(2025, 1, 10)
    assert next_edgar_business_day(date(2025, 1, 10)) == date(2025, 1, 13)


def test_new_york_clock() -> None:
    moment = datetime(2024, 7, 1, 21, 30, tzinfo=UTC)
    assert new_york(moment).isoformat() == "2024-07-01T17:30:00-04:00"
    assert new_york(pd.Series([moment])).iloc[0].isoformat() == "2024-07-01T17:30:00-04:00"
    with pytest.raises(RecordError):
        new_york(moment.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("20240214161502", "2024-02-14T21:15:02+00:00"),
        ("20240714161502", "2024-07-14T20:15:02+00:00"),
        # 01:30 comes twice on 2024-11-03 and 02:30 never on 2024-03-10: the later instant each time.
        ("20241103013000", "2024-11-03T06:30:00+00:00"),
        ("20240310023000", "2024-03-10T07:30:00+00:00"),
    ],
)
def test_header_acceptance(stamp: str, expected: str) -> None:
    assert header_acceptance_to_utc(stamp).isoformat() == expected


@pytest.mark.parametrize("stamp", ["", "2024021416150", "20241314161502", "20240214 61502", "20240214161502Z"])
def test_a_header_stamp_that_is_none_is_refused(stamp: str) -> None:
    with pytest.raises(RecordError) as caught:
        header_acceptance_to_utc(stamp)
    assert caught.value.field == "ACCEPTANCE-DATETIME"
    assert caught.value.found == stamp


def test_the_latest_acceptance_still_gets_its_filing_date() -> None:
    days = pd.Series(pd.to_datetime(["1997-08-13", "2010-01-05", "1997-08-13"]), index=["a", "b", "c"])
    forms = pd.Series(["10-Q", "4", "4"], index=["a", "b", "c"])
    got = latest_acceptance(days, forms)
    assert [moment.isoformat() for moment in got.dt.tz_convert(NEW_YORK)] == [
        "1997-08-13T17:30:00-04:00",
        "2010-01-05T22:00:00-05:00",
        "1997-08-13T17:30:00-04:00",
    ]
    pd.testing.assert_series_equal(edgar_dissemination(got, forms), got)
