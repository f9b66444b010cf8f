"""The vendor's reference answers: its own recorded mocks by value, and each way a history can be wrong."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from signaldelta_assets.collectors.polygon.dividends import known_at
from signaldelta_assets.collectors.polygon.hourly_bars import hours_of
from signaldelta_assets.collectors.polygon.lines import (
    Line,
    TickerSpell,
    line,
    primary_line,
    reference_object,
    shares,
    spells,
    ticker_changes,
)
from signaldelta_assets.collectors.polygon.parsers import dividend, hours, parse_page
from signaldelta_assets.errors import RecordError
from tests.paths import DATA, needs_data

MOCKS = DATA / "polygon/rest_mocks"
ROW = {"ticker": "NEW", "name": "Acme", "active": True, "cik": "1", "composite_figi": "BBG1", "share_class_figi": "S1"}
CHANGES = [(date(2001, 1, 2), "OLD"), (date(2020, 6, 1), "NEW")]
NOW = date(2025, 1, 2)


def made(**more: Any) -> Line:
    return line(ROW | more, "x")


@needs_data
@pytest.mark.archive
def test_the_vendors_reference_mocks_by_value() -> None:
    listed = parse_page((MOCKS / "v3/reference/tickers.json").read_bytes(), "tickers")
    agilent, alcoa = (line(row, "x") for row in listed.rows)
    assert agilent == Line("A", "Agilent Technologies Inc.", "0001090872", "BBG000C2V3D6", "BBG001SCTQY4", "CS", "XNYS",
                           "USD", True, None)  # fmt: skip
    assert (alcoa.ticker, alcoa.cik) == ("AA", "0001675149")
    (following,) = (MOCKS / "v3/reference").glob("tickers&cursor*.json")
    funds = [line(row, "x") for row in parse_page(following.read_bytes(), "tickers").rows]
    assert [(fund.ticker, fund.kind, fund.cik) for fund in funds] == [
        ("AAA", "ETF", None),
        ("AAAU", "ETF", "0001708646"),
    ]
    for name in ("AAPL.json", "AAPL&date=2020-10-01.json"):
        apple = line(reference_object((MOCKS / "v3/reference/tickers" / name).read_bytes(), "AAPL"), "AAPL")
        assert (apple.share_class, apple.list_date) == ("BBG001S5N8V8", date(1980, 12, 12))
    (history,) = (MOCKS / "vX/reference/tickers/META").iterdir()
    results = reference_object(history.read_bytes(), "META")
    changes = ticker_changes(results, "META")
    assert changes == [(date(2012, 5, 18), "FB"), (date(2022, 6, 11), "META")]
    meta = line({**results, "ticker": "META", "active": True}, "META")
    assert spells(meta, changes, NOW, "META") == [
        TickerSpell("FB", date(2012, 5, 18), date(2022, 6, 11)),
        TickerSpell("META", date(2022, 6, 11), None, "FB"),
    ]


@needs_data
@pytest.mark.archive
def test_the_vendors_dividends_mock_by_value() -> None:
    page = parse_page((MOCKS / "v3/reference/dividends.json").read_bytes(), "dividends")
    found = [dividend(row, "x") for row in page.rows]
    recorded = json.loads((MOCKS / "v3/reference/dividends.json").read_text())["results"]
    assert [(one["ticker"], one["cash_amount"], one["ex_dividend_date"]) for one in found] == [
        (row["ticker"], row["cash_amount"], row["ex_dividend_date"]) for row in recorded
    ]
    assert (found[0]["frequency"], found[0]["dividend_type"], found[0]["currency"]) == (4, "CD", "USD")
    # Declared in 2020 for 2025: known at the end of that day in New York.
    assert known_at(found[0]) == (datetime(2020, 9, 10, tzinfo=ZoneInfo("America/New_York")), "declaration_date")


def test_a_dividend_without_declaration_is_known_by_its_ex_date() -> None:
    row = {"ticker": "ACM", "cash_amount": 0.5, "ex_dividend_date": "2024-11-04"}
    assert known_at(dividend(row, "x")) == (datetime(2024, 11, 4, 5, tzinfo=UTC), "ex_dividend_date")


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"cash_amount": 0}, "cash_amount"), ({"ex_dividend_date": None}, "ex_dividend_date"),
     ({"ticker": None}, "ticker"),
     ({"declaration_date": "soon"}, "declaration_date"), ({"frequency": "4"}, "frequency")],
)  # fmt: skip
def test_a_wrong_dividend_names_the_field(changed: dict[str, Any], field: str) -> None:
    row = {"ticker": "ACM", "cash_amount": 0.5, "ex_dividend_date": "2024-11-04", "frequency": 4} | changed
    with pytest.raises(RecordError) as caught:
        dividend(row, "x")
    assert caught.value.field == field


def test_a_history_is_what_was_known_by_a_day() -> None:
    assert [spell.ticker for spell in spells(made(ticker="OLD"), CHANGES, date(2019, 1, 1), "x")] == ["OLD"]
    found = spells(made(active=False, delisted_utc="2024-03-01T00:00:00Z"), CHANGES, NOW, "x")
    assert [(spell.ticker, spell.valid_from, spell.valid_to) for spell in found] == [
        ("OLD", date(2001, 1, 2), date(2020, 6, 1)), ("NEW", date(2020, 6, 1), date(2024, 3, 2)),
    ]  # fmt: skip


def test_a_line_without_history_has_no_first_day() -> None:
    assert spells(made(list_date="1999-01-04"), [], NOW, "x") == [TickerSpell("NEW", None, None)]


@pytest.mark.parametrize(
    ("changed", "changes", "field"),
    [({}, CHANGES[:1], "events"),
     ({"active": False, "delisted_utc": "2019-03-01T00:00:00Z"}, CHANGES, "delisted_utc")],
)  # fmt: skip
def test_a_history_that_contradicts_the_list_is_refused(changed: Any, changes: Any, field: str) -> None:
    with pytest.raises(RecordError) as caught:
        spells(made(**changed), changes, NOW, "x")
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changed", "field"), [({"active": "yes"}, "active"), ({"cik": "x1"}, "cik"), ({"ticker": ""}, "ticker"),
                           ({"active": False, "delisted_utc": "soon"}, "delisted_utc")]
)  # fmt: skip
def test_a_wrong_line_names_the_field(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(RecordError) as caught:
        made(**changed)
    assert caught.value.field == field


def test_former_tickers_of_a_class_are_no_delisting_and_warrants_no_shares() -> None:
    counts: Counter[str] = Counter()
    rows = [
        made(ticker="OLD", active=False, delisted_utc="2020-05-31T00:00:00Z"),
        made(),
        made(ticker="NEW.B", composite_figi="BBG2", share_class_figi="S2"),
        made(ticker="NEWW", composite_figi="BBG3", share_class_figi="S3", type="WARRANT"),
    ]
    found = shares(rows, counts)
    assert [(one.ticker, one.active) for one in found] == [("NEW", True), ("NEW.B", True)]
    assert counts == {"no_share": 1}
    with_spells = [(found[0], [TickerSpell("NEW", date(2010, 1, 4), None)]),
                   (found[1], [TickerSpell("NEW.B", date(2005, 1, 3), None)])]  # fmt: skip
    assert primary_line(with_spells, ["NEW", None]) == 0
    assert primary_line(with_spells, ["X"]) == 1  # else the class listed longest
    assert primary_line([], ["NEW"]) is None


def test_two_tickers_from_one_day_are_refused() -> None:
    events = [{"type": "ticker_change", "date": "2020-01-02", "ticker_change": {"ticker": name}} for name in "AB"]
    with pytest.raises(RecordError, match="one ticker from each day"):
        ticker_changes({"events": events}, "x")


def hourly_page(*stamps: Any, close: float = 11.0) -> Any:
    rows = [{"t": stamp, "o": 10, "h": 12, "l": 9, "c": close + n, "v": 5} for n, stamp in enumerate(stamps)]
    return parse_page(orjson.dumps({"status": "OK", "ticker": "ACM", "adjusted": False, "results": rows}), "ACM")


def millis(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_hours_across_the_change_of_clocks() -> None:
    # 15:00 New York on the Friday before and the Monday after.
    before, after = millis("2024-03-08T20:00+00:00"), millis("2024-03-11T19:00+00:00")
    found = list(hours(hourly_page(before, after), "ACM", "ACM"))
    assert [bar["end"] for bar in found if isinstance(bar, dict)] == [
        "2024-03-08T21:00:00+00:00", "2024-03-11T20:00:00+00:00"]  # fmt: skip
    assert [bar["session"] for bar in found if isinstance(bar, dict)] == ["2024-03-08", "2024-03-11"]


def test_bars_that_disagree_about_an_hour_are_none() -> None:
    stamp = millis("2024-03-08T20:00+00:00")
    (error,) = hours(hourly_page(stamp, stamp), "ACM", "ACM")
    assert isinstance(error, RecordError) and error.field == "t"
    same = hourly_page(stamp)
    same.rows.append(same.rows[0])
    (bar,) = hours(same, "ACM", "ACM")
    assert isinstance(bar, dict)
    (odd,) = hours(hourly_page(stamp + 60_000), "ACM", "ACM")
    assert isinstance(odd, RecordError)


@pytest.mark.parametrize(
    ("start", "kind"),
    [("2024-07-02T08:00", "extended"), ("2024-07-02T08:30", "extended"), ("2024-07-02T09:00", "mixed"),
     ("2024-07-02T09:30", "regular"), ("2024-07-02T15:00", "regular"), ("2024-07-02T15:30", "mixed"),
     ("2024-07-02T16:00", "extended"), ("2024-07-03T12:00", "regular"), ("2024-07-03T13:00", "extended")],
)  # fmt: skip
def test_regular_and_extended_hours_half_days_included(start: str, kind: str) -> None:
    new_york = ZoneInfo("America/New_York")
    begin = datetime.fromisoformat(start).replace(tzinfo=new_york)
    close = begin.replace(hour=13 if begin.day == 3 else 16, minute=0)
    end = datetime.fromtimestamp(begin.timestamp() + 3600, UTC)
    assert hours_of(begin.astimezone(UTC), end, close.astimezone(UTC)) == kind
