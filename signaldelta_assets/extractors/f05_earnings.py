"""F05, earnings and estimates: S028 earnings_surprise_drift (signals.md 4.3).

Traps. A record whose release time is unknown has no event_time and triggers nothing. Whether an estimate was published
before the release, whether actual and estimate are on one basis (GAAP or adjusted), and whether a vendor's file has
rescaled old figures for splits, cannot be seen in a record: feeds must be of an unadjusted vintage. Two records of one
release whose figures differ yield nothing and are counted. A period released again on a later day (revised, or entered
twice) does not fire again.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from ..contracts import SecurityContext
from .base import Extraction, SignalParams, register
from .form8k import EightK, eight_ks
from .frames import DAY_US, Record, by_entity, first_available, rows, was_available
from .scales import ramp


@dataclass(frozen=True, slots=True)
class Surprise:
    """One release with both figures, in the currency per share of the feed."""

    record: Record
    period: str
    value: float
    unclear: bool


def fiscal_key(record: Record) -> str:
    """Return the fiscal period of a release ("2024-Q3"), or its date where the feed names none."""
    year, period = record.payload.get("fiscal_year"), record.payload.get("fiscal_period")
    return f"{year}-{period}" if year and period else str(record.payload.get("date"))


def _surprises(own: Sequence[Record], counts: Counter[str]) -> list[Surprise]:
    """Return the releases of one entity, one per period and release day; `unclear` where records contradict it."""
    found: dict[tuple[str, int], Surprise] = {}
    for record in own:
        value = float(record.payload["actual_eps"]) - float(record.payload["estimated_eps"])
        slot = (fiscal_key(record), record.t // DAY_US)
        known = found.get(slot)
        if known is None:
            found[slot] = Surprise(record, slot[0], value, unclear=False)
            continue
        counts["same_release_again"] += record.is_trigger
        # A contradiction that came later was not known when the first record fired.
        if abs(known.value - value) > 1e-9 and record.k <= known.record.k:
            found[slot] = Surprise(known.record, slot[0], known.value, unclear=True)
    return list(found.values())


@register("S028")
class EarningsSurpriseDrift:
    """A release whose standardised unexpected earnings are at least one deviation of the issuer's own history."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per issuer and fiscal period: of its first available release."""
        out = Extraction()
        actuals = records[records["source_type"] == "earnings_actual"]
        whole = actuals["payload"].map(
            lambda payload: payload.get("actual_eps") is not None and payload.get("estimated_eps") is not None
        )
        out.counts["no_estimate"] += int((~whole.astype(bool) & actuals["is_trigger"]).sum())
        releases = by_entity(rows(first_available(actuals[whole.astype(bool)], out.counts)))
        results: dict[str, list[EightK]] = {}
        for filing in eight_ks(records, params.tables, Counter()):
            if filing.form == "8-K" and "2.02" in filing.items:
                results.setdefault(filing.record.entity_id, []).append(filing)
        for entity, own in releases.items():
            surprises = _surprises(own, out.counts)
            for now in surprises:
                if now.record.is_trigger:
                    self._judge(now, surprises, results.get(entity, []), params, out)
        return out

    def _judge(
        self, now: Surprise, all_: Sequence[Surprise], results: Sequence[EightK], params: SignalParams, out: Extraction
    ) -> None:
        record = now.record
        since = record.t - params.lookback // timedelta(microseconds=1)
        # Also where the other release happened later but was available first: one key, one event.
        if any(one.period == now.period and one.record.at < record.at and one.record.t >= since for one in all_):
            out.counts["same_release_again"] += 1
            return
        if now.unclear:
            out.counts["conflicting_figures"] += 1
            return
        by_period: dict[str, Surprise] = {}
        for one in all_:
            if not one.unclear and was_available(one.record, record, params.lookback):
                by_period.setdefault(one.period, one)
        prior = [*by_period.values()][-params["quarters"] :]
        if len(prior) < params["min_quarters"]:
            out.counts["short_history"] += 1
            return
        sd = max(statistics.stdev(one.value for one in prior), params["sd_floor"])
        sue = now.value / sd
        if abs(sue) < params["min_sue"]:
            out.counts["below_threshold"] += 1
            return
        near = [
            filing.record for filing in results
            if filing.record.k <= record.k and 0 <= record.t - filing.record.t <= params["match_days"] * DAY_US
        ]  # fmt: skip
        event = params.event(
            record,
            [now.period],
            strength=float(ramp(abs(sue), *params["ramp"])),
            direction=1 if sue > 0 else -1,
            reliability=params["reliability" if near else "reliability_unmatched"],
            inputs=[*(one.record for one in prior), *near[-1:]],
            attributes={"sue": round(sue, 6), "quarters": len(prior), "date": record.payload.get("date")},
        )
        out.events.append(event)
