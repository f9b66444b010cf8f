"""api.polygon.io over HTTP: bars, their stamp, adjustment and vintages; splits; earnings in the Benzinga shape."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaldelta_assets.replay import SimulatedArchive
from signaldelta_assets.replay.polygon_routes import midnight
from signaldelta_assets.replay.wire import BadRequest, read_cursor, select, write_cursor
from tests.paths import DATA, needs_data

AGGS = "/api.polygon.io/v2/aggs/ticker"
EARNINGS = "/api.polygon.io/benzinga/v1/earnings"
KEY = {"apiKey": "any"}


def _pages(client: httpx.Client, path: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Follow `next_url` to the end, adding the key as the vendor demands."""
    answer = client.get(path, params={**params, **KEY}).raise_for_status().json()
    results = list(answer.get("results", []))
    while "next_url" in answer:
        assert answer["next_url"].startswith(str(client.base_url).rstrip("/"))
        assert "apiKey" not in answer["next_url"]
        answer = client.get(answer["next_url"], headers={"authorization": "Bearer any"}).raise_for_status().json()
        results += answer["results"]
    return results


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 500])
def test_bars_page_without_gap_or_repeat(
    client: httpx.Client, simulated: SimulatedArchive, order: str, limit: int
) -> None:
    first, last = "2025-03-01", "2025-03-31"
    path = f"{AGGS}/SIMAB/range/1/day/{first}/{last}"
    results = _pages(client, path, {"limit": limit, "sort": order})
    with (simulated.root / "prices/daily_raw_simulated/SIMAB.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if first <= row["Date"] <= last]
    if order == "desc":
        rows.reverse()
    assert [bar["c"] for bar in results] == [float(row["Close"]) for row in rows]
    assert [bar["v"] for bar in results] == [int(row["Volume"]) for row in rows]
    days = [datetime.fromtimestamp(bar["t"] / 1000, ZoneInfo("America/New_York")) for bar in results]
    assert [f"{day:%Y-%m-%d %H:%M}" for day in days] == [f"{row['Date']} 00:00" for row in rows]


@needs_data
@pytest.mark.archive
def test_the_stamp_of_a_bar_is_the_vendors_own() -> None:
    mock = json.loads(
        next((DATA / "polygon/rest_mocks/v2/aggs/ticker/AAPL/range/1/day/2005-04-01").iterdir()).read_text()
    )
    stamps = [bar["t"] for bar in mock["results"]]
    # One session before the clocks went forward, one after.
    assert stamps == [midnight(datetime(2005, 4, 1).date()), midnight(datetime(2005, 4, 4).date())]


def test_bounds_may_be_milliseconds(client: httpx.Client) -> None:
    by_day = client.get(f"{AGGS}/SIMAA/range/1/day/2025-04-01/2025-04-10", params=KEY).json()
    bounds = by_day["results"][0]["t"], by_day["results"][-1]["t"]
    by_stamp = client.get(f"{AGGS}/SIMAA/range/1/day/{bounds[0]}/{bounds[1]}", params=KEY).json()
    assert by_stamp["results"] == by_day["results"]
    assert by_day["resultsCount"] == by_day["queryCount"] == by_day["count"] == len(by_day["results"])


def test_an_unknown_ticker_has_no_results(client: httpx.Client) -> None:
    answer = client.get(f"{AGGS}/NOPE/range/1/day/2025-01-01/2025-02-01", params=KEY)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["resultsCount"]) == ("OK", 0)
    assert "results" not in body


@pytest.mark.parametrize(
    "path",
    [
        f"{AGGS}/SIMAA/range/1/minute/2025-01-01/2025-02-01",
        f"{AGGS}/SIMAA/range/1/day/2025-02-01/2025-01-01",
        f"{AGGS}/SIMAA/range/1/day/yesterday/2025-01-01",
        f"{AGGS}/SIMAA/range/1/day/2025-01-01/2025-02-01?limit=50001",
        f"{AGGS}/SIMAA/range/1/day/2025-01-01/2025-02-01?cursor=%25",
        f"{EARNINGS}?importance.gte=high",
        f"{EARNINGS}?date.near=2025-01-01",
        f"{EARNINGS}?sort=notes.asc",
        f"{EARNINGS}?limit=0",
    ],
)
def test_bad_parameters_are_refused_with_a_reason(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"authorization": "Bearer any"})
    assert answer.status_code == 400
    assert answer.json()["status"] == "ERROR"
    assert answer.json()["error"]


def test_a_request_without_key_is_refused(client: httpx.Client) -> None:
    for path in (f"{AGGS}/SIMAA/range/1/day/2025-01-01/2025-02-01", EARNINGS, "/api.polygon.io/v3/reference/splits"):
        assert client.get(path).status_code == 401


