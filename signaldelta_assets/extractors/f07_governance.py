"""F07, governance and people: S039 officer_director_departure, S040 holder_rights_change, S041 contested_vote (4.4).

Traps. S039: half of 5.02 filings are elections or pay plans, so the text decides where it is recorded. A biography's
`retired` and a severance definition match RX_DEPART as well; they name no person, and so are neither raised in strength
nor counted by GOVERNANCE_COLLAPSE, but no rule of the text drops them without dropping real exits. S040: a change of
charter at a closing (2.01, 5.01) and a reverse split yield nothing. S041: PX14A6G are exempt notices of shareholder
proposals and no contest. A company's list holds what it files about others beside what is filed about it; EDGAR gives
the file number of the company that a filing is about, and a row without one is the company's own bid for another.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..contracts import SecurityContext
from .base import Extraction, SignalParams, register
from .departures import departures
from .form8k import EightK, eight_ks, item_text, news, text_wait
from .frames import DAY_US, Record, by_entity, first_available, rows, was_available


@register("S039")
class OfficerDirectorDeparture:
    """Item 5.02 with a departure; from the index row alone, weak: it may as well be an election."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per issuer and accession."""
        out = Extraction()
        for filing, items, earlier in news(
            eight_ks(records, params.tables, out.counts, text_wait(params.tables)), params.lookback, out.counts
        ):
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
                inputs=[other.first for other in earlier],
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
        for filing, items, earlier in news(
            eight_ks(records, params.tables, out.counts, text_wait(params.tables)), params.lookback, out.counts
        ):
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
                inputs=[*(other.first for other in earlier), *near],
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


@register("S041")
class ContestedVote:
    """Proxy papers of a contest: the first of an episode, and its definitive statement."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one or two events per issuer and episode; the key: its first accession, the form, the accession."""
        out = Extraction()
        papers = first_available(records[records["form"].isin(list(params["forms"]))], out.counts)
        about = papers["payload"].map(lambda payload: bool(payload.get("file_number"))).astype(bool)
        out.counts["filed_about_another"] += int((~about & papers["is_trigger"]).sum())
        for own in by_entity(rows(papers[about])).values():
            for record in own:
                if record.is_trigger:
                    self._judge(record, own, params, out)
        return out

    @staticmethod
    def _judge(record: Record, own: Sequence[Record], params: SignalParams, out: Extraction) -> None:
        before = _episode([one for one in own if was_available(one, record, params.lookback)], record, params)
        again = record.form == params["definitive"] and all(one.form != record.form for one in before)
        if before and not again:
            out.counts["episode_goes_on"] += 1
            return
        event = params.event(
            record,
            # Its own accession too: a definitive statement seen late, after a second one, is an event beside it.
            [(before[0] if before else record).natural_key, record.form or "", record.natural_key],
            strength=params["strength_definitive" if record.form == params["definitive"] else "strength_first"],
            direction=0,
            reliability=params["reliability"],
            inputs=before,
            attributes={"form": record.form, "papers_before": len(before)},
        )
        out.events.append(event)


def _episode(before: Sequence[Record], record: Record, params: SignalParams) -> list[Record]:
    """Return the papers of the episode that runs when `record` comes, in order: no gap is longer than `gap_days`."""
    episode: list[Record] = []
    since = record.t
    for one in sorted(before, key=lambda paper: (paper.t, paper.at), reverse=True):
        if since - one.t > params["gap_days"] * DAY_US:
            break
        episode.append(one)
        since = one.t
    return episode[::-1]
