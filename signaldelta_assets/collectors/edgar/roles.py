"""Collects `edgar/roles`: one `filing_role` record per filing and subject company, from the submission header.

The filings are those of forms that somebody may file about somebody else. A submissions list mixes those about an
entity with those by it and does not tell them apart: only the header does, so a filing found in a filer's list stands
under its subject.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from signaldelta_assets.contracts import RawRecord
from signaldelta_assets.errors import RecordError

from ..base import EDGAR, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import Fetched
from .filings import Candidate, collect_filings, get_submission_body, read_submission
from .parsers import ROLE_FORMS, role_payloads

SOURCE = "filing_role"


@register_collector
class RolesCollector(Collector):
    """Subject and filers of Schedules 13D and 13G, tender offers and contested proxies of the universe."""

    name = "edgar/roles"
    source_types = (SOURCE,)
    schema_version = "filing_role/1"
    schedule = Schedule("20,50 6-22 * * 1-5")
    upstream = EDGAR
    modules = (
        "signaldelta_assets.collectors.edgar.filings",
        "signaldelta_assets.collectors.edgar.parsers.roles",
        "signaldelta_assets.collectors.edgar.parsers.schedule13",
        "signaldelta_assets.collectors.edgar.parsers.sgml",
        "signaldelta_assets.collectors.edgar.parsers.values",
        "signaldelta_assets.collectors.edgar.parsers.xml",
    )
    after = ("edgar/submissions", "edgar/daily_index", "edgar/current")
    forms = ROLE_FORMS
    # Also look filings up in EDGAR's daily index.
    daily_index = True

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield batches of filings, by filing date; the records of one filing are never parted."""
        context.counts["subjects_not_followed"] += 0
        read = partial(self._filing, context, window)
        yield from collect_filings(context, window, ROLE_FORMS, SOURCE, read, daily_index=self.daily_index)

    def _filing(self, context: CollectContext, window: Window, filing: Candidate, batch: Batch) -> None:
        fetched = get_submission_body(context, filing.cik, filing.accession, filing.filed)
        if fetched is None:
            context.counts["documents_absent"] += 1
            return
        try:
            records = role_records(context, fetched, filing.accession, filing.accepted_at)
        except RecordError as error:
            day = filing.accepted_at.date() if filing.accepted_at else filing.filed
            if filing.dated or day in window:
                batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url, day))
            return
        if not (filing.dated or records[0].partition_date in window):
            context.counts["outside_window"] += 1
            return
        batch.records += records
        followed = {entity.entity_id for entity in context.universe}
        context.counts["subjects_not_followed"] += sum(record.entity_id not in followed for record in records)


def role_records(
    context: CollectContext, fetched: Fetched, accession: str, accepted_at: datetime | None
) -> list[RawRecord]:
    """Return the records of a submission, one per subject; `accepted_at` stands in for a header without acceptance.

    A header without documents will do: the recorded ones have none. Raises RecordError.
    """
    submission = read_submission(fetched, accession, header_suffices=True)
    accepted = submission.accepted_at or accepted_at
    return [
        context.record(
            fetched,
            source_type=SOURCE,
            entity_id=cik,
            natural_key=accession,
            form=submission.form,
            event_time=accepted,
            fallback_date=submission.filed,
            payload=payload,
        )
        for cik, payload in role_payloads(submission, accepted)
    ]
