"""US equity sessions: closes on full and half days, over daylight saving, and against recorded prices."""

from __future__ import annotations

import gzip
import subprocess
import sys
from datetime import date

import pandas as pd
import pytest

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import NEW_YORK, session_close, sessions
from tests.paths import DATA, needs_data


@pytest.mark.parametrize(
    ("day", "close"),
    [
        ("2024-03-08", "2024-03-08T21:00:00Z"),
        ("2024-03-11", "2024-03-11T20:00:00Z"),
        ("2024-11-29", "2024-11-29T18:00:00Z"),
        ("2024-07-03", "2024-07-03T17:00:00Z"),
        ("2018-12-24", "2018-12-24T18:00:00Z"),
    ],
)
def test_closes(day: str, close: str) -> None:
    got = session_close(pd.Series(pd.to_datetime([day]), index=["k"]))
    assert str(got.dtype) == "datetime64[us, UTC]"
    assert got["k"] == pd.Timestamp(close)


def test_no_close_where_the_exchange_did_not_trade() -> None:
    # A Sunday, Good Friday, a day of mourning, the storm of 2012; order and repeats are kept.
    days = pd.to_datetime(["2024-03-10", "2024-03-29", "2025-01-09", "2012-10-29", "2024-03-11", "2024-03-11", None])
    got = session_close(pd.DatetimeIndex(days))
    assert list(got.isna()) == [True, True, True, True, False, False, True]


def test_sessions_include_both_ends() -> None:
    got = sessions(date(2024, 12, 23), date(2024, 12, 26))
    assert [day.date() for day in got] == [date(2024, 12, 23), date(2024, 12, 24), date(2024, 12, 26)]


def test_every_close_is_at_16_or_13_in_the_years_of_the_data() -> None:
    closes = session_close(sessions(date(2010, 1, 1), date(2026, 12, 31)))
    counts = closes.dt.tz_convert(NEW_YORK).dt.strftime("%H:%M").value_counts()
    assert set(counts.index) == {"16:00", "13:00"}
    assert counts["13:00"] < 4 * 17


@pytest.mark.parametrize("wrong", ["2024-03-11T14:30:00", "2024-03-11T00:00:00Z", "1970-01-02"])
def test_what_is_no_session_date_is_refused(wrong: str) -> None:
    with pytest.raises(RecordError):
        session_close(pd.DatetimeIndex([wrong]))


def test_the_exchange_calendar_is_not_built_on_import() -> None:
    code = "import signaldelta_assets.timeline, sys; sys.exit('exchange_calendars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_data
@pytest.mark.archive
def test_sessions_are_the_dates_of_recorded_bars() -> None:
    lines = gzip.decompress((DATA / "prices/daily_yahoo_adjusted_2010_2026/AAPL.csv.gz").read_bytes()).decode()
    dates = [line.split(",", 1)[0] for line in lines.splitlines()[3:]]
    assert len(dates) > 4000
    recorded = pd.DatetimeIndex(dates)
    assert list(recorded) == list(sessions(recorded[0].date(), recorded[-1].date()))
