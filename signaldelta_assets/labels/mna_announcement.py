"""MNA_ANNOUNCEMENT (signals.md 5): the signing of a deal, by its text (rule A) or by what is filed after it (rule B).

A bare item 1.01 is no label. A filing with item 2.01 is the completion of a deal: subtype `completion`, left out unless
asked for. Within 180 days of a deal's label the issuer's next 1.01 counts as an amendment of it: the other party's name
stands in no field, so a second deal of the issuer in that time is missed rather than the first labeled twice.
Whether the issuer sells is read from the text (RX_SELLER); without text a deal that is not of a target is the
acquirer's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from ..contracts import LabeledEvent, SecurityContext
from ..extractors import EightK, Record, eight_ks, first_available, item_text, rows
from ..extractors.frames import DAY_US, by_entity
from ..timeline import edgar_calendar, new_york
from .base import Labeling, LabelParams, register_label
from .frames import Evidence, as_time, spaced


@dataclass(frozen=True, slots=True)
class Deal:
    """A 1.01 filing that passes rule A or B; `following`: the deal forms that rule B rests on."""

    filing: EightK
    rule: str
    following: tuple[Record, ...]


@register_label("MNA_ANNOUNCEMENT")
class MnaAnnouncement:
    """One label per issuer and deal, keyed by the accession of its 1.01 filing."""

    def classify(self, evidence: Evidence, context: SecurityContext, params: LabelParams) -> Labeling:
        """See the module."""
        out = Labeling()
        filings: dict[str, list[EightK]] = {}
        for filing in eight_ks(evidence.timed, params.tables, Counter()):
            filings.setdefault(filing.record.entity_id, []).append(filing)
        index = evidence.timed[evidence.timed["source_type"] == "filing_index"]
        forms = {*params["follow_forms"], *params["target_forms"]}
        papers = by_entity(rows(first_available(index[index["form"].isin(list(forms))], Counter())))
        for entity, own in sorted(filings.items()):
            own.sort(key=lambda filing: (filing.record.t, filing.accession))
            self._entity(entity, own, papers.get(entity, []), params, out)
        return out

    def _entity(
        self, entity: str, own: Sequence[EightK], papers: Sequence[Record], params: LabelParams, out: Labeling
    ) -> None:
        deals = []
        for filing in own:
            found = self._judge(filing, papers, params)
            if isinstance(found, Deal):
                deals.append(found)
            elif found is not None:
                out.counts[found] += filing.record.is_trigger
        if params["include_completion"]:
            for filing in own:
                if filing.form == "8-K" and "2.01" in filing.items:
                    out.events.append(_completion(entity, filing, params))
        moments = [deal.filing.record.t for deal in deals]
        kept = set(spaced(moments, timedelta(days=params["same_deal_days"]), timedelta(days=params["walk_days"])))
        for place, deal in enumerate(deals):
            if place in kept:
                out.events.append(self._label(entity, deal, own, papers, params))
            else:
                out.counts["amendment_of_labeled_deal"] += deal.filing.record.is_trigger

    def _judge(self, filing: EightK, papers: Sequence[Record], params: LabelParams) -> Deal | str | None:
        """Return the deal, the reason why a 1.01 filing is none, or None for other filings."""
        if "1.01" not in filing.items:
            return None
        if filing.form != "8-K":
            return "amendment"
        if "2.01" in filing.items:
            return "completion"
        is_deal = filing.text is not None and _names_deal(filing, params)
        text = item_text(filing.text, "1.01") or filing.text if filing.text else None
        if text is not None and not is_deal and params.pattern("RX_FIN").search(text):
            return "financing"
        until = filing.record.t + params["follow_days"] * DAY_US
        following = tuple(
            paper for paper in papers if paper.form in params["follow_forms"] and filing.record.t <= paper.t <= until
        )
        if is_deal:
            return Deal(filing, "A", following)
        if "2.03" in filing.items:
            return "financing"
        return Deal(filing, "B", following) if following else "bare_agreement"

    def _label(
        self, entity: str, deal: Deal, own: Sequence[EightK], papers: Sequence[Record], params: LabelParams
    ) -> LabeledEvent:
        filing = deal.filing
        earlier = [other for other in own if _announces(other, filing, params)]
        first = min([filing, *earlier], key=lambda other: other.record.t)
        subtype, grounds = _subtype(filing, papers, params)
        # The first of the following forms decides rule B; the others add nothing to it.
        decisive = [] if deal.rule == "A" else [min(deal.following, key=lambda paper: (paper.k, paper.natural_key))]
        return params.label(
            entity,
            [filing.accession],
            at=first.record.t,
            subtype=subtype,
            confidence=params["confidence_text" if deal.rule == "A" else "confidence_index"],
            deciding=[filing.record, *decisive, *([first.record] if first is not filing else [])],
            further=grounds,
            attributes={
                "rule": deal.rule,
                "accession": filing.accession,
                "announced_by": first.accession,
                "followed_by": sorted({str(paper.form) for paper in deal.following}),
            },
        )


def _completion(entity: str, filing: EightK, params: LabelParams) -> LabeledEvent:
    return params.label(
        entity,
        [filing.accession],
        at=filing.record.t,
        subtype="completion",
        confidence=params["confidence_text"],
        deciding=[filing.record],
        attributes={"accession": filing.accession},
    )


def _announces(other: EightK, filing: EightK, params: LabelParams) -> bool:
    """Return True for a 7.01 or 8.01 filing that names the deal in the few business days before its 1.01."""
    if other.form != "8-K" or other.text is None or not other.items & set(params["earlier_items"]):
        return False
    if not 0 < filing.record.t - other.record.t <= 3 * params["earlier_business_days"] * DAY_US:
        return False
    days = [np.datetime64(new_york(as_time(one.record.t)).date()) for one in (other, filing)]
    between = int(np.busday_count(days[0], days[1], busdaycal=edgar_calendar()))
    return between <= params["earlier_business_days"] and _names_deal(other, params)


def _subtype(filing: EightK, papers: Sequence[Record], params: LabelParams) -> tuple[str, list[Record]]:
    until = filing.record.t + params["target_days"] * DAY_US
    proxies = [
        paper for paper in papers if paper.form in params["target_forms"] and filing.record.t <= paper.t <= until
    ]
    if filing.text and params.pattern("RX_TARGET").search(filing.text):
        return "target", []
    if proxies:
        return "target", [min(proxies, key=lambda paper: (paper.t, paper.natural_key))]
    text = item_text(filing.text, "1.01") or filing.text if filing.text else None
    if text is not None and params.pattern("RX_SELLER").search(text):
        return "divestiture", []
    return "acquirer", []


def _names_deal(filing: EightK, params: LabelParams) -> bool:
    head = (filing.text or "")[: params["head_characters"]]
    return params.pattern("RX_DEAL").search(head) is not None
