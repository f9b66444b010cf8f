"""F01, insider ownership trades: S001 to S004 (signals.md 4.1).

Routine after Cohen, Malloy, Pomorski (2012): the group has a P or S in the same calendar month in each of the three
preceding years; unclassified where it lacks a trade in any of these years.
Traps. Purchases in offerings and reinvestment plans, sales to cover taxes and distributions of funds are told by their
footnotes (tables RX_NOT_DISCRETIONARY_*), as far as filers write them. A price that a footnote calls an average is
taken as it stands. A holding of zero before an indirect purchase says nothing, and gives the second term its least.
The cluster signals count groups that share an owner once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pandas as pd

from ..contracts import SecurityContext
from ..timeline import sessions
from .base import Extraction, SignalParams, register
from .form8k import eight_ks
from .frames import DAY_US, Record, was_available
from .ownership import (
    Insiders,
    Trade,
    TradeFiling,
    at_will,
    eligible,
    own_trades,
    share_of_stake,
    trade_filings,
    value_usd,
    without,
)
from .scales import lramp, ramp

LEAST = 0.25


def _months_traded(filing: TradeFiling, issuer: Sequence[TradeFiling], params: SignalParams) -> dict[int, set[int]]:
    """Return the months by year in which the filing's group had a P or S, from what was available then."""
    months: dict[int, set[int]] = {}
    for other in issuer:
        if other.group == filing.group and was_available(other.record, filing.record, params.lookback):
            for trade in other.trades:
                months.setdefault(trade.date.year, set()).add(trade.date.month)
    return months


def _classify(trade: Trade, months: dict[int, set[int]], years: int) -> str:
    before = [months.get(trade.date.year - back, set()) for back in range(1, years + 1)]
    if not all(before):
        return "unclassified"
    return "routine" if all(trade.date.month in year for year in before) else "opportunistic"


@register("S001", "S002")
class OpportunisticTrade:
    """One filing's open-market purchases (S001) or sales (S002) that are neither planned nor routine."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per accession and group."""
        out = Extraction()
        code = "P" if params.signal.signal_id == "S001" else "S"
        for issuer in trade_filings(records, params.tables, params.patterns, out.counts).values():
            for filing in issuer:
                if filing.record.is_trigger:
                    self._judge(filing, issuer, code, params, out)
        return out

    def _judge(
        self, filing: TradeFiling, issuer: Sequence[TradeFiling], code: str, params: SignalParams, out: Extraction
    ) -> None:
        if not any(trade.code == code for trade in filing.trades):
            out.counts["no_such_trade"] += 1
            return
        first = own_trades(filing, issuer, params.lookback, params.tables["joint_trade_days"], out.counts)
        trades = at_will(first.trades, code, out.counts)
        months = _months_traded(filing, issuer, params)
        kinds = {id(trade): _classify(trade, months, params.tables["routine_years"]) for trade in trades}
        routine = [trade for trade in trades if kinds[id(trade)] == "routine"]
        out.counts["routine"] += len(routine)
        trades = without(trades, routine)
        if not trades:
            return
        usd, is_known = value_usd(trades)
        # Where no line's value is known the threshold cannot be tested; then the value term is its least.
        if usd < params["min_usd"] and (is_known or usd > 0):
            out.counts["below_min_usd"] += 1
            return
        is_classified = all(kinds[id(trade)] == "opportunistic" for trade in trades)
        stake = share_of_stake(trades)
        of_usd = float(lramp(usd, *params["usd_ramp"])) if usd > 0 else LEAST
        of_stake = LEAST if stake is None else float(ramp(stake, *params["stake_ramp"]))
        reliability = params["reliability" if is_classified else "reliability_unclassified"]
        if not is_known:
            reliability *= params.tables["value_unknown_factor"]
        if filing.is_box_absent:
            reliability *= params.tables["plan_box_absent_factor"]
        if code == "S" and _is_covered(trades, filing):
            reliability *= params["covered_by_conversion_factor"]
        earlier = [
            other.record for other in issuer
            if was_available(other.record, filing.record, params.lookback) and set(other.group) & set(filing.group)
        ]  # fmt: skip
        event = params.event(
            filing.record,
            [filing.record.natural_key, "+".join(filing.group)],
            strength=filing.role * (params["usd_weight"] * of_usd + params["stake_weight"] * of_stake),
            direction=1 if code == "P" else -1,
            reliability=reliability,
            inputs=[*earlier, *first.told_by],
            attributes={
                "usd": round(usd, 2),
                "value_known": is_known,
                "classified": is_classified,
                "role": filing.role,
                "lines": len(trades),
                "first_transaction": min(trade.date for trade in trades).isoformat(),
                "last_transaction": max(trade.date for trade in trades).isoformat(),
            },
        )
        out.events.append(event)


