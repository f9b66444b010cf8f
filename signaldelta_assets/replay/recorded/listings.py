"""Recorded listings: what the vendor's own recorded answers say of tickers and their dates, and simulated ones.

Tables of index members and today's list of tickers have no dates of listing, so nothing is made of them: membership of
an index is no listing, and a ticker of today says nothing of the day before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ..archive import ListedLine
from .files import listing, read, relative

# Fields of the vendor's list; details have more, and all of them are kept.
_OF_A_DAY = ("ticker", "active", "delisted_utc", "last_updated_utc")


def listed_lines(root: Path) -> list[ListedLine]:
    """Return every line that an archive knows with a date, by FIGI: recorded answers, then simulated lines."""
    found: dict[str, ListedLine] = {}
    for line in (*_histories(root), *_details(root), *_listed(root), *_simulated(root)):
        found.setdefault(str(line.fields.get("composite_figi") or line.tickers[-1][0]), line)
    return [found[name] for name in sorted(found)]


def _results(path: Path) -> Any:
    return json.loads(read(path)).get("results") or {}


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _OF_A_DAY and name != "events"}


def _histories(root: Path) -> Iterator[ListedLine]:
    for path in listing(root / "polygon/rest_mocks/vX/reference/tickers", "*/events*.json*"):
        results = _results(path)
        changes = sorted((date.fromisoformat(e["date"]), e["ticker_change"]["ticker"]) for e in results["events"])
        fields = {"market": "stocks", "locale": "us", **_plain(results)}
        tickers = [(ticker, day) for day, ticker in changes]
        yield ListedLine(fields, tickers, changes[0][0], None, relative(root, path))


def _details(root: Path) -> Iterator[ListedLine]:
    for path in listing(root / "polygon/rest_mocks/v3/reference/tickers", "*.json*"):
        results = _results(path)
        # Without the day of its listing an answer about one day says nothing of another.
        if isinstance(results, dict) and results.get("list_date"):
            since = date.fromisoformat(results["list_date"])
            yield ListedLine(_plain(results), [(results["ticker"], None)], since, None, relative(root, path))


def _listed(root: Path) -> Iterator[ListedLine]:
    for path in listing(root / "polygon/rest_mocks/v3/reference", "tickers*.json*"):
        for row in _results(path):
            # Its own stamp is the first day of which the recording speaks.
            since = date.fromisoformat(row["last_updated_utc"][:10])
            yield ListedLine(_plain(row), [(row["ticker"], None)], since, None, relative(root, path))


def _simulated(root: Path) -> Iterator[ListedLine]:
    for path in listing(root / "reference", "tickers_simulated.json*"):
        for row in json.loads(read(path)):
            tickers = [(ticker, date.fromisoformat(day)) for ticker, day in row["tickers"]]
            delisted = date.fromisoformat(row["delisted"]) if row["delisted"] else None
            yield ListedLine(row["fields"], tickers, tickers[0][1], delisted, relative(root, path))
