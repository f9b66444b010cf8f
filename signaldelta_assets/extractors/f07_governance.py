"""F07, governance and people: S039 officer_director_departure, S040 holder_rights_change (signals.md 4.4).

Traps. S039: half of 5.02 filings are elections or pay plans, so the text decides where it is recorded. A biography's
`retired` and a severance definition match RX_DEPART as well; they name no person, and so are neither raised in strength
nor counted by GOVERNANCE_COLLAPSE, but no rule of the text drops them without dropping real exits. S040: a change of
charter at a closing (2.01, 5.01) and a reverse split yield nothing.
"""

from __future__ import annotations

import pandas as pd

from ..contracts import SecurityContext
from .base import Extraction, SignalParams, register
from .departures import departures
from .form8k import EightK, eight_ks, item_text, news
from .frames import DAY_US, Record, by_entity, first_available, rows


@register("S039")
class OfficerDirectorDeparture:
    """Item 5.02 with a departure; from the index row alone, weak: it may as well be an election."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per issuer and accession."""
        out = Extraction()
        for filing, items, earlier in news(eight_ks(records, params.tables, out.counts), params.lookback, out.counts):
            if "5.02" not in items:
                continue
            text = item_text(filing.text, "5.02") if filing.text else None
            if filing.text and text is None:
                out.counts["item_not_found_in_text"] += 1
            strength = params["index_only"]
            attributes: dict[str, object] = {"read": False}
            if text is not None:
                found = departures(text, params.patterns)
                if not found.matched:
                    out.counts["no_departure"] += 1
                    continue
                # Many who leave are written with first and family name, which RX_PERSON does not see: one at least.
                strength = params["first"] + params["further"] * max(0, len(found.persons) - 1)
                strength = min(1.0, strength + (params["chief"] if found.chief else 0.0))
                attributes = {"read": True, "persons": list(found.persons), "chief": found.chief}
            event = params.event(
                filing.record,
                filing.key,
                strength=strength,
                direction=-1,
                reliability=params["reliability" if text is not None else "reliability_index"],
                inputs=[other.record for other in earlier],
                attributes=attributes,
            )
            out.events.append(event)
        return out


@register("S040")
class HolderRightsChange:
    """Item 3.03; strong with an agreement in the filing or a registration of rights just before: a rights plan."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per issuer and accession."""
        out = Extraction()
        form = params["registration_form"]
        registrations = by_entity(rows(first_available(records[records["form"] == form], out.counts)))
        for filing, items, earlier in news(eight_ks(records, params.tables, out.counts), params.lookback, out.counts):
            if "3.03" not in items:
                continue
            reason = self._why_not(filing, params)
            if reason:
                out.counts[reason] += 1
                continue
            near = self._just_before(filing.record, registrations.get(filing.record.entity_id, []), params)
            event = params.event(
                filing.record,
                filing.key,
                strength=params["rights_plan" if near or "1.01" in filing.items else "plain"],
                direction=0,
                reliability=params["reliability" if filing.text else "reliability_index"],
                inputs=[*(other.record for other in earlier), *near],
                attributes={"items": sorted(filing.items), "registered": bool(near)},
            )
            out.events.append(event)
        return out

    @staticmethod
    def _why_not(filing: EightK, params: SignalParams) -> str | None:
        if filing.items & set(params["not_with"]):
            return "closing"
        text = item_text(filing.text, "3.03") if filing.text else None
        return "reverse_split" if text is not None and params.pattern("RX_REVERSE_SPLIT").search(text) else None

    @staticmethod
    def _just_before(record: Record, registrations: list[Record], params: SignalParams) -> list[Record]:
        within = params["registration_days"] * DAY_US
        return [one for one in registrations if one.k <= record.k and 0 <= record.t - one.t <= within]
