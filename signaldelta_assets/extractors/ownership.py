"""Ownership documents as the insider rules see them (signals.md 4.1, Common).

Form 4 and 4/A only; the non-derivative table only; open-market lines (P acquired, S disposed) with a price. The group
is the sorted owner CIKs of a filing: joint filers count once. What restates an earlier filing, or repeats a trade that
another group of the issuer has reported within five days, is no trade of its own.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pandas as pd

from ..timeline import new_york
from .frames import Record, by_entity, first_available, rows, was_available

FORMS = ("4", "4/A")
# Section 16 of the Exchange Act is of that day: nobody reports a trade before it.
_SECTION_16 = date(1934, 6, 6)
CONVERSIONS = ("M", "X")


@dataclass(frozen=True, slots=True)
class Trade:
    """One open-market line. `shares` and `price` as numbers (USD per share unless `is_foreign`), both positive."""

    code: str
    date: date
    security: str
    shares: float
    price: float
    is_plan: bool
    is_foreign: bool
    is_discretionary: bool
    is_direct: bool
    slot: tuple[str, str, str]
    owned_after: float | None

    @property
    def usd(self) -> float | None:
        """Value of the line in USD, None where the price is in another currency or per depositary share."""
        return None if self.is_foreign else self.shares * self.price


@dataclass(frozen=True, slots=True)
class TradeFiling:
    """One Form 4 or 4/A. `role`: the strongest role in the group; `converted`: shares by date of M and X lines.

    `told_by`: the other groups' filings that told some of its trades before it, once these were left out.
    """

    record: Record
    group: tuple[str, ...]
    role: float
    is_amendment: bool
    is_box_absent: bool
    trades: tuple[Trade, ...]
    converted: Mapping[date, float]
    told_by: tuple[Record, ...] = ()


def _number(value: object) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(str(value).replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _role(owners: Sequence[Mapping[str, Any]], roles: Mapping[str, float], chief: re.Pattern[str]) -> float:
    best = roles["ten_percent_owner"]
    for owner in owners:
        title = f"{owner.get('officer_title') or ''} {owner.get('other_text') or ''}"
        if (owner.get("is_officer") or owner.get("is_director")) and chief.search(title):
            best = max(best, roles["chief"])
        if owner.get("is_officer"):
            best = max(best, roles["officer"])
        if owner.get("is_director"):
            best = max(best, roles["director"])
    return best


def trade_filings(
    records: pd.DataFrame, tables: Mapping[str, Any], patterns: Mapping[str, re.Pattern[str]], counts: Counter[str]
) -> dict[str, list[TradeFiling]]:
    """Return the Forms 4 and 4/A by issuer, in the frame's order, with their open-market lines."""
    frame = records[records["source_type"] == "ownership"]
    kind = frame["payload"].map(lambda payload: payload.get("document_type")).astype(object)
    form4 = kind.isin(FORMS)
    counts["not_form_4"] += int((~form4 & frame["is_trigger"]).sum())
    own = by_entity(rows(first_available(frame[form4], counts)))
    return {
        entity: [_read(record, tables, patterns, counts) for record in records_] for entity, records_ in own.items()
    }


def _read(
    record: Record, tables: Mapping[str, Any], patterns: Mapping[str, re.Pattern[str]], counts: Counter[str]
) -> TradeFiling:
    payload = record.payload
    tally: Counter[str] = counts if record.is_trigger else Counter()
    owners = payload.get("owners") or []
    box = payload.get("aff10b5_one")
    trades, converted = [], Counter[date]()
    accepted = new_york(record.event_time).date()
    for line in payload.get("non_derivative_transactions") or []:
        code, shares, when = line.get("code"), _number(line.get("shares")), _date(line.get("transaction_date"))
        if code in CONVERSIONS and shares and when and line.get("acquired_disposed") == "A":
            converted[when] += shares  # type: ignore[assignment]
        if code not in ("P", "S"):
            continue
        trade = _trade(line, payload.get("footnotes") or {}, bool(box), patterns, shares, when, accepted)
        if isinstance(trade, str):
            tally[trade] += 1
        else:
            trades.append(trade)
    # The box is required from that day on; before it its absence proves nothing.
    required = date.fromisoformat(tables["plan_box_required_from"])
    is_absent = box is None or (not box and record.event_time.date() < required)
    return TradeFiling(
        record=record,
        group=tuple(sorted({str(owner.get("cik")).zfill(10) for owner in owners})),
        role=_role(owners, tables["insider_roles"], patterns["RX_CHIEF_TITLE"]),
        is_amendment=payload.get("document_type") == "4/A",
        is_box_absent=is_absent,
        trades=tuple(trades),
        converted=converted,
    )


