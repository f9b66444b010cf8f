"""Polygon's pages: the vendor's own recorded mocks, and each way a row can be wrong."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from signaldelta_assets.collectors.polygon.parsers import VendorPage, bars, earnings, parse_page, split
from signaldelta_assets.errors import RecordError
from tests.paths import DATA, needs_data

BAR = {"v": 100, "vw": 10.5, "o": 10, "c": 11.0, "h": 11.5, "l": 9.5, "t": 1112331600000, "n": 7}
EARNING = {
    "ticker": "ACM", "date": "2025-01-30", "time": "21:05:00", "actual_eps": 1.2, "estimated_eps": 1.0,
    "fiscal_period": "Q4", "fiscal_year": 2024, "benzinga_id": "abc", "currency": "USD", "date_status": "confirmed",
}  # fmt: skip


def page(*rows: Any, **more: Any) -> VendorPage:
    body = {"status": "OK", "ticker": "ACM", "adjusted": False, "results": list(rows)} | more
    return parse_page(orjson.dumps(body), "ACM")


def test_a_bar_belongs_to_the_session_of_its_midnight() -> None:
    (bar,) = bars(page(BAR), "ACM", "ACM")
    assert isinstance(bar, dict)
    assert (bar["session"], bar["open"], bar["volume"], bar["vwap"]) == ("2005-04-01", 10, 100, 10.5)
    assert (bar["adjusted"], bar["vintage"]) == (False, "polygon/unadjusted")


def test_a_replayed_download_names_its_vintage() -> None:
    (bar,) = bars(page(BAR, adjusted=True, signaldelta={"vintage": "download_1"}), "ACM", "ACM")
    assert isinstance(bar, dict)
    assert (bar["adjusted"], bar["vintage"]) == (True, "download_1")


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"t": 1112331600001 + 3_600_000}, "t"), ({"t": "soon"}, "t"), ({"o": 0}, "o"), ({"c": None}, "c"),
     ({"h": "11"}, "h"), ({"v": None}, "v"), ({"vw": True}, "vw")],
)  # fmt: skip
def test_a_wrong_bar_is_named_and_the_next_is_read(changed: dict[str, Any], field: str) -> None:
    wrong, right = bars(page(BAR | changed, BAR), "ACM", "ACM")
    assert isinstance(wrong, RecordError) and wrong.field == field
    assert isinstance(right, dict)


def test_bars_of_another_ticker_are_refused() -> None:
    with pytest.raises(RecordError, match="expected XYZ"):
        list(bars(page(BAR), "XYZ", "XYZ"))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status":"ERROR","error":"no"}', b'{"status":"OK","results":1}'])
def test_what_is_no_page_is_refused(body: bytes) -> None:
    with pytest.raises(RecordError):
        parse_page(body, "x")


def test_an_announcement_is_released_at_its_utc_time() -> None:
    payload = earnings(EARNING, "x")
    assert payload is not None
    assert payload["released_at"] == "2025-01-30T21:05:00+00:00"
    assert (payload["fiscal_year"], payload["vendor_id"]) == (2024, "abc")


@pytest.mark.parametrize("time", [None, "", "00:00:00"])
def test_an_announcement_without_time_has_a_day_only(time: str | None) -> None:
    payload = earnings(EARNING | {"time": time}, "x")
    assert payload is not None
    assert (payload["time"], payload["released_at"], payload["date"]) == (None, None, "2025-01-30")


def test_what_is_not_reported_yet_is_no_actual() -> None:
    assert earnings(EARNING | {"actual_eps": None}, "x") is None


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"date": "30.1.2025"}, "date"), ({"time": "4pm"}, "time"), ({"time": "25:00:00"}, "time"),
     ({"ticker": ""}, "ticker"), ({"actual_eps": "1.2"}, "actual_eps")],
)  # fmt: skip
def test_a_wrong_announcement_names_the_field(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(RecordError) as caught:
        earnings(EARNING | changed, "x")
    assert caught.value.field == field


@needs_data
@pytest.mark.archive
def test_the_vendors_own_mocks_are_read() -> None:
    mocks = DATA / "polygon/rest_mocks"
    found = parse_page((mocks / "v2/aggs/ticker/AAPL/range/1/day/2005-04-01/2005-04-04.json").read_bytes(), "AAPL")
    sessions = [bar["session"] for bar in bars(found, "AAPL", "AAPL") if isinstance(bar, dict)]
    assert sessions == ["2005-04-01", "2005-04-04"]
    splits = parse_page((mocks / "v3/reference/splits.json").read_bytes(), "splits")
    assert [split(row, "x")["split_to"] for row in splits.rows] == [row["split_to"] for row in splits.rows] != []
