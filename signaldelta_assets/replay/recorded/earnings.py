"""Recorded earnings announcements in the shape of the vendor's Benzinga endpoint.

`date` and `time` together are one moment in UTC, as the endpoint documents `time` ("24-hour HH:MM:SS UTC"). The tables
record Eastern times, coarse ones at that; where only a day was recorded, `time` is null and the date is New York's.
Every result carries what was recorded, untouched, in its member `signaldelta`.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ...versioning import sha256_hex
from ..archive import Tally
from .files import listing, read, relative, rows

NEW_YORK = ZoneInfo("America/New_York")
# Two tables that date the same quarter's announcement may differ by some days; quarters are about 90 apart.
_SAME_ANNOUNCEMENT = timedelta(days=20)


class EarningsTables:
    """`earnings/*`: the Yahoo table first, then the others where it has no announcement near the same date."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _tables(self) -> Iterator[tuple[Path, Iterable[dict[str, Any]]]]:
        """Yield the tables. A recorded one has the tickers of the day it was made, its last announcement at the least;
        each row says so, for the vendor's own rows have the ticker of their day."""
        for path, results in self._rows():
            if path.parent.name == "benzinga_simulated":
                yield path, results
                continue
            table = list(results)
            made = max((result["date"] for result in table if "actual_eps" in result), default=None)
            for result in table:
                result["signaldelta"]["named_on"] = max(made or result["date"], result["date"])
            yield path, table

    def _rows(self) -> Iterator[tuple[Path, Iterator[dict[str, Any]]]]:
        folder = self._root / "earnings"
        for path in listing(folder / "benzinga_simulated", "*.json*"):
            yield path, iter(json.loads(read(path)))
        for path in listing(folder / "yahoo_sp500", "*.csv*"):
            yield path, (self._yahoo(path, row) for row in rows(path))
        for path in listing(folder / "russell3000", "*.csv*"):
            yield path, (self._dated(path, row, "ticker", "date", "reported", "estimate") for row in rows(path))
        for path in listing(folder / "sp500_2019q1", "*.csv*"):
            yield path, (self._dated(path, row, "Ticker", "Date", "Actual", "Estimate") for row in rows(path))

    @cached_property
    def _built(self) -> tuple[list[dict[str, Any]], Tally]:
        results: list[dict[str, Any]] = []
        days: dict[str, list[str]] = {}
        tally = Tally()
        for path, table in self._tables():
            near, fresh = 0, []
            for result in table:
                if _has_near(days.get(result["ticker"], []), result["date"]):
                    near += 1
                else:
                    fresh.append(result)
            # A table is not thinned by itself: two announcements of one table are two records.
            for result in fresh:
                days.setdefault(result["ticker"], []).append(result["date"])
            for known in days.values():
                known.sort()
            results += fresh
            tally.add(relative(self._root, path), near, "an earlier table has this announcement")
        for path in listing(self._root / "finnhub", "surprise_earnings.csv*"):
            tally.add(relative(self._root, path), sum(1 for _ in rows(path)), "no announcement date was recorded")
        return results, tally

    @property
    def results(self) -> list[dict[str, Any]]:
        """Every served announcement, in the order of the tables."""
        return self._built[0]

    def unserved(self, tally: Tally) -> None:
        """Count what is not served."""
        tally.entries += self._built[1].entries

    def inventory(self) -> dict[str, Any]:
        """Return how many announcements of how many tickers, and their range of dates."""
        dates = [result["date"] for result in self.results]
        tickers = sorted({result["ticker"] for result in self.results})
        return {"announcements": len(dates), "from": min(dates, default=None), "to": max(dates, default=None)} | {
            "tickers": tickers
        }

    def _yahoo(self, path: Path, row: Mapping[str, str]) -> dict[str, Any]:
        stamp = datetime.fromisoformat(row["earnings_date"]).replace(tzinfo=NEW_YORK)
        # Midnight is how this table writes a day without a time.
        moment = None if stamp.time() == time(0) else stamp.astimezone(UTC)
        recorded = {"earnings_date": row["earnings_date"], "zone": "America/New_York"}
        return self._result(
            path, row["ticker"], stamp.date(), moment, row["reported_eps"], row["eps_estimate"], recorded
        )

    def _dated(
        self, path: Path, row: Mapping[str, str], ticker: str, day: str, actual: str, estimate: str
    ) -> dict[str, Any]:
        recorded = {"date": row[day]} | ({"period_ending": row["period_ending"]} if "period_ending" in row else {})
        return self._result(path, row[ticker], _parse_day(row[day]), None, row[actual], row[estimate], recorded)

    def _result(
        self,
        path: Path,
        ticker: str,
        day: date,
        moment: datetime | None,
        actual: str,
        estimate: str,
        recorded: Mapping[str, Any],
    ) -> dict[str, Any]:
        source = relative(self._root, path)
        result: dict[str, Any] = {
            # The vendor's ids are 24 hex digits; these name the recorded row.
            "benzinga_id": sha256_hex(f"{source}/{ticker}/{sorted(recorded.items())}".encode())[:24],
            "currency": "USD",
            "date": (moment.date() if moment else day).isoformat(),
            "ticker": ticker,
            "time": f"{moment:%H:%M:%S}" if moment else None,
        }
        got, expected = _number(actual), _number(estimate)
        result["date_status"] = "projected" if got is None else "confirmed"
        if got is not None:
            result["actual_eps"] = got
        if expected is not None:
            result["estimated_eps"] = expected
        if got is not None and expected is not None:
            result["eps_surprise"] = round(got - expected, 6)
            if expected:
                result["eps_surprise_percent"] = round(100 * (got - expected) / abs(expected), 4)
        result["signaldelta"] = {"source": source, "recorded": dict(recorded)}
        return result


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _parse_day(text: str) -> date:
    # The Russell tables write `28-FEB-23` in one quarter and ISO in another.
    if text[2:3] == "-":
        return datetime.strptime(text.title(), "%d-%b-%y").date()  # noqa: DTZ007 - a date, not a moment
    return date.fromisoformat(text[:10])


def _has_near(days: list[str], day: str) -> bool:
    position = bisect_left(days, day)
    near = days[max(position - 1, 0) : position + 1]
    return any(abs(date.fromisoformat(other) - date.fromisoformat(day)) <= _SAME_ANNOUNCEMENT for other in near)
