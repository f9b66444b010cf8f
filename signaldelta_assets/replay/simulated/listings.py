"""Simulated listings: a line of tickers for every issuer, and three beside the cast whose tickers change.

The three issuers of the changes have prices and listings and nothing else, so that what is planted stays what it was:
one changes its ticker halfway, one is delisted, and one is listed later under the ticker that became free.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from . import days
from .cast import Entity, make_entity
from .chance import Chance
from .market import Bar
from .plan import SimulationPlan

# Numbers beyond any cast: their draws and CIKs are their own.
_CHANGES = 9000
# Hourly bars are written of the first few; one in so many pays a dividend.
_HOURLY, _PAYS = 4, 3
# Volume by hour of New York, from eight: before the bell, the mixed hour, the session, the hour after.
_HOURS = ((8, 0.01), (9, 0.17), (10, 0.17), (11, 0.12), (12, 0.1), (13, 0.1), (14, 0.13), (15, 0.19), (16, 0.01))


@dataclass(frozen=True, slots=True)
class Line:
    """One issuer's listing: its tickers with their first days, and its last day of trading."""

    entity: Entity
    tickers: tuple[tuple[str, date], ...]
    delisted: date | None = None

    def ticker_on(self, day: date) -> str | None:
        """The ticker of a session, or None where the issuer was not listed."""
        if self.delisted is not None and day > self.delisted:
            return None
        return next((ticker for ticker, first in reversed(self.tickers) if first <= day), None)


def lines(plan: SimulationPlan, cast: Iterable[Entity]) -> list[Line]:
    """Return the lines of the cast, each under one ticker from long before the window, then those of the changes."""
    return [Line(entity, ((entity.ticker, _long_ago(plan, entity)),)) for entity in cast] + changes(plan)


def changes(plan: SimulationPlan) -> list[Line]:
    """Return the lines of the renamed, the delisted and the new issuer."""

    def issuer(number: int, name: str) -> Entity:
        return replace(make_entity(plan, _CHANGES + number), ticker="", name=name)

    def session(share: float) -> date:
        return days.on_or_after(plan.start + timedelta(days=int(share * plan.days)), "session")

    renamed, leaving, new = issuer(0, "Former Name Corp."), issuer(1, "Leaving Corp."), issuer(2, "Newcomer Corp.")
    return [
        Line(renamed, (("CHGA", _long_ago(plan, renamed)), ("CHGB", session(0.5)))),
        Line(leaving, (("CHGC", _long_ago(plan, leaving)),), session(0.3)),
        Line(new, (("CHGC", session(0.6)),)),
    ]


def _long_ago(plan: SimulationPlan, entity: Entity) -> date:
    return plan.start - timedelta(days=Chance(plan.seed, "listed", entity.number).integer(1_000, 9_000))


def by_ticker(line: Line, bars: Iterable[Bar]) -> dict[str, list[Bar]]:
    """Return the bars of an issuer under the ticker each session had."""
    found: dict[str, list[Bar]] = {}
    for bar in bars:
        ticker = line.ticker_on(bar[0])
        if ticker is not None:
            found.setdefault(ticker, []).append(bar)
    return found


def reference(plan: SimulationPlan, found: Iterable[Line]) -> list[dict[str, Any]]:
    """Return lines as the vendor's reference has them."""
    rows = []
    for line in found:
        chance = Chance(plan.seed, "figi", line.entity.number)
        composite, share_class = (f"BBG{kind}{chance.integer(0, 36**7 - 1):08X}"[:12] for kind in ("0", "1"))
        fields = {
            "name": line.entity.name,
            "market": "stocks",
            "locale": "us",
            "primary_exchange": chance.pick(("XNYS", "XNAS")),
            "type": "CS",
            "currency_name": "usd",
            "cik": f"{line.entity.cik:010d}",
            "composite_figi": composite,
            "share_class_figi": share_class,
            "list_date": line.tickers[0][1].isoformat(),
        }
        tickers = [[ticker, first.isoformat()] for ticker, first in line.tickers]
        rows.append({"fields": fields, "tickers": tickers, "delisted": str(line.delisted) if line.delisted else None})
    return rows


def planted(found: Iterable[Line]) -> list[dict[str, Any]]:
    """Return the spells of tickers for `plan.json`, half-open; the last day of trading is the day before `to`."""
    rows = []
    for line in found:
        ends = [first for _, first in line.tickers[1:]] + [line.delisted + timedelta(days=1) if line.delisted else None]
        for (ticker, first), end in zip(line.tickers, ends, strict=True):
            spell = {"ticker": ticker, "from": first.isoformat(), "to": end.isoformat() if end else None}
            rows.append({"entity": f"{line.entity.cik:010d}", **spell})
    return rows


def hourly(plan: SimulationPlan, entity: Entity, bars: Iterable[Bar]) -> str | None:
    """Return the hourly bars of the window as the text of a file, UTC; None for an entity that has none.

    The hours of a session open at its open, end at its close, and share its volume.
    """
    if entity.number >= _HOURLY:
        return None
    out = ["start,Open,High,Low,Close,Volume"]
    for day, opened, _, _, close, volume in bars:
        if day < plan.start or days.is_short(day):
            continue
        chance = Chance(plan.seed, "hours", entity.number, day)
        before = opened
        for place, (hour, share) in enumerate(_HOURS):
            path = opened + (close - opened) * min(place + 1, 8) / 8
            after = round(close if hour >= 15 else path * (1 + 0.002 * chance.uniform(-1, 1)), 2)
            high, low = round(max(before, after) * 1.001, 2), round(min(before, after) * 0.999, 2)
            start = days.utc(datetime(day.year, day.month, day.day, hour))  # noqa: DTZ001 - Eastern wall time
            stamp = start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            out.append(f"{stamp},{before:.2f},{high:.2f},{low:.2f},{after:.2f},{int(volume * share)}")
            before = after
    return "\n".join(out) + "\n"


def dividends(plan: SimulationPlan, line: Line) -> list[dict[str, Any]]:
    """Return quarterly dividends of the window as the vendor's records; one in four lacks its declaration date."""
    if line.entity.number % _PAYS:
        return []
    chance, rows = Chance(plan.seed, "dividends", line.entity.number), []
    amount = round(line.entity.price * 0.005, 4)
    for quarter in range(plan.days // 91):
        declared = days.on_or_after(plan.start + timedelta(days=91 * quarter + chance.integer(5, 40)))
        ex_date = days.on_or_after(declared + timedelta(days=chance.integer(8, 25)), "session")
        if ex_date > plan.end:
            continue
        row = {
            "cash_amount": amount,
            "currency": "USD",
            "declaration_date": declared.isoformat(),
            "dividend_type": "CD",
            "ex_dividend_date": ex_date.isoformat(),
            "frequency": 4,
            "pay_date": (ex_date + timedelta(days=14)).isoformat(),
            "record_date": ex_date.isoformat(),
            "ticker": line.ticker_on(ex_date),
        }
        if quarter % 4 == 3:
            del row["declaration_date"]
        rows.append(row)
    return rows