def _archive(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_raw_series_is_adjusted_for_later_splits_and_only_when_asked(
    tmp_path: Path, serve: Callable[[Path], httpx.Client]
) -> None:
    bars = "Date,Open,High,Low,Close,Volume\n2025-03-03,90,99,89,96,1000\n2025-03-04,31,33,30,32,3000\n"
    splits = "ticker,execution_date,split_from,split_to\nX,2025-03-04,1,3\nY,2025-03-04,1,10\n"
    root = _archive(tmp_path, {"prices/daily_raw_simulated/X.csv": bars, "reference/splits_x.csv": splits})
    client, path = serve(root), f"{AGGS}/X/range/1/day/2025-03-03/2025-03-04"
    raw = client.get(path, params={**KEY, "adjusted": "false"}).json()
    assert raw["adjusted"] is False
    assert [(bar["c"], bar["v"]) for bar in raw["results"]] == [(96, 1000), (32, 3000)]
    adjusted = client.get(path, params=KEY).json()
    assert adjusted["adjusted"] is True
    assert [(bar["c"], bar["v"]) for bar in adjusted["results"]] == [(32, 3000), (32, 3000)]
    found = client.get("/api.polygon.io/v3/reference/splits", params={**KEY, "ticker": "X"}).json()["results"]
    assert found == [{"execution_date": "2025-03-04", "split_from": 1.0, "split_to": 3.0, "ticker": "X"}]


def test_vintages_are_never_spliced(tmp_path: Path, serve: Callable[[Path], httpx.Client]) -> None:
    long = "Price,Open,High,Low,Close,Volume\nTicker,X,X,X,X,X\nDate,,,,,\n" + "".join(
        f"2020-01-0{n},1,1,1,1,10\n" for n in range(2, 8)
    )
    short = (
        "Date,High,Low,Open,Close,Volume,Adj Close,Name\n2020-01-07,2,2,2,2,20.0,1.9,X\n2020-01-08,2,2,2,2,20.0,1.9,X\n"
    )
    broken = "Date,Close,High,Low,Open,Volume\n2020-01-09,,3,3,3,30\n2020-01-10,3,3,3,3,30\n"
    root = _archive(
        tmp_path,
        {
            "prices/daily_yahoo_adjusted_2010_2026/X.csv": long,
            "prices/daily_yahoo_close_and_adj_2015_2020/X.csv": short,
            "prices/daily_new_download/X.csv": broken,
        },
    )
    client, path = serve(root), f"{AGGS}/X/range/1/day/2020-01-01/2020-01-31"
    answer = client.get(path, params={**KEY, "adjusted": "false"})
    assert answer.headers["x-replay-vintage"] == "daily_yahoo_adjusted_2010_2026"
    # Recorded adjusted: it cannot be made raw, and says so.
    assert answer.json()["adjusted"] is True
    assert answer.json()["signaldelta"]["adjustment"] == "splits+dividends"
    assert {bar["c"] for bar in answer.json()["results"]} == {1.0}
    # Asked for a day that only another download has: nothing, rather than a foreign bar.
    assert client.get(f"{AGGS}/X/range/1/day/2020-01-08/2020-01-31", params=KEY).json()["resultsCount"] == 0
    other = client.get(path, params={**KEY, "vintage": "daily_yahoo_close_and_adj_2015_2020"}).json()
    assert [bar["c"] for bar in other["results"]] == [2.0, 2.0]
    assert other["results"][0]["v"] == 20
    third = client.get(path, params={**KEY, "vintage": "daily_new_download"}).json()
    assert third["signaldelta"] == {
        "vintage": "daily_new_download", "adjustment": "unknown", "dropped_rows": 1, "named_on": "2020-01-10",
    }  # fmt: skip
    assert client.get(path, params={**KEY, "vintage": "nowhere"}).json()["resultsCount"] == 0


def test_earnings_filters_and_pages(client: httpx.Client, simulated: SimulatedArchive) -> None:
    everything = list(simulated.market.earnings())
    params = {"date.gte": "2025-01-01", "date.lt": "2025-04-01", "sort": "date.asc", "limit": 5}
    wanted = [row for row in everything if "2025-01-01" <= row["date"] < "2025-04-01"]
    found = _pages(client, EARNINGS, params)
    assert len(found) == len(wanted) > 5
    assert sorted(row["benzinga_id"] for row in found) == sorted(row["benzinga_id"] for row in wanted)
    assert [row["date"] for row in found] == sorted(row["date"] for row in wanted)
    one = _pages(client, EARNINGS, {"ticker": "SIMAC", "limit": 2})
    assert len(one) == sum(row["ticker"] == "SIMAC" for row in everything)
    # Without sort the newest update comes first.
    assert [row["last_updated"] for row in one] == sorted((row["last_updated"] for row in one), reverse=True)
    two = _pages(client, EARNINGS, {"ticker.any_of": "SIMAC,SIMAD"})
    assert {row["ticker"] for row in two} == {"SIMAC", "SIMAD"}


def test_recorded_announcements_keep_their_moment_and_fill_in_order(
    tmp_path: Path, serve: Callable[[Path], httpx.Client]
) -> None:
    yahoo = (
        "ticker,earnings_date,eps_estimate,reported_eps,surprise_pct\n"
        "AAA,2025-07-31 16:00:00,1.0,1.2,20.0\nAAA,2025-01-30 20:00:00,1.0,0.9,-10.0\n"
        "AAA,2024-10-30 00:00:00,1.0,,\nAAA,2024-07-31 20:30:00,,0.5,\n"
    )
    # The first is Yahoo's announcement dated a day later; the second is new.
    russell = (
        "ticker,date,period_ending,estimate,reported,surprise,surprise%\n"
        "AAA,01-AUG-25,Jun 2025,9,9,0,0\nBBB,28-FEB-23,Jan 2023,1.31,1.37,0.06,4.58\n"
    )
    finnhub = "symbol,period,actual,estimate,surprise,surprisePercent\nAAA,2023-06-30,1,1,0,0\n"
    client = serve(
        _archive(
            tmp_path,
            {
                "earnings/yahoo_sp500/e.csv": yahoo,
                "earnings/russell3000/e.csv": russell,
                "finnhub/surprise_earnings.csv": finnhub,
            },
        )
    )
    rows = _pages(client, EARNINGS, {"sort": "date.desc"})
    assert [(row["ticker"], row["date"], row["time"]) for row in rows] == [
        ("AAA", "2025-07-31", "20:00:00"),  # 16:00 daylight time
        ("AAA", "2025-01-31", "01:00:00"),  # 20:00 standard time: the next day in UTC
        ("AAA", "2024-10-30", None),  # midnight is a day without time
        ("AAA", "2024-08-01", "00:30:00"),
        ("BBB", "2023-02-28", None),
    ]
    assert rows[1]["eps_surprise"] == pytest.approx(-0.1)
    assert rows[2]["date_status"] == "projected"
    assert "actual_eps" not in rows[2]
    assert "estimated_eps" not in rows[3]
    assert rows[1]["signaldelta"]["recorded"] == {"earnings_date": "2025-01-30 20:00:00", "zone": "America/New_York"}
    assert rows[4]["signaldelta"]["recorded"]["period_ending"] == "Jan 2023"
    unserved = {entry["folder"]: entry for entry in client.get("/__replay__/universe").json()["unserved"]}
    assert unserved["earnings/russell3000/e.csv"]["count"] == 1
    assert unserved["finnhub/surprise_earnings.csv"]["reason"] == "no announcement date was recorded"


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1), min_size=1, max_size=6))
def test_a_cursor_gives_back_what_it_carries(parameters: dict[str, str]) -> None:
    assert read_cursor(write_cursor(parameters)) == parameters


