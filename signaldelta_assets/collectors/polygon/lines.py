"""The vendor's reference answers to lines: one line is one share class of one issuer through all its tickers. Pure.

`delisted_utc` is the last date on which the asset was traded (the vendor's reference), so a ticker is held through that
day. `events` of a line are its changes of ticker, the first of them its listing. Lines of an issuer that are no
shares (warrants, preferred shares, notes) are left out: their prices are not the issuer's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from signaldelta_assets.errors import RecordError

from ..reading import json_object
from .fields import an_object, day, optional_day, optional_text, ticker_of

# The vendor's type codes (v3/reference/tickers/types) of what is no share of the issuer's equity.
_NO_SHARES = frozenset(
    {"PFD", "WARRANT", "RIGHT", "BOND", "ETN", "SP", "ADRW", "ADRR", "ADRP", "BASKET", "UNIT", "LT", "AGEN", "EQLK"}
)


@dataclass(frozen=True, slots=True)
class Line:
    """A share class as the vendor's list shows it on a day. `delisted`: its last day of trading, None while active."""

    ticker: str
    name: str
    cik: str | None
    composite_figi: str | None
    share_class_figi: str | None
    kind: str | None
    exchange: str | None
    currency: str | None
    active: bool
    delisted: date | None
    list_date: date | None = None

    @property
    def share_class(self) -> str:
        """What names the class whatever its ticker is; empty where the vendor has no FIGI (thousands of lines)."""
        return self.share_class_figi or self.composite_figi or ""


@dataclass(frozen=True, slots=True)
class TickerSpell:
    """Days on which a line had a ticker, half-open; None where the vendor does not say."""

    ticker: str
    valid_from: date | None
    valid_to: date | None
    previous: str | None = None


def reference_object(body: bytes, record: str) -> dict[str, Any]:
    """Return `results` of an answer about one ticker. Raises RecordError."""
    document = json_object(body, record)
    if document.get("status") != "OK":
        raise RecordError(record, "status", "OK", document.get("status"))
    return an_object(document.get("results"), record)


def line(row: Any, record: str) -> Line:
    """Return the line of a row of the list, or of the details of a ticker. Raises RecordError."""
    row = an_object(row, record)
    active = row.get("active")
    if not isinstance(active, bool):
        raise RecordError(record, "active", "true or false", active)
    cik, delisted = row.get("cik") or None, str(row.get("delisted_utc") or "")
    if cik is not None and not (str(cik).isascii() and str(cik).isdigit() and len(str(cik)) <= 10):
        raise RecordError(record, "cik", "a CIK of 1 to 10 digits", cik)
    listed, currency = optional_day(record, row, "list_date"), optional_text(record, row, "currency_name")
    if delisted:
        delisted = day(record, {"delisted_utc": delisted[:10]}, "delisted_utc")
    return Line(
        ticker=ticker_of(record, row),
        name=optional_text(record, row, "name") or "",
        cik=None if cik is None else str(cik).zfill(10),
        composite_figi=_figi(record, row, "composite_figi"),
        share_class_figi=_figi(record, row, "share_class_figi"),
        kind=optional_text(record, row, "type"),
        exchange=optional_text(record, row, "primary_exchange"),
        currency=None if currency is None else currency.upper(),
        active=active,
        delisted=date.fromisoformat(delisted) if delisted and not active else None,
        list_date=None if listed is None else date.fromisoformat(listed),
    )


def _figi(record: str, row: dict[str, Any], field: str) -> str | None:
    """Return an identifier that becomes part of a path, None where it is absent."""
    value = optional_text(record, row, field)
    if value is not None and not (value.isascii() and value.isalnum()):
        raise RecordError(record, field, "letters and digits", value)
    return value


def ticker_changes(results: dict[str, Any], record: str) -> list[tuple[date, str]]:
    """Return (day, ticker from that day on) of a line's history, oldest first. Raises RecordError."""
    rows = results.get("events")
    if not isinstance(rows, list):
        raise RecordError(record, "events", "a list", type(rows).__name__)
    found = set()
    for number, row in enumerate(rows):
        where = f"{record}:{number}"
        if an_object(row, where).get("type") != "ticker_change":
            continue
        change = an_object(row.get("ticker_change"), where)
        found.add((date.fromisoformat(day(where, row, "date")), ticker_of(where, change)))
    ordered = sorted(found)
    for (first, _), (second, _) in pairwise(ordered):
        if first == second:
            raise RecordError(record, "events", "one ticker from each day on", first)
    return ordered


def shares(rows: Iterable[Line], counts: Counter[str]) -> list[Line]:
    """Return one line per share class, by ticker: the active row, else the one traded last.

    A list has a class once for each ticker it had: the rows of former ones are inactive, and no delisting.
    """
    found: dict[str, list[Line]] = {}
    for row in rows:
        if row.kind in _NO_SHARES:
            counts["no_share"] += 1
            continue
        found.setdefault(row.share_class or f"ticker:{row.ticker}", []).append(row)
    chosen = [max(own, key=lambda one: (one.active, one.delisted or date.min, one.ticker)) for own in found.values()]
    return sorted(chosen, key=lambda one: (one.ticker, one.share_class))


def spells(of: Line, changes: Sequence[tuple[date, str]], as_of: date, record: str) -> list[TickerSpell]:
    """Return the spells of a line as they were known on `as_of`, oldest first; they do not overlap.

    Without a history there is one, of the ticker it has, without a first day: a list date is the issuer's, or that of
    a former holder of the ticker, too often to be one (the vendor's reported cases). Raises RecordError where history
    and list contradict each other.
    """
    end = None if of.delisted is None else of.delisted + timedelta(days=1)
    known = [(first, ticker) for first, ticker in changes if first <= as_of]
    if not known:
        return [TickerSpell(of.ticker, None, end)]
    if known[-1][1] != of.ticker:
        raise RecordError(record, "events", f"a history that ends with {of.ticker}", known[-1][1])
    if end is not None and known[-1][0] >= end:
        raise RecordError(record, "delisted_utc", f"a day on or after {known[-1][0]}", of.delisted)
    found: list[TickerSpell] = []
    for first, ticker in known:
        if found and found[-1].ticker == ticker:
            continue
        if found:
            found[-1] = TickerSpell(found[-1].ticker, found[-1].valid_from, first, found[-1].previous)
        found.append(TickerSpell(ticker, first, None, found[-1].ticker if found else None))
    found[-1] = TickerSpell(found[-1].ticker, found[-1].valid_from, end, found[-1].previous)
    return found


def primary_line(lines: Sequence[tuple[Line, Sequence[TickerSpell]]], preferred: Iterable[str | None]) -> int | None:
    """Return the place of the issuer's primary share class: that of the first preferred ticker which one of them has
    or had, else the class listed longest. None without lines."""
    for ticker in preferred:
        for place, (_, own) in enumerate(lines):
            if ticker is not None and any(spell.ticker == ticker for spell in own):
                return place
    order = [(own[0].valid_from or date.max, of.ticker, place) for place, (of, own) in enumerate(lines)]
    return min(order)[2] if order else None
