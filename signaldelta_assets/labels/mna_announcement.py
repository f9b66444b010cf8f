"""MNA_ANNOUNCEMENT (signals.md 5): the signing of a deal, by its text (rule A) or by what is filed after it (rule B).

A bare item 1.01 is no label. A filing with item 2.01 is the completion of a deal: subtype `completion`, left out unless
asked for. Within 180 days of a deal's label the issuer's next 1.01 with the same party counts as an amendment of it.
The parties stand in no field and are read from the text (`deals`). Where a text names none, or there is no text, every
1.01 of those days counts as the same deal: a second deal is then missed rather than the first labeled twice.
Without text a deal that is not of a target is the acquirer's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from ..contracts import LabeledEvent, SecurityContext
from ..extractors import EightK, Record, eight_ks, first_available, rows
from ..extractors.frames import DAY_US, by_entity
from ..timeline import edgar_calendar, new_york
from .base import Labeling, LabelParams, register_label
from .deals import Signing, own_text, same_deal, signing
from .frames import Evidence, as_time, spaced


@dataclass(frozen=True, slots=True)
class Deal:
    """A 1.01 filing that passes rule A or B; `signing`: what its text says (rule A).

    `following`: the deal forms that rule B rests on.
    """

    filing: EightK
    rule: str
    signing: Signing | None
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
        kept = set(
            spaced(
                moments,
                timedelta(days=params["same_deal_days"]),
                timedelta(days=params["walk_days"]),
                lambda one, other: same_deal(deals[one].signing, deals[other].signing),
            )
        )
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
        text = own_text(filing, "1.01", params)
        signed = signing(filing, text, params) if text is not None else None
        if signed is not None and signed.amends:
            return "amendment"
        if text is not None and signed is None and params.pattern("RX_FIN").search(text):
            return "financing"
        until = filing.record.t + params["follow_days"] * DAY_US
        following = tuple(
            paper for paper in papers if paper.form in params["follow_forms"] and filing.record.t <= paper.t <= until
        )
        if signed is not None:
            return Deal(filing, "A", signed, following)
        if "2.03" in filing.items:
            return "financing"
        return Deal(filing, "B", None, following) if following else "bare_agreement"

    def _label(
        self, entity: str, deal: Deal, own: Sequence[EightK], papers: Sequence[Record], params: LabelParams
    ) -> LabeledEvent:
        filing = deal.filing
        earlier = [other for other in own if _announces(other, filing, params)]
        first = min([filing, *earlier], key=lambda other: other.record.t)
        subtype, grounds = _subtype(deal, papers, params)
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
    """Return True for a 7.01 or 8.01 filing that tells of the deal in the few business days before its 1.01."""
    # One with an item 1.01 of its own announces that agreement.
    usual = other.form == "8-K" and other.text is not None and "1.01" not in other.items
    if not usual or not other.items & set(params["earlier_items"]):
        return False
    if not 0 < filing.record.t - other.record.t <= 3 * params["earlier_business_days"] * DAY_US:
        return False
    days = [np.datetime64(new_york(as_time(one.record.t)).date()) for one in (other, filing)]
    between = int(np.busday_count(days[0], days[1], busdaycal=edgar_calendar()))
    if between > params["earlier_business_days"]:
        return False
    texts = [own_text(other, item, params) for item in sorted(other.items & set(params["earlier_items"]))]
    own = signing(filing, own_text(filing, "1.01", params) or "", params)
    told = [signing(other, text, params) for text in texts if text]
    return any(deal is not None and not deal.amends and same_deal(deal, own) for deal in told)


def _subtype(deal: Deal, papers: Sequence[Record], params: LabelParams) -> tuple[str, list[Record]]:
    filing = deal.filing
    until = filing.record.t + params["target_days"] * DAY_US
    proxies = [
        paper for paper in papers if paper.form in params["target_forms"] and filing.record.t <= paper.t <= until
    ]
    side = None if deal.signing is None else deal.signing.side
    if side is not None:
        return side, []
    if proxies:
        return "target", [min(proxies, key=lambda paper: (paper.t, paper.natural_key))]
    return "acquirer", []