@given(st.lists(st.fixed_dictionaries({}, optional={"n": st.integers(-5, 5)}), max_size=20), st.integers(-5, 5))
def test_filters_agree_with_their_words(rows: list[dict[str, int]], bound: int) -> None:
    fields = {"n": int}
    tests: dict[str, Callable[[int], bool]] = {
        "n": lambda n: n == bound,
        "n.gt": lambda n: n > bound,
        "n.gte": lambda n: n >= bound,
        "n.lt": lambda n: n < bound,
        "n.lte": lambda n: n <= bound,
        "n.any_of": lambda n: n in (bound, 0),
    }
    for name, passes in tests.items():
        text = f"{bound},0" if name == "n.any_of" else str(bound)
        assert select(rows, {name: text, "unrelated": "x"}, fields) == [
            row for row in rows if "n" in row and passes(row["n"])
        ]
    with pytest.raises(BadRequest):
        select(rows, {"n.like": "1"}, fields)


def test_midnight_is_new_yorks_on_both_sides_of_the_clock_changes() -> None:
    day = datetime(2025, 3, 9).date()
    assert midnight(day + timedelta(days=1)) - midnight(day) == 23 * 3600 * 1000
    assert midnight(datetime(2025, 11, 3).date()) - midnight(datetime(2025, 11, 2).date()) == 25 * 3600 * 1000
