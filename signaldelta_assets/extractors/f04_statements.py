"""F04, financial-reporting quality, from the statements: S024 accrual_jump, S025 silent_restatement (signals.md 4.3).

A module of its own beside the 8-K rules of the family, so that neither makes the other's events stale.

Traps. S024: a year is what (start, end) says, each value the first filed for it; banks and insurers have no accruals in
this sense and are left out, as is an issuer without SIC code. S025: compared is the value stated last, so that a
restatement fires once and not with every filing that repeats it. Adopting a standard and discontinued operations recast
the past as well: facts do not say so, and only that such a recast mostly leaves net income alone halves the strength.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from ..contracts import SecurityContext
from .base import Extraction, SignalParams, register
from .facts import Fact, Figure, Statement, days_between, fiscal_years, statement
from .form8k import eight_ks
from .frames import DAY_US, Record, by_entity, first_available, rows, was_available
from .scales import ramp


def _statements(records: pd.DataFrame, concepts: Sequence[str], counts: Counter[str]) -> dict[str, list[Statement]]:
    """Return the facts of every filing by entity, in the order in which the filings became available."""
    filed = first_available(records[records["source_type"] == "xbrl_facts"], counts)
    return {
        entity: [statement(record, concepts, counts) for record in own]
        for entity, own in by_entity(rows(filed)).items()
    }


def _available(own: Sequence[Statement], trigger: Record, params: SignalParams) -> list[Statement]:
    return [one for one in own if was_available(one.record, trigger, params.lookback)]


@register("S024")
class AccrualJump:
    """Accruals of a fiscal year far above those of the years before it."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per issuer and fiscal year-end: of the filing that first has the whole year."""
        out = Extraction()
        concepts = sorted({concept for names in params["concepts"].values() for concept in names})
        for entity, own in _statements(records, concepts, out.counts).items():
            security = context.get(entity)
            sic = security.sic if security is not None else None
            for now in own:
                if not now.record.is_trigger:
                    continue
                if sic is None:
                    out.counts["industry_unknown"] += 1
                elif params["excluded_sic"][0] <= int(sic[:2]) <= params["excluded_sic"][1]:
                    out.counts["bank_or_insurer"] += 1
                else:
                    currency = security.currency if security is not None else ""
                    self._judge(now, _available(own, now.record, params), currency, params, out)
        return out

    def _judge(
        self, now: Statement, earlier: Sequence[Statement], unit: str, params: SignalParams, out: Extraction
    ) -> None:
        names, length = params["concepts"], params["year_days"]
        years = fiscal_years([*earlier, now], names, unit, length)
        # The newest year is the news. An older one that only now is whole tells of the past.
        end = max(years, default="")
        if not end or now.record not in years[end].records:
            out.counts["no_new_year"] += 1
            return
        fewest, most = params["years"]
        prior = [years[one] for one in sorted(years) if one < end and days_between(one, end) <= most * length[1]][
            -most:
        ]
        if len(prior) < fewest:
            out.counts["short_history"] += 1
            return
        jump = years[end].accruals - statistics.median(year.accruals for year in prior)
        if jump < params["min_jump"]:
            out.counts["below_threshold"] += 1
            return
        used = {record.raw_record_id: record for year in (*prior, years[end]) for record in year.records}
        event = params.event(
            now.record,
            [end],
            strength=float(ramp(jump, *params["ramp"])),
            direction=-1,
            reliability=params["reliability"],
            inputs=[record for record in used.values() if record is not now.record],
            attributes={
                "accession": now.record.natural_key,
                "accruals": round(years[end].accruals, 6),
                "jump": round(jump, 6),
                "years": len(prior),
            },
        )
        out.events.append(event)


@register("S025")
class SilentRestatement:
    """A filing that states an earlier figure anew, at least a hundredth away, without an item 4.02 before it."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per filing, keyed by accession."""
        out = Extraction()
        told: dict[str, list[Record]] = {}
        for filing in eight_ks(records, params.tables, Counter()):
            if "4.02" in filing.items:
                told.setdefault(filing.record.entity_id, []).append(filing.record)
        for entity, own in _statements(records, params["concepts"], out.counts).items():
            for now in own:
                if now.record.is_trigger:
                    self._judge(now, _available(own, now.record, params), told.get(entity, []), params, out)
        return out

    def _judge(
        self,
        now: Statement,
        earlier: Sequence[Statement],
        told: Sequence[Record],
        params: SignalParams,
        out: Extraction,
    ) -> None:
        last: dict[Fact, Figure] = {}
        for one in earlier:
            last |= {fact: Figure(value, one.record) for fact, value in one.values.items() if fact in now.values}
        if not last:
            out.counts["nothing_stated_before"] += 1
            return
        changes = self._changes(now, last, params, out.counts)
        if not changes:
            out.counts["nothing_restated"] += 1
            return
        record = now.record
        since = record.t - params["told_days"] * DAY_US
        if any(one.at < record.at and since <= one.t <= record.t for one in told):
            out.counts["told_by_non_reliance"] += 1
            return
        income = _largest(changes, params["income"])
        moved = income or _largest(changes, params["equity"])
        most = max(changes.values(), key=abs)
        stated = {figure.record.raw_record_id: figure.record for figure in last.values()}
        event = params.event(
            record,
            [record.natural_key],
            strength=float(ramp(abs(most), *params["ramp"])) * (1.0 if income else params["income_unchanged_factor"]),
            direction=(moved > 0) - (moved < 0),
            reliability=params["reliability"],
            inputs=stated.values(),
            attributes={
                "concepts": sorted({fact.concept for fact in changes}),
                "facts": len(changes),
                "largest": round(abs(most), 6),
                "income_changed": bool(income),
            },
        )
        out.events.append(event)

    def _changes(
        self, now: Statement, last: Mapping[Fact, Figure], params: SignalParams, counts: Counter[str]
    ) -> dict[Fact, float]:
        """Return what was restated: the change relative to the value before, signed like the difference."""
        found = {}
        for fact, old in sorted(last.items(), key=lambda item: item[0]):
            new = now.values[fact]
            if old.value == 0:
                counts["restated_from_zero"] += new != 0
            elif _unit_error(new / old.value, params["unit_error"]):
                counts["unit_error"] += 1
            else:
                change = (new - old.value) / abs(old.value)
                if abs(change) >= params["min_change"]:
                    found[fact] = change
        return found


def _largest(changes: Mapping[Fact, float], concepts: Sequence[str]) -> float:
    """Return the largest change among these concepts, 0 where there is none."""
    return max((change for fact, change in changes.items() if fact.concept in concepts), key=abs, default=0.0)


def _unit_error(ratio: float, tolerance: float) -> bool:
    """Whether a ratio is within `tolerance` of a power of ten other than 1: thousands stated as units, say."""
    if ratio <= 0:
        return False
    power = round(math.log10(ratio))
    return power != 0 and abs(ratio / 10.0**power - 1) <= tolerance
