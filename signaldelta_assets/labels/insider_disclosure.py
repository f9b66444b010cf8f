"""INSIDER_TRADING_DISCLOSURE (signals.md 5): three groups trading in one direction within 30 days.

Lines are those of the insider signals (signals.md 4.1): open market, not planned, not restated, joint filers once. Form
5 and a 4/A that restates give none. A single Form 4 is evidence, not a label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from ..contracts import SecurityContext
from ..extractors import TradeFiling, eligible, trade_filings
from ..extractors.frames import DAY_US
from ..extractors.ownership import Insiders, at_will, own_trades
from .base import Labeling, LabelParams, register_label
from .frames import Evidence, spaced


@register_label("INSIDER_TRADING_DISCLOSURE")
class InsiderTradingDisclosure:
    """One label per issuer, direction and completing filing."""

    def classify(self, evidence: Evidence, context: SecurityContext, params: LabelParams) -> Labeling:
        """See the module."""
        out = Labeling()
        joint_days = params.tables["joint_trade_days"]
        restate = timedelta(days=params["restate_days"])
        found = trade_filings(evidence.timed, params.tables, params.patterns, out.counts)
        for entity, issuer in sorted(found.items()):
            for code, subtype, least in (
                ("P", "buy_cluster", params["min_usd_purchase"]),
                ("S", "sell_cluster", params["min_usd_sale"]),
            ):
                filings = eligible(issuer, code, least, restate, joint_days)
                out.counts.update(_left_out(issuer, filings, code, restate, joint_days))
                self._clusters(entity, filings, subtype, params, out)
        return out

    def _clusters(
        self, entity: str, filings: Sequence[TradeFiling], subtype: str, params: LabelParams, out: Labeling
    ) -> None:
        ordered = sorted(filings, key=lambda filing: (filing.record.t, filing.record.natural_key))
        complete = []
        for place, last in enumerate(ordered):
            since = last.record.t - params["window_days"] * DAY_US
            window = [filing for filing in ordered[: place + 1] if filing.record.t >= since]
            if Insiders(tuple(window[:-1])).count < params["groups"] <= Insiders(tuple(window)).count:
                complete.append(window)
            else:
                out.counts["no_cluster_completed"] += last.record.is_trigger
        moments = [window[-1].record.t for window in complete]
        walk = params.lookback - timedelta(days=params["restate_days"]) - timedelta(days=params["window_days"])
        kept = set(spaced(moments, timedelta(days=params["refractory_days"]), walk))
        for place, window in enumerate(complete):
            if place not in kept:
                out.counts["refractory"] += window[-1].record.is_trigger
                continue
            label = params.label(
                entity,
                [subtype, window[-1].record.natural_key],
                at=window[-1].record.t,
                subtype=subtype,
                confidence=params["confidence"],
                deciding=[filing.record for filing in reversed(window)],
                attributes={
                    "groups": Insiders(tuple(window)).count,
                    "filings": [filing.record.natural_key for filing in window],
                },
            )
            out.events.append(label)


def _left_out(
    issuer: Sequence[TradeFiling], kept: Sequence[TradeFiling], code: str, restate: timedelta, joint_days: int
) -> Counter[str]:
    """Count the window's filings with trades of `code` that are not among the eligible ones `kept`, each once."""
    eligible_ids = {filing.record.raw_record_id for filing in kept}
    out: Counter[str] = Counter()
    for filing in issuer:
        traded = any(trade.code == code for trade in filing.trades)
        if not filing.record.is_trigger or not traded or filing.record.raw_record_id in eligible_ids:
            continue
        why: Counter[str] = Counter()
        left = at_will(own_trades(filing, issuer, restate, joint_days, why).trades, code, why)
        # Of several reasons in one filing the one that took most lines.
        out["below_threshold" if left else max(sorted(why), key=lambda reason: why[reason])] += 1
    return out