def _is_covered(trades: Sequence[Trade], filing: TradeFiling) -> bool:
    sold = Counter[object]()
    for trade in trades:
        sold[trade.date] += trade.shares  # type: ignore[assignment]
    return all(filing.converted.get(when, 0.0) >= shares for when, shares in sold.items())  # type: ignore[call-overload]


@register("S003", "S004")
class InsiderCluster:
    """Several groups buying (S003) or selling (S004) within `window_days`; fires as each level is first reached."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per issuer, episode (named by its first accession) and level."""
        out = Extraction()
        code = "P" if params.signal.signal_id == "S003" else "S"
        results = [one for one in eight_ks(records, params.tables, Counter()) if "2.02" in one.items]
        for issuer in trade_filings(records, params.tables, params.patterns, out.counts).values():
            filings = eligible(
                issuer,
                code,
                params["min_usd"],
                timedelta(days=params["restate_days"]),
                params.tables["joint_trade_days"],
            )
            entity = issuer[0].record.entity_id
            published = [one.record for one in results if one.record.entity_id == entity]
            for at, filing in enumerate(filings):
                if filing.record.is_trigger:
                    self._judge(filing, filings[:at], published, params, out)
        return out

    def _judge(
        self,
        filing: TradeFiling,
        before: Sequence[TradeFiling],
        published: Sequence[Record],
        params: SignalParams,
        out: Extraction,
    ) -> None:
        episode = _episode(filing, before, params)
        n = Insiders(_within(episode, len(episode) - 1, params)).count
        reached = max((Insiders(_within(episode, i, params)).count for i in range(len(episode) - 1)), default=0)
        levels = [level for level in params["levels"] if reached < level <= n]
        if not levels:
            out.counts["no_new_level"] += 1
            return
        reliability = params["reliability"]
        near = _last_results(filing.record, published, params) if params.signal.signal_id == "S004" else []
        if near:
            reliability *= params["after_results_factor"]
        event = params.event(
            filing.record,
            [episode[0].record.natural_key, str(levels[-1])],
            strength=float(ramp(n, *params["ramp"])),
            direction=1 if params.signal.signal_id == "S003" else -1,
            reliability=reliability,
            inputs=[
                *(other.record for other in episode[:-1]),
                *(record for other in episode for record in other.told_by),
                *near,
            ],
            attributes={"groups": n, "level": levels[-1], "filings": len(episode)},
        )
        out.events.append(event)


def _episode(filing: TradeFiling, before: Sequence[TradeFiling], params: SignalParams) -> list[TradeFiling]:
    """Return the filings of the running episode, the last one `filing`: no gap is longer than the window."""
    # `episode_days` and `restate_days` make up the look-back: what an earlier filing is compared with lies in it too.
    since = timedelta(days=params["episode_days"])
    usable = [other for other in before if was_available(other.record, filing.record, since)]
    episode = [filing]
    for other in sorted(usable, key=lambda one: one.record.t, reverse=True):
        if episode[-1].record.t - other.record.t > params["window_days"] * DAY_US:
            break
        episode.append(other)
    return episode[::-1]


def _within(episode: Sequence[TradeFiling], at: int, params: SignalParams) -> tuple[TradeFiling, ...]:
    since = episode[at].record.t - params["window_days"] * DAY_US
    return tuple(filing for filing in episode[: at + 1] if filing.record.t >= since)


def _last_results(record: Record, published: Sequence[Record], params: SignalParams) -> list[Record]:
    """Return the last publication of results within so many sessions before `record`, if there is one."""
    near = [one for one in published if one.k <= record.k and one.t <= record.t]
    if not near:
        return []
    last = max(near, key=lambda one: one.at)
    if record.event_time - last.event_time > timedelta(days=params["after_results_sessions"] * 2 + 10):
        return []
    between = sessions(last.event_time.date(), record.event_time.date())
    return [last] if len(between) - 1 <= params["after_results_sessions"] else []
