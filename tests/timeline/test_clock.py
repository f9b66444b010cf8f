"""Deciding the clock of a submissions document: simulated documents on a known clock, and what must stay undecided."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import (
    NEW_YORK,
    acceptance_times,
    decide_clock,
    edgar_calendar,
    edgar_dissemination,
    to_utc,
)


def document(clock: str, count: int = 400, seed: int = 7, start: str = "2012-01-03") -> pd.DataFrame:
    """Filings accepted through the business day, stamped as a document on `clock` would show them."""
    rng = np.random.default_rng(seed)
    offsets = np.sort(rng.integers(0, count * 3, count))
    days = np.busday_offset(np.datetime64(start), offsets, roll="forward", busdaycal=edgar_calendar())
    # Odd seconds: 19:00:00 in New York is 00:00:00 in UTC, which reads as a stamp without time of day.
    seconds = rng.integers(8 * 3600, 21 * 3600, count) | 1
    wall = pd.Series(days.astype("datetime64[us]") + (seconds * 1_000_000).astype("timedelta64[us]"))
    forms = pd.Series(rng.choice(["8-K", "10-Q", "4", "S-8"], count))
    true = wall.dt.tz_localize(NEW_YORK).dt.tz_convert("UTC")
    filed = edgar_dissemination(true, forms).dt.tz_convert(NEW_YORK).dt.tz_localize(None).dt.normalize()
    return pd.DataFrame(
        {
            "accession": [f"0000000001-12-{number:06d}" for number in range(count)],
            "form": forms,
            "filing_date": filed,
            "accepted_raw": true.dt.tz_localize(None) if clock == "utc" else wall,
            "true": true,
        }
    )


@pytest.mark.parametrize("clock", ["utc", "eastern"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_finds_the_clock_it_was_written_on(clock: str, seed: int) -> None:
    rows = document(clock, seed=seed).sample(frac=1, random_state=seed)
    decision = decide_clock(rows)
    assert decision.clock == clock
    assert decision.reason == "calendar"
    assert decision.grounds["contradicting_rows"] == 0
    assert decision.doubtful.sum() == decision.grounds["unproven_rows"] < 20
    assert decision.doubtful.index.equals(rows.index)
    assert not decide_clock(rows, settled=True).doubtful.any()
    assert (to_utc(rows["accepted_raw"], decision.clock) == rows["true"]).all()


def test_few_rows_stay_undecided_unless_a_header_tells() -> None:
    rows = document("eastern", 3)
    rows["accepted_raw"] = rows["accepted_raw"].dt.normalize() + pd.Timedelta(hours=11)
    rows["filing_date"] = rows["accepted_raw"].dt.normalize()
    blind = decide_clock(rows)
    assert (blind.clock, blind.reason) == ("undecided", "too few telling days")
    assert blind.doubtful.all()
    told = decide_clock(rows, {rows["accession"][1]: rows["accepted_raw"][1].to_pydatetime()})
    assert (told.clock, told.reason) == ("eastern", "headers")
    assert told.grounds["headers_eastern"] == 1
    assert decide_clock(rows.iloc[:0]).clock == "undecided"


def test_a_batch_of_one_day_is_one_vote() -> None:
    rows = pd.concat([document("utc", 400).iloc[[0]]] * 50, ignore_index=True)
    rows["form"] = "8-K"
    rows["accepted_raw"] = pd.Timestamp("2024-05-08T21:15:00")
    rows["filing_date"] = pd.Timestamp("2024-05-08")
    decision = decide_clock(rows)
    assert decision.grounds["telling_rows_utc"] == 50
    assert decision.grounds["telling_days_utc"] == 1
    assert decision.clock == "undecided"


def test_headers_against_the_calendar_or_each_other_decide_nothing() -> None:
    rows = document("utc")
    eastern = dict(zip(rows["accession"], rows["accepted_raw"], strict=True))
    right = dict(zip(rows["accession"], rows["true"].dt.tz_convert(NEW_YORK).dt.tz_localize(None), strict=True))
    assert decide_clock(rows, right).reason == "headers and calendar"
    against = decide_clock(rows, {name: eastern[name] for name in rows["accession"][:3]})
    assert (against.clock, against.reason) == ("undecided", "headers contradict the calendar")
    first, second = rows["accession"][:2]
    mixed = decide_clock(rows, {first: right[first], second: eastern[second]})
    assert (mixed.clock, mixed.reason) == ("undecided", "headers contradict each other")
    neither = decide_clock(rows, {first: datetime(1999, 1, 1, 12)})
    assert (neither.clock, neither.reason) == ("undecided", "headers fit neither clock")


def test_a_row_that_its_own_header_contradicts_is_doubtful() -> None:
    rows = document("utc")
    wall = rows["true"].dt.tz_convert(NEW_YORK).dt.tz_localize(None)
    headers = dict(zip(rows["accession"][:10], wall[:10], strict=True))
    headers[rows["accession"][4]] = wall[4] + pd.Timedelta(minutes=1)
    decision = decide_clock(rows, headers, settled=True)
    assert decision.clock == "utc"
    assert decision.grounds["headers_utc"] == 9
    assert list(np.flatnonzero(decision.doubtful)) == [4]


@pytest.mark.parametrize(("clock", "other"), [("utc", "eastern"), ("eastern", "utc")])
def test_a_stretch_on_the_other_clock_is_doubtful_and_the_rest_is_not(clock: str, other: str) -> None:
    rows, foreign = document(clock, 1200), document(other, 1200)
    stretch = slice(500, 640)
    rows.loc[rows.index[stretch], "accepted_raw"] = foreign["accepted_raw"].iloc[stretch]
    decision = decide_clock(rows, settled=True)
    assert decision.clock == clock
    assert decision.doubtful.iloc[stretch].mean() > 0.9
    assert decision.doubtful.drop(rows.index[480:660]).sum() == 0
    wrong = to_utc(rows["accepted_raw"], decision.clock) != rows["true"]
    assert (wrong & ~decision.doubtful).sum() <= 14


def unproven_head() -> pd.DataFrame:
    """A document on UTC whose newest rows are Eastern and fit either clock, as one recorded document has them."""
    rows = document("utc", 100)
    days = pd.bdate_range(rows["filing_date"].max() + pd.Timedelta(days=2), periods=6)
    head = pd.DataFrame(
        {
            "accession": [f"head-{number}" for number in range(6)],
            "form": "4",
            "filing_date": days,
            "accepted_raw": days + pd.Timedelta("16:40:00"),
            "true": (days + pd.Timedelta("16:40:00")).tz_localize(NEW_YORK).tz_convert("UTC"),
        }
    )
    return pd.concat([rows, head], ignore_index=True)


def test_rows_newer_than_the_newest_proof_of_utc_are_not_believed() -> None:
    rows = unproven_head()
    decision = decide_clock(rows)
    assert decision.clock == "utc"
    assert decision.grounds["unproven_rows"] >= 6
    assert decision.doubtful.tail(6).all()
    wrong = to_utc(rows["accepted_raw"], "utc") != rows["true"]
    assert wrong.sum() == 6
    assert not (wrong & ~decision.doubtful).any()


def test_what_would_lie_in_the_future_if_eastern_proves_utc() -> None:
    rows = document("utc", 100)
    rows = rows[rows["true"].dt.tz_convert(NEW_YORK).dt.hour < 17].reset_index(drop=True)
    last = rows["true"].max()
    fetched = (last + pd.Timedelta(hours=1)).to_pydatetime()
    assert decide_clock(rows, observed_time=fetched).grounds["unproven_rows"] == 0
    later = decide_clock(rows, observed_time=(last + pd.Timedelta(days=900)).to_pydatetime())
    assert later.grounds == decide_clock(rows).grounds


def test_a_document_half_on_each_clock_is_undecided() -> None:
    rows = document("utc", 800)
    rows.loc[400:, "accepted_raw"] = document("eastern", 800).loc[400:, "accepted_raw"]
    decision = decide_clock(rows)
    assert (decision.clock, decision.reason) == ("undecided", "telling days contradict each other")
    assert decision.doubtful.all()


@pytest.mark.parametrize("clock", ["utc", "eastern"])
def test_stamps_without_time_of_day_tell_the_clock_and_get_the_end_of_their_day(clock: str) -> None:
    days = pd.Series(pd.to_datetime(["1996-01-10", "1996-05-13", "1996-08-14", "1997-02-10", "1997-08-13"]))
    stamps = days if clock == "eastern" else days.dt.tz_localize(NEW_YORK).dt.tz_convert("UTC").dt.tz_localize(None)
    rows = pd.DataFrame(
        {"accession": list("abcde"), "form": "10-Q", "filing_date": days, "accepted_raw": stamps},
    ).set_axis([5, 4, 3, 2, 1])
    decision = decide_clock(rows)
    assert decision.clock == clock
    assert decision.grounds["placeholders"] == 5
    times = acceptance_times(rows, decision.clock)
    assert times.index.equals(rows.index)
    assert set(times["time_precision"]) == {"day"}
    local = times["accepted_at"].dt.tz_convert(NEW_YORK).dt.strftime("%Y-%m-%d %H:%M")
    assert list(local) == [f"{day:%Y-%m-%d} 17:30" for day in days]


def test_staff_letters_and_stamps_within_the_cut_off_minute_tell_nothing() -> None:
    days = pd.Series(pd.bdate_range("2024-05-01", periods=20))
    rows = pd.DataFrame({"accession": [str(day) for day in days], "filing_date": days})
    letters = rows.assign(form="UPLOAD", accepted_raw=days + pd.Timedelta(hours=21))
    assert decide_clock(letters).grounds["telling_days_utc"] == 0
    # 17:30:30 in New York keeps its day on EDGAR: it fits both clocks when read as either.
    minute = rows.assign(form="8-K", accepted_raw=days + pd.Timedelta("17:30:30"))
    assert decide_clock(minute).clock == "undecided"


def test_rows_without_stamp_or_filing_date_do_not_vote() -> None:
    rows = document("utc")
    rows.loc[rows.index[10], "accepted_raw"] = pd.NaT
    rows.loc[rows.index[20], "filing_date"] = pd.NaT
    rows.loc[rows.index[30], "form"] = None
    decision = decide_clock(rows, settled=True)
    assert decision.clock == "utc"
    assert list(np.flatnonzero(decision.doubtful)) == [10]
    times = acceptance_times(rows, "utc")
    assert times["accepted_at"].isna().sum() == 1


def test_eastern_hours_shown_twice_or_never_are_the_later_instant() -> None:
    raw = pd.Series(pd.to_datetime(["2024-11-03T01:30:00", "2024-03-10T02:30:00", None]), index=[3, 2, 1])
    got = to_utc(raw, "eastern")
    assert list(got.index) == [3, 2, 1]
    assert got[3] == pd.Timestamp("2024-11-03T06:30:00Z")
    assert got[2] == pd.Timestamp("2024-03-10T07:30:00Z")
    assert got[1] is pd.NaT


def test_undecided_and_zoned_stamps_are_refused() -> None:
    raw = pd.Series(pd.to_datetime(["2024-05-08T12:00:00"]))
    with pytest.raises(RecordError, match="clock"):
        to_utc(raw, "undecided")
    with pytest.raises(RecordError, match="time zone"):
        to_utc(raw.dt.tz_localize("UTC"), "utc")
    rows = document("utc", 3)
    with pytest.raises(RecordError, match="time zone"):
        decide_clock(rows.assign(accepted_raw=rows["true"]))
    with pytest.raises(RecordError, match="filing_date"):
        decide_clock(rows.drop(columns="filing_date"))
