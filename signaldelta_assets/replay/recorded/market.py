"""The market-data shelf of a recorded archive: daily bars of several downloads, splits, dividends.

One download is one vintage. A ticker is served from one vintage only, whatever range is asked for: a collector that
asks day by day must not be handed a series glued together from downloads with different adjustments.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from ..archive import Bars, ListedLine, Tally
from .earnings import EarningsTables
from .files import listing, read, rows, stem
from .hourly import HourlyFiles
from .listings import listed_lines

# Known downloads: how their prices were adjusted, in the order that breaks ties of coverage. Yahoo's `Close` is split
# adjusted (as the vendor's `adjusted=true` is); with auto-adjustment dividends are taken out as well.
VINTAGES = {
    "daily_raw_simulated": "none",
    "daily_yahoo_close_and_adj_2019_2026": "splits",
    "daily_yahoo_close_and_adj_2015_2020": "splits",
    "daily_yahoo_adjusted_2010_2026": "splits+dividends",
    "daily_2024_2025": "splits+dividends",
    "finnhub": "unknown",
}
_COLUMNS = ("date", "open", "high", "low", "close", "volume")

Row = tuple[date, float, float, float, float, float]


class RecordedMarket:
    """See `archive.MarketShelf`. Reads `prices/daily_*`, `finnhub/candlestick_data`, splits and `earnings/*`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._series: dict[tuple[str, str], tuple[list[Row], int]] = {}
        self._coverages: dict[tuple[str, str], tuple[int, str, str]] = {}
        self._earnings = EarningsTables(root)
        self._hourly = HourlyFiles(root)

    @cached_property
    def _files(self) -> dict[str, dict[str, Path]]:
        """vintage -> ticker -> file, in declared order; folders that are not declared come last, by name."""
        prices = self._root / "prices"
        folders = sorted(p.name for p in prices.glob("daily_*") if p.is_dir()) if prices.is_dir() else []
        order = [v for v in VINTAGES if v in folders] + [f for f in folders if f not in VINTAGES]
        return {v: {stem(p).upper(): p for p in listing(prices / v, "*.csv*")} for v in order}

    @cached_property
    def _candles(self) -> dict[str, list[dict[str, str]]]:
        path = next(iter(listing(self._root / "finnhub", "candlestick_data.csv*")), None)
        found: dict[str, list[dict[str, str]]] = {}
        for row in rows(path) if path else ():
            found.setdefault(row["symbol"].upper(), []).append(row)
        return found

    def _load(self, vintage: str, ticker: str) -> tuple[list[Row], int]:
        if (vintage, ticker) not in self._series:
            if vintage == "finnhub":
                table = [[row[name] for name in _COLUMNS] for row in self._candles[ticker]]
            else:
                table = _table(read(self._files[vintage][ticker]))
            kept = [bar for row in table if (bar := _bar(row)) is not None]
            self._series[vintage, ticker] = (sorted(kept), len(table) - len(kept))
        return self._series[vintage, ticker]

    def _coverage(self, vintage: str, ticker: str) -> tuple[int, str, str]:
        """Lines, first and last day of a recorded series, without reading its numbers."""
        if (vintage, ticker) not in self._coverages:
            if vintage == "finnhub":
                days = sorted(row["date"][:10] for row in self._candles[ticker])
            else:
                lines = read(self._files[vintage][ticker]).decode("utf-8-sig").splitlines()
                days = sorted(line[:10] for line in lines if line[:2].isdigit())
            self._coverages[vintage, ticker] = (len(days), days[0] if days else "", days[-1] if days else "")
        return self._coverages[vintage, ticker]

    def _vintages(self, ticker: str) -> list[str]:
        """The vintages that hold `ticker`: longest coverage first, ties in declared order."""
        names = [vintage for vintage, files in self._files.items() if ticker in files]
        names += ["finnhub"] if ticker in self._candles else []
        return sorted(names, key=lambda vintage: -self._coverage(vintage, ticker)[0])

    def bars(self, ticker: str, vintage: str | None = None) -> Bars | None:
        """Return the bars of `ticker` from the vintage asked for, else from the one of longest coverage."""
        names = self._vintages(ticker)
        if not names or (vintage is not None and vintage not in names):
            return None
        chosen = vintage or names[0]
        kept, dropped = self._load(chosen, ticker)
        # Only the simulated files stand under the ticker of each day; a download has the one of its own day.
        named_on = kept[-1][0] if kept and chosen != "daily_raw_simulated" else None
        return Bars(ticker, chosen, VINTAGES.get(chosen, "unknown"), kept, tuple(names), dropped, named_on)

    def hours(self, ticker: str, vintage: str | None = None) -> Bars | None:
        """Return the hourly bars of `ticker`, chosen like its daily ones."""
        return self._hourly.bars(ticker, vintage)

    def splits(self) -> Sequence[Mapping[str, Any]]:
        """Return split records in the vendor's shape: its own recorded mock, and `reference/splits*.csv`."""
        found: list[Mapping[str, Any]] = []
        for path in listing(self._root / "polygon/rest_mocks/v3/reference", "splits*.json*"):
            found += json.loads(read(path)).get("results", [])
        for path in listing(self._root / "reference", "splits*.csv*"):
            for row in rows(path):
                found.append(
                    {
                        "execution_date": row["execution_date"],
                        "split_from": float(row["split_from"]),
                        "split_to": float(row["split_to"]),
                        "ticker": row["ticker"],
                    }
                )
        return found

    def dividends(self) -> Sequence[Mapping[str, Any]]:
        """Return dividend records in the vendor's shape: its own recorded mock, and simulated ones."""
        found: list[Mapping[str, Any]] = []
        for path in listing(self._root / "polygon/rest_mocks/v3/reference", "dividends*.json*"):
            found += json.loads(read(path)).get("results", [])
        for path in listing(self._root / "reference", "dividends_simulated.json*"):
            found += json.loads(read(path))
        return found

    def lines(self) -> Sequence[ListedLine]:
        """Return the share classes of which listings are known."""
        return self._lines

    @cached_property
    def _lines(self) -> list[ListedLine]:
        return listed_lines(self._root)

    def earnings(self) -> Sequence[Mapping[str, Any]]:
        """Return every served announcement in the vendor's Benzinga shape."""
        return self._earnings.results

    def inventory(self) -> dict[str, Any]:
        """Return per ticker the vintage served, the others, and the range of dates."""
        tickers = sorted({t for files in self._files.values() for t in files} | set(self._candles))
        prices = []
        for ticker in tickers:
            served, *others = self._vintages(ticker)
            sessions, first, last = self._coverage(served, ticker)
            row = {"ticker": ticker, "vintage": served, "adjustment": VINTAGES.get(served, "unknown")}
            prices.append(row | {"from": first, "to": last, "sessions": sessions, "other_vintages": others})
        tally = Tally()
        folders = (self._root / "prices").iterdir() if (self._root / "prices").is_dir() else ()
        for folder in sorted(folders):
            if folder.is_dir() and not folder.name.startswith(("daily_", "hourly_")):
                count = len(listing(folder, "*.csv*"))
                tally.add(f"prices/{folder.name}", count, "only daily and hourly aggregates are answered")
        hourly = self._hourly.inventory(tally)
        self._earnings.unserved(tally)
        return {
            "prices": prices,
            "hourly": hourly,
            "splits": len(self.splits()),
            "dividends": len(self.dividends()),
            "lines": [
                {
                    "cik": line.fields.get("cik"),
                    "name": line.fields.get("name"),
                    "tickers": [t for t, _ in line.tickers],
                }
                for line in self.lines()
            ],
            "earnings": self._earnings.inventory(),
            "unserved": tally.to_list(),
        }


def _table(raw: bytes) -> list[list[str]]:
    """The columns this room knows, by name: files differ in the order of their columns and in their header lines."""
    lines = raw.decode("utf-8-sig").splitlines()
    if lines and lines[0].startswith("Price,"):
        # Three header lines: column names, the ticker repeated, the name of the index.
        lines = ["Date" + lines[0].removeprefix("Price"), *lines[3:]]
    reader = csv.reader(lines)
    header = [name.lower() for name in next(reader, [])]
    columns = [header.index(name) for name in _COLUMNS] if header else []
    return [[row[column] for column in columns] for row in reader if row]


def _bar(row: list[str]) -> Row | None:
    """A bar, or None where a price or the volume is missing: the vendor has no bar for such a day."""
    try:
        opened, high, low, close, volume = map(float, row[1:])
    except ValueError:
        return None
    if not all(map(math.isfinite, (opened, high, low, close, volume))):
        return None
    return (date.fromisoformat(row[0][:10]), opened, high, low, close, volume)
