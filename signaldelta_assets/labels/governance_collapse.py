"""GOVERNANCE_COLLAPSE (signals.md 5): at least three distinct persons departing within 30 days.

Persons are read from the text of item 5.02 by the rule of S039 and matched by family name, so that one person in
several filings counts once. Not counted: filings with item 2.01 or 5.01 (a closing), and those who leave with the
annual meeting. The variant that counts filings by the index alone is off by default.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from ..contracts import SecurityContext
from ..extractors import EightK, departures, eight_ks, item_text, news
from ..extractors.frames import DAY_US
from .base import Labeling, LabelParams, register_label
from .frames import Evidence, spaced


@dataclass(frozen=True, slots=True)
class Exit:
    """A 5.02 filing and whom it says to depart: family names, or its own accession in the index-only variant."""

    filing: EightK
    who: frozenset[str]
    counted: bool


@register_label("GOVERNANCE_COLLAPSE")
class GovernanceCollapse:
    """One label per issuer and completing filing, keyed by its accession."""

    def classify(self, evidence: Evidence, context: SecurityContext, params: LabelParams) -> Labeling:
        """See the module."""
        out = Labeling()
        read: dict[str, list[Exit]] = {}
        listed: dict[str, list[Exit]] = {}
        # An amendment is compared with what stood before it, outside the window as well.
        frame = evidence.timed.assign(is_trigger=True)
        in_window = dict(zip(frame["raw_record_id"], evidence.timed["is_trigger"], strict=True))
        filings = eight_ks(frame, params.tables, Counter())
        fresh = {filing.record.raw_record_id: items for filing, items, _ in news(filings, params.lookback, Counter())}
        for filing in filings:
            if "5.02" not in filing.items:
                continue
            counted = bool(in_window[filing.record.raw_record_id])
            if "5.02" not in fresh.get(filing.record.raw_record_id, ()):
                out.counts["amendment_restates"] += counted
                continue
            if filing.items & set(params["not_with"]):
                out.counts["closing"] += counted
                continue
            listed.setdefault(filing.record.entity_id, []).append(Exit(filing, frozenset({filing.accession}), counted))
            text = item_text(filing.text, "5.02") if filing.text else None
            if text is None:
                out.counts["text_not_read"] += counted
                continue
            found = departures(text, params.patterns)
            out.counts["leaves_with_annual_meeting"] += counted * len(found.scheduled)
            names = frozenset(name.split(". ", 1)[-1] for name in found.persons if name not in found.scheduled)
            if names:
                read.setdefault(filing.record.entity_id, []).append(Exit(filing, names, counted))
            else:
                out.counts["no_person_departs"] += counted
        for entity, exits in sorted(read.items()):
            self._windows(entity, exits, "departures", "confidence", params, out)
        for entity, exits in sorted(listed.items()) if params["index_only"] else ():
            self._windows(entity, exits, "index_only", "confidence_index", params, out)
        return out

    def _windows(
        self, entity: str, exits: Sequence[Exit], subtype: str, confidence: str, params: LabelParams, out: Labeling
    ) -> None:
        ordered = sorted(exits, key=lambda one: (one.filing.record.t, one.filing.accession))
        complete = []
        for place, last in enumerate(ordered):
            since = last.filing.record.t - params["window_days"] * DAY_US
            window = [one for one in ordered[: place + 1] if one.filing.record.t >= since]
            before = frozenset[str]().union(*(one.who for one in window[:-1]))
            if len(before) < params["persons"] <= len(before | last.who):
                complete.append((window, before | last.who))
            else:
                out.counts["no_cluster_completed"] += last.counted
        moments = [window[-1].filing.record.t for window, _ in complete]
        walk = params.lookback - timedelta(days=params["window_days"])
        kept = set(spaced(moments, timedelta(days=params["refractory_days"]), walk))
        for place, (window, who) in enumerate(complete):
            if place not in kept:
                out.counts["refractory"] += window[-1].counted
                continue
            label = params.label(
                entity,
                [subtype, window[-1].filing.accession],
                at=window[-1].filing.record.t,
                subtype=subtype,
                confidence=params[confidence],
                deciding=[one.filing.record for one in reversed(window)],
                attributes={"persons": sorted(who), "filings": [one.filing.accession for one in window]},
            )
            out.events.append(label)
