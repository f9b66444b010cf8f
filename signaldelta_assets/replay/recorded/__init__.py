"""A recorded archive: files read in place, each folder by its own adapter, nothing ever written.

Works on any folder in the same layout; what is absent is simply not served. Everything is indexed on first use.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from .chain import RecordedChain
from .edgar import RecordedEdgar
from .files import listing
from .market import RecordedMarket
from .submissions import SUBMISSION_FOLDERS

# Tables made by others from documents that are not here: no upstream endpoint serves them.
_NO_ENDPOINT = {
    "insider_parsed": ("**/*", "rows parsed by others, no document"),
    "finnhub": ("insider_transactions*", "rows parsed by others, no document"),
    "polygon/rest_mocks": ("**/*.json", "the vendor's own test mocks: only splits, dividends and tickers are answered"),
    "sec/form345_2024q3": ("*", "quarterly data set, not one of the endpoints"),
    "reference/sp500_constituents": ("*", "reference table"),
    "reference/sp500_history": ("*", "reference table"),
}


class RecordedArchive:
    """See `archive.Archive`. `submissions_order` names the folders under `sec/submissions`, most trusted first."""

    def __init__(self, root: Path, submissions_order: tuple[str, ...] = SUBMISSION_FOLDERS) -> None:
        if not root.is_dir():
            raise FileNotFoundError(f"archive: expected a folder, found nothing at {root}")
        self.root = root
        self.edgar = RecordedEdgar(root, submissions_order)
        self.market = RecordedMarket(root)
        self.chain = RecordedChain(root)

    @property
    def name(self) -> str:
        """What kind of archive this is."""
        return "recorded"

    @cached_property
    def _universe(self) -> dict[str, Any]:
        edgar, market, chain = self.edgar.inventory(), self.market.inventory(), self.chain.inventory()
        unserved = [*edgar.pop("unserved"), *market.pop("unserved"), *chain.pop("unserved")]
        for folder, (pattern, reason) in _NO_ENDPOINT.items():
            count = len(listing(self.root / folder, pattern))
            if count:
                unserved.append({"folder": folder, "count": count, "reason": reason})
        return {
            "archive": self.name,
            "entities": _entities(edgar, market),
            "date_range": self._date_range(edgar, market, chain),
            "edgar": edgar,
            "market": market,
            "chain": chain,
            "unserved": unserved,
        }

    def universe(self) -> dict[str, Any]:
        """Return all the archive holds: entities with their feeds, ranges of dates, and what cannot be served."""
        return self._universe

    def _date_range(
        self, edgar: dict[str, Any], market: dict[str, Any], chain: dict[str, Any]
    ) -> dict[str, list[str | None]]:
        filed = [row["filed"] for row in edgar["filings"] if row["filed"]]
        starts, ends = [row["from"] for row in market["prices"]], [row["to"] for row in market["prices"]]
        blocks = [self.chain.block(n) for n in (chain["blocks"]["first"], chain["blocks"]["last"]) if n]
        return {
            "filings": [min(filed, default=None), max(filed, default=None)],
            "prices": [min(starts, default=None), max(ends, default=None)],
            "earnings": [market["earnings"]["from"], market["earnings"]["to"]],
            "block_times": [str(block.timestamp) if block else None for block in blocks],
        }


def _entities(edgar: dict[str, Any], market: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per CIK (and per ticker that no CIK claims): name, tickers and which feeds have something on it."""
    found: dict[int, dict[str, Any]] = {}

    def entity(cik: int) -> dict[str, Any]:
        return found.setdefault(cik, {"cik": cik, "name": None, "tickers": [], "feeds": {}})

    for row in edgar["submissions"]:
        entity(row["cik"]).update(name=row["name"], tickers=row["tickers"])
        entity(row["cik"])["feeds"]["submissions"] = 1 + len(row["pages"])
    for row in edgar["filings"]:
        # Whoever only files about others is no entity of ours: hundreds of insiders, asked after in vain.
        for cik in row["companies"]:
            feeds = entity(cik)["feeds"]
            feeds[f"filings:{row['form']}"] = feeds.get(f"filings:{row['form']}", 0) + 1
    for cik in edgar["companyfacts"]:
        entity(cik)["feeds"]["companyfacts"] = 1
    priced = {row["ticker"] for row in market["prices"]}
    for line in market["lines"]:
        # An issuer of which there is a price and no submissions file: its listing says who it is.
        if line["cik"] is not None and priced & set(line["tickers"]):
            row = entity(int(line["cik"]))
            row["name"] = row["name"] or line["name"]
            row["tickers"] = list(dict.fromkeys([*row["tickers"], *line["tickers"]]))
    by_ticker: dict[str, list[dict[str, Any]]] = {}
    for row in found.values():
        for ticker in row["tickers"]:
            by_ticker.setdefault(ticker, []).append(row)
    spare: dict[str, dict[str, Any]] = {}
    for feed, tickers in (
        ("prices", [row["ticker"] for row in market["prices"]]),
        ("hourly", [row["ticker"] for row in market["hourly"]]),
        ("earnings", market["earnings"]["tickers"]),
    ):
        for ticker in tickers:
            blank: dict[str, Any] = {"cik": None, "name": None, "tickers": [ticker], "feeds": {}}
            for row in by_ticker.get(ticker) or [spare.setdefault(ticker, blank)]:
                row["feeds"][feed] = 1
    return [found[cik] for cik in sorted(found)] + [spare[ticker] for ticker in sorted(spare)]


__all__ = ["RecordedArchive"]
