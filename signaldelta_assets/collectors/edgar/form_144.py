"""Collects `edgar/form_144`: one record per Form 144 or 144/A document, in the name of the issuer.

Before 2023-04-13 the form could be filed on paper, or as text: of such filings there is the filing index's row alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import partial

from signaldelta_assets.contracts import RawRecord
from signaldelta_assets.errors import RecordError

from ..base import EDGAR, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import Fetched
from .filings import Candidate, collect_filings, get_submission_body, read_submission
from .parsers import form_144_payload
from .parsers.form144 import FORMS
from .parsers.xml import xml_document

SOURCE = "form_144"
# Release 33-11070: electronic filing, as XML, from this day.
_XML_SINCE = date(2023, 4, 13)


@register_collector
class Form144Collector(Collector):
    """Notices of proposed sales (Forms 144 and 144/A) of the issuers and sellers of the universe."""

    name = "edgar/form_144"
    source_types = (SOURCE,)
    schema_version = "form_144/1"
    schedule = Schedule("20,50 6-22 * * 1-5")
    upstream = EDGAR
    modules = (
        "signaldelta_assets.collectors.edgar.filings",
        "signaldelta_assets.collectors.edgar.parsers.form144",
        "signaldelta_assets.collectors.edgar.parsers.sgml",
        "signaldelta_assets.collectors.edgar.parsers.values",
        "signaldelta_assets.collectors.edgar.parsers.xml",
    )
    after = ("edgar/submissions", "edgar/daily_index", "edgar/current")
    forms = FORMS
    # Also look filings up in EDGAR's daily index.
    daily_index = True

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield batches of documents, by filing date."""
        read = partial(self._filing, context, window)
        yield from collect_filings(context, window, FORMS, SOURCE, read, daily_index=self.daily_index)

    def _filing(self, context: CollectContext, window: Window, filing: Candidate, batch: Batch) -> None:
        fetched = get_submission_body(context, filing.cik, filing.accession, filing.filed)
        if fetched is None:
            context.counts["documents_absent"] += 1
            return
        try:
            record = _record(context, fetched, filing)
        except RecordError as error:
            day = filing.accepted_at.date() if filing.accepted_at else filing.filed
            if filing.dated or day in window:
                batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url, day))
            return
        if record is None:
            context.counts["before_xml"] += 1
        elif filing.dated or record.partition_date in window:
            batch.records.append(record)
        else:
            context.counts["outside_window"] += 1


def _record(context: CollectContext, fetched: Fetched, filing: Candidate) -> RawRecord | None:
    submission = read_submission(fetched, filing.accession)
    body = xml_document(submission)
    if body is None:
        if submission.filed < _XML_SINCE:
            return None
        found = ", ".join(f"{document.type} {document.filename}" for document in submission.documents)
        raise RecordError(submission.accession, "DOCUMENT", "a Form 144 as XML", found)
    accepted = submission.accepted_at or filing.accepted_at
    payload = form_144_payload(submission, body, accepted)
    return context.record(
        fetched,
        source_type=SOURCE,
        entity_id=payload["issuer"]["cik"],
        natural_key=filing.accession,
        form=payload["document_type"],
        event_time=accepted,
        fallback_date=submission.filed,
        payload=payload,
    )
