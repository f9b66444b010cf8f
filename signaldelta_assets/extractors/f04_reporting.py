"""F04, financial-reporting quality: S022 auditor_change, S023 non_reliance (signals.md 4.3).

Traps. S022: the 8-K/A with the auditor's letter restates the item and yields nothing; the auditor of a savings plan and
a merger of audit firms are read from the text and counted. S023: refiled per subsidiary, each registrant is an entity
of its own; the later 10-K/A belongs to S017.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..contracts import SecurityContext
from .base import Extraction, SignalParams, register
from .form8k import EightK, eight_ks, item_text, news, text_wait
from .frames import was_available


def _key(filing: EightK) -> list[str]:
    return [filing.report_date or filing.accession]


def _told_before(filing: EightK, item: str, filings: Sequence[EightK], params: SignalParams) -> bool:
    """Whether an earlier filing of the issuer has the item for the same report date: the key is the date, once."""
    return filing.report_date is not None and any(
        item in other.items
        and (other.record.entity_id, other.report_date) == (filing.record.entity_id, filing.report_date)
        and was_available(other.first, filing.record, params.lookback)
        for other in filings
    )


@register("S022")
class AuditorChange:
    """Item 4.01: the auditor resigned, or was dismissed."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per issuer and report date."""
        out = Extraction()
        filings = eight_ks(records, params.tables, out.counts, text_wait(params.tables))
        for filing, items, earlier in news(filings, params.lookback, out.counts):
            if "4.01" not in items:
                continue
            if _told_before(filing, "4.01", filings, params):
                out.counts["same_report_date_again"] += 1
                continue
            text = item_text(filing.text, "4.01") if filing.text else None
            how = "unread"
            if text is not None:
                if params.pattern("RX_AUDITOR_PLAN").search(text):
                    out.counts["auditor_of_a_plan"] += 1
                    continue
                if params.pattern("RX_AUDITOR_MERGER").search(text):
                    out.counts["audit_firms_merged"] += 1
                    continue
                how = "resigned" if params.pattern("RX_AUDITOR_RESIGNED").search(text) else "dismissed"
            event = params.event(
                filing.record,
                _key(filing),
                strength=params[how],
                direction=-1,
                reliability=params["reliability" if text is not None else "reliability_index"],
                inputs=[other.first for other in earlier],
                attributes={"accession": filing.accession, "how": how},
            )
            out.events.append(event)
        return out


@register("S023")
class NonReliance:
    """Item 4.02: earlier financial statements are not to be relied on."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per issuer and report date."""
        out = Extraction()
        filings = eight_ks(records, params.tables, out.counts, text_wait(params.tables))
        for filing, items, earlier in news(filings, params.lookback, out.counts):
            if "4.02" not in items:
                continue
            if _told_before(filing, "4.02", filings, params):
                out.counts["same_report_date_again"] += 1
                continue
            text = item_text(filing.text, "4.02") if filing.text else None
            by_auditor = text is not None and params.pattern("RX_BY_AUDITOR").search(text) is not None
            event = params.event(
                filing.record,
                _key(filing),
                strength=params["by_auditor" if by_auditor else "by_company"],
                direction=-1,
                reliability=params["reliability" if text is not None else "reliability_index"],
                inputs=[other.first for other in earlier],
                attributes={"accession": filing.accession, "by_auditor": by_auditor},
            )
            out.events.append(event)
        return out