def _trade(
    line: Mapping[str, Any],
    footnotes: Mapping[str, str],
    is_box: bool,
    patterns: Mapping[str, re.Pattern[str]],
    shares: float | None,
    when: date | None,
    accepted: date,
) -> Trade | str:
    """Return the trade of a P or S line, or the reason why it is none."""
    code, price = str(line.get("code")), _number(line.get("price"))
    if line.get("equity_swap_involved"):
        return "equity_swap"
    if price is None or price <= 0:
        return "no_price"
    if shares is None or shares <= 0:
        return "no_shares"
    if when is None:
        return "no_transaction_date"
    if not _SECTION_16 <= when <= accepted:
        # A slip of the pen (one in some thousands has one), and no telling what was meant.
        return "transaction_after_filing" if when > accepted else "transaction_before_section_16"
    if line.get("acquired_disposed") != ("A" if code == "P" else "D"):
        return "direction_contradicts_code"
    text = " ".join(footnotes.get(name, "") for name in line.get("footnote_ids") or [])
    of_price = " ".join(footnotes.get(name, "") for name in line.get("price_footnote_ids") or [])
    security = str(line.get("security_title") or "")
    held = str(line.get("direct_indirect") or "")
    off_market = patterns["RX_NOT_DISCRETIONARY_BUY" if code == "P" else "RX_NOT_DISCRETIONARY_SALE"]
    return Trade(
        code=code,
        date=when,
        security=security,
        shares=shares,
        price=price,
        is_plan=is_box or patterns["RX_PLAN"].search(text) is not None,
        is_foreign=patterns["RX_FOREIGN"].search(f"{of_price} {security}") is not None,
        is_discretionary=off_market.search(text) is None,
        is_direct=held != "I",
        slot=(security, held, str(line.get("nature_of_ownership") or "")),
        owned_after=_number(line.get("shares_owned_following")),
    )


def own_trades(
    filing: TradeFiling, issuer: Sequence[TradeFiling], lookback: timedelta, joint_days: int, counts: Counter[str]
) -> TradeFiling:
    """Return `filing` with the trades alone that it is the first to report, of the issuer's filings available then.

    What took a trade away decides what is left, so that it belongs to the inputs of whatever is made of it.
    """
    earlier = [other for other in issuer if was_available(other.record, filing.record, lookback)]
    within = timedelta(days=joint_days) // timedelta(microseconds=1)
    reported: set[tuple[object, ...]] = set()
    joint: dict[tuple[object, ...], Record] = {}
    for other in earlier:
        if set(other.group) & set(filing.group):
            reported.update((one.date, one.code, one.security, one.shares, one.price) for one in other.trades)
        if other.group != filing.group and filing.record.t - other.record.t <= within:
            for one in other.trades:
                joint.setdefault((one.date, one.code, one.shares, one.price), other.record)
    kept, told_by = [], list[Record]()
    for trade in filing.trades:
        if filing.is_amendment and (trade.date, trade.code, trade.security, trade.shares, trade.price) in reported:
            counts["amendment_restates"] += 1
        elif (first := joint.get((trade.date, trade.code, trade.shares, trade.price))) is not None:
            counts["joint_filing"] += 1
            told_by.append(first)
        else:
            kept.append(trade)
    return replace(filing, trades=tuple(kept), told_by=tuple(told_by))


def at_will(trades: Sequence[Trade], code: str, counts: Counter[str]) -> tuple[Trade, ...]:
    """Return the trades of `code` that are neither under a plan nor outside the owner's discretion."""
    kept = []
    for trade in trades:
        if trade.code != code:
            continue
        if trade.is_plan:
            counts["plan"] += 1
        elif not trade.is_discretionary:
            counts["not_discretionary"] += 1
        else:
            kept.append(trade)
    return tuple(kept)


def without(trades: Sequence[Trade], dropped: Sequence[Trade]) -> tuple[Trade, ...]:
    """Return `trades` without those of `dropped`, one for one by identity of the object."""
    gone = {id(trade) for trade in dropped}
    return tuple(trade for trade in trades if id(trade) not in gone)


def value_usd(trades: Sequence[Trade]) -> tuple[float, bool]:
    """Return the USD sum of the trades whose value is known, and whether all are."""
    known = [trade.usd for trade in trades if trade.usd is not None]
    return float(sum(known)), len(known) == len(trades)


def share_of_stake(trades: Sequence[Trade]) -> float | None:
    """Return shares traded / shares held before, None where the holding before is unknown or an indirect zero.

    Held before is, per security and holder's slot, the holding after the last of the lines put back by their sum. A
    direct holding of nothing before a purchase gives infinity.
    """
    held = 0.0
    for slot in {trade.slot for trade in trades}:
        lines = [trade for trade in trades if trade.slot == slot]
        after = [line.owned_after for line in lines if line.owned_after is not None]
        if not after:
            return None
        moved = sum(line.shares for line in lines)
        # Lines of one day are not always listed in their order: the extreme is the last.
        held += max(0.0, max(after) - moved) if lines[0].code == "P" else min(after) + moved
    if held > 0:
        return sum(trade.shares for trade in trades) / held
    return math.inf if all(trade.is_direct for trade in trades) else None


@dataclass(frozen=True, slots=True)
class Insiders:
    """How many insiders stand behind a window of filings: groups that share an owner are one."""

    filings: tuple[TradeFiling, ...]

    @property
    def count(self) -> int:
        """The number of groups, joined where they share an owner."""
        parts: list[set[str]] = []
        for filing in self.filings:
            owners = set(filing.group)
            touching = [part for part in parts if part & owners]
            parts = [part for part in parts if not part & owners] + [owners.union(*touching)]
        return len(parts)


def eligible(
    issuer: Sequence[TradeFiling], code: str, min_usd: float, lookback: timedelta, joint_days: int
) -> list[TradeFiling]:
    """Return the issuer's filings with trades of `code` at will worth `min_usd`, routine ones too, reduced to them."""
    found = []
    for filing in issuer:
        if not any(trade.code == code for trade in filing.trades):
            continue
        first = own_trades(filing, issuer, lookback, joint_days, Counter())
        trades = at_will(first.trades, code, Counter())
        if trades and value_usd(trades)[0] >= min_usd:
            found.append(replace(first, trades=trades))
    return found
