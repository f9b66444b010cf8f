"""Recorded hourly bars: several downloads in several layouts, on three kinds of clock.

A stamp is true UTC, has its offset, or is Eastern wall time, without a zone in some downloads, with a wrong `Z` in one.
What a stamp says of its zone is therefore not believed unless it names an offset other than zero: the seasons tell. A
trading day starts at one hour of New York all year, so its first bar moves by an hour between summer and winter on a
UTC clock, and does not on New York's. A series that shows one season only, and no offset, is not served.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from ..archive import Bars, Tally
from .files import listing, read, stem

NEW_YORK = ZoneInfo("America/New_York")
# How the prices of known downloads were adjusted, in the order that breaks ties of coverage.
HOURLY = {
    "hourly_raw_simulated": "none",
    "hourly_2020_2022": "none",
    "hourly_spy_2018_2025": "none",
    "hourly_2023_2025": "splits",
    "hourly_2025_2026": "splits",
    "hourly_2025q3": "splits",
    "hourly_2022_2024": "unknown",
}
_TIMES = ("datetime", "timestamps", "ts_event", "date", "start")
_PRICES = ("open", "high", "low", "close", "volume")
# The fraction of a second is cut: bars start on the minute, and one download writes nanoseconds.
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_SUMMER, _WINTER = (5, 6, 7, 8, 9), (12, 1, 2)

Row = tuple[date, float, float, float, float, float]


class HourlyFiles:
    """`prices/hourly_*`: a ticker is served from one download only, that of longest coverage."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._series: dict[tuple[str, str], tuple[list[Row], int, str]] = {}

    @cached_property
    def _files(self) -> dict[str, dict[str, Path]]:
        """download -> ticker -> file, in declared order; folders that are not declared come last, by name."""
        prices = self._root / "prices"
        folders = sorted(p.name for p in prices.glob("hourly_*") if p.is_dir()) if prices.is_dir() else []
        order = [v for v in HOURLY if v in folders] + [f for f in folders if f not in HOURLY]
        return {v: {stem(p).upper(): p for p in listing(prices / v, "*.csv*")} for v in order}

    def _load(self, vintage: str, ticker: str) -> tuple[list[Row], int, str]:
        if (vintage, ticker) not in self._series:
            self._series[vintage, ticker] = read_hours(read(self._files[vintage][ticker]))
        return self._series[vintage, ticker]

    def _vintages(self, ticker: str) -> list[str]:
        names = [vintage for vintage, files in self._files.items() if ticker in files]
        served = [vintage for vintage in names if self._load(vintage, ticker)[0]]
        return sorted(served, key=lambda vintage: -len(self._load(vintage, ticker)[0]))

    def bars(self, ticker: str, vintage: str | None = None) -> Bars | None:
        """Return the hourly bars of `ticker` from the download asked for, else from the one of longest coverage."""
        names = self._vintages(ticker)
        if not names or (vintage is not None and vintage not in names):
            return None
        chosen = vintage or names[0]
        kept, dropped, _ = self._load(chosen, ticker)
        named_on = None if chosen == "hourly_raw_simulated" else kept[-1][0]
        if isinstance(named_on, datetime):
            named_on = named_on.astimezone(NEW_YORK).date()
        return Bars(ticker, chosen, HOURLY.get(chosen, "unknown"), kept, tuple(names), dropped, named_on)

    def inventory(self, tally: Tally) -> list[dict[str, str | int]]:
        """Return per ticker the download served, its clock and its bars; what cannot be served goes to `tally`."""
        found: list[dict[str, str | int]] = []
        undecided: Counter[str] = Counter()
        for vintage, files in self._files.items():
            for ticker in files:
                rows, _, clock = self._load(vintage, ticker)
                if not rows:
                    undecided[vintage] += 1
                elif self._vintages(ticker)[0] == vintage:
                    found.append({"ticker": ticker, "vintage": vintage, "clock": clock, "bars": len(rows)})
        for vintage, count in sorted(undecided.items()):
            tally.add(f"prices/{vintage}", count, "hourly bars of which nothing tells the clock")
        return sorted(found, key=lambda row: str(row["ticker"]))


def read_hours(raw: bytes) -> tuple[list[Row], int, str]:
    """Return (bars by start in UTC, rows dropped for want of a price, clock) of a file; no bars where it is undecided.

    Rows of the same hour are all kept: which of them is right is not for a server to say.
    """
    reader = csv.reader(raw.decode("utf-8-sig").splitlines())
    header = [name.lower().removeprefix("data.") for name in next(reader, [])]
    if not header:
        return [], 0, "undecided"
    at = next(header.index(name) for name in _TIMES if name in header)
    columns = [header.index(name) for name in _PRICES]
    kept, dropped = [], 0
    for row in reader:
        match = _STAMP.match(row[at]) if row else None
        values = _numbers([row[column] for column in columns]) if match else None
        if match is None or values is None:
            dropped += bool(row)
            continue
        kept.append((datetime.fromisoformat(f"{match[1]}T{match[2]}"), match[3], values))
    clock = clock_of([(wall, zone) for wall, zone, _ in kept])
    if clock == "undecided":
        return [], len(kept) + dropped, clock
    bars: list[Row] = [(_moment(wall, zone, clock), *values) for wall, zone, values in kept]
    return sorted(bars), dropped, clock


def clock_of(stamps: list[tuple[datetime, str | None]]) -> str:
    """Return offset, utc, eastern or undecided: which clock the walls of a file are on."""
    if any(zone is not None and zone.strip("Z+-0:") for _, zone in stamps):
        return "offset"
    first: dict[date, datetime] = {}
    for wall, _ in stamps:
        first[wall.date()] = min(first.get(wall.date(), wall), wall)
    usual = []
    for months in (_SUMMER, _WINTER):
        starts = Counter(wall.time() for wall in first.values() if wall.month in months)
        if not starts:
            return "undecided"
        usual.append(min(starts, key=lambda start: (-starts[start], start)))
    summer, winter = (timedelta(hours=start.hour, minutes=start.minute) for start in usual)
    return {timedelta(0): "eastern", timedelta(hours=1): "utc"}.get(winter - summer, "undecided")


def _moment(wall: datetime, zone: str | None, clock: str) -> datetime:
    if clock == "offset":
        offset = UTC if zone in (None, "Z") else datetime.fromisoformat(f"2000-01-01T00:00:00{zone}").tzinfo
        return wall.replace(tzinfo=offset).astimezone(UTC)
    return wall.replace(tzinfo=UTC if clock == "utc" else NEW_YORK).astimezone(UTC)


def _numbers(texts: list[str]) -> tuple[float, float, float, float, float] | None:
    try:
        opened, high, low, close, volume = map(float, texts)
    except ValueError:
        return None
    return (opened, high, low, close, volume) if all(map(math.isfinite, (opened, high, low, close, volume))) else None
