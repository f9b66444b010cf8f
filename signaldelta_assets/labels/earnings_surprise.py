"""EARNINGS_SURPRISE (signals.md 5): a release whose figure is well off the estimate, positive or negative.

Event time is the earlier of the vendor's release time and the acceptance of the issuer's 8-K item 2.02 within a day of
it. A vendor's midnight is no time: such a release, like one with a date alone, needs the 8-K.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from ..contracts import SecurityContext
from ..extractors import EightK, Record, eight_ks, first_available, rows
from ..extractors.frames import DAY_US
from ..timeline import new_york
from .base import Labeling, LabelParams, register_label
from .frames import Evidence, as_time

# Figures are read to a hundredth of a cent; two vendors' roundings of one estimate differ by less.
SAME_ESTIMATE = 0.005
MIDNIGHT = ("", "00:00", "00:00:00")


def _has_time(record: Record) -> bool:
    return record.t >= 0 and str(record.payload.get("time") or "") not in MIDNIGHT


def _period(record: Record) -> str:
    year, period = record.payload.get("fiscal_year"), record.payload.get("fiscal_period")
    return f"{year}-{period}" if year and period else ""


@register_label("EARNINGS_SURPRISE")
class EarningsSurprise:
    """One label per issuer and release."""

    def classify(self, evidence: Evidence, context: SecurityContext, params: LabelParams) -> Labeling:
        """See the module."""
        out = Labeling()
        results: dict[str, list[EightK]] = {}
        for filing in eight_ks(evidence.timed, params.tables, Counter()):
            if filing.form == "8-K" and "2.02" in filing.items:
                results.setdefault(filing.record.entity_id, []).append(filing)
        releases: dict[tuple[str, str, str], list[Record]] = {}
        for record in self._usable(evidence, out):
            slot = (record.entity_id, str(record.payload.get("date")), _period(record))
            releases.setdefault(slot, []).append(record)
        for (entity, day, period), records in sorted(releases.items()):
            self._judge(entity, [day, period], records, results.get(entity, []), params, out)
        return out

    def _usable(self, evidence: Evidence, out: Labeling) -> list[Record]:
        frame = evidence.timed[evidence.timed["source_type"] == "earnings_actual"]
        complete = frame["payload"].map(_has_figures).astype(bool)
        timed = rows(first_available(frame[complete], out.counts))
        untimed = [record for record in evidence.untimed if record.source_type == "earnings_actual"]
        out.counts["no_estimate"] += int((~complete & frame["is_trigger"]).sum())
        out.counts["no_estimate"] += sum(record.is_trigger and not _has_figures(record.payload) for record in untimed)
        found = [*timed, *(record for record in untimed if _has_figures(record.payload))]
        undated = [record for record in found if not record.payload.get("date")]
        # A fiscal period alone says nothing of the moment.
        out.counts["no_authoritative_time"] += sum(record.is_trigger for record in undated)
        return [record for record in found if record.payload.get("date")]

    def _judge(
        self,
        entity: str,
        key: list[str],
        records: Sequence[Record],
        results: Sequence[EightK],
        params: LabelParams,
        out: Labeling,
    ) -> None:
        first = min(records, key=lambda record: (not _has_time(record), record.k, record.raw_record_id))
        estimates = [float(record.payload["estimated_eps"]) for record in records]
        if max(estimates) - min(estimates) > SAME_ESTIMATE:
            out.counts["conflicting_estimates"] += any(record.is_trigger for record in records)
            return
        estimate, actual = float(first.payload["estimated_eps"]), float(first.payload["actual_eps"])
        surprise = actual - estimate
        # Differences of decimal figures: 0.30 - 0.28 is not below 0.02.
        relative = round(abs(surprise) / max(abs(estimate), params["estimate_floor"]), 9)
        if relative < params["rel"] or round(abs(surprise), 9) < params["min_diff"]:
            out.counts["below_threshold"] += first.is_trigger
            return
        near = _near(first, results, params["match_days"])
        if not near and not _has_time(first):
            out.counts["no_authoritative_time"] += first.is_trigger
            return
        accepted = min((filing.record.t for filing in near), default=None)
        moments = [moment for moment in (first.t if _has_time(first) else None, accepted) if moment is not None]
        label = params.label(
            entity,
            key,
            at=min(moments),
            subtype="positive" if surprise > 0 else "negative",
            confidence=params["confidence" if near else "confidence_without_filing"],
            deciding=[first, *(filing.record for filing in near if filing.record.t == accepted)],
            attributes={
                "actual": actual,
                "estimate": estimate,
                "relative": round(relative, 6),
                "time_from": "form_8k" if accepted is not None and accepted == min(moments) else "vendor",
            },
        )
        out.events.append(label)


def _has_figures(payload: Mapping[str, Any]) -> bool:
    return payload.get("actual_eps") is not None and payload.get("estimated_eps") is not None


def _near(release: Record, results: Sequence[EightK], days: int) -> list[EightK]:
    """Return the 8-Ks with results within `days` of the release: of its moment, or of its date where it has none."""
    if _has_time(release):
        return [filing for filing in results if abs(filing.record.t - release.t) <= days * DAY_US]
    day = date.fromisoformat(str(release.payload["date"]))
    return [filing for filing in results if abs((new_york(as_time(filing.record.t)).date() - day).days) <= days]
