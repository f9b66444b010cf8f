"""Collects `edgar/ownership`: one record per Form 3, 4 or 5 document, in the name of the issuer.

The full submission text gives the acceptance time with authority. Where EDGAR does not have it, the ownership XML
itself is read, with the filing index's acceptance; without either the record has no event time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from signaldelta_assets.contracts import RawRecord
from signaldelta_assets.errors import RecordError

from ..base import EDGAR, EDGAR_WWW, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import ALWAYS_FINAL, Fetched
from .filings import Candidate, archive_path, collect_filings, get_submission_body, read_submission
from .parsers import ownership_payload
from .parsers.ownership import ownership_document

SOURCE = "ownership"
FORMS = ("3", "3/A", "4", "4/A", "5", "5/A")


@register_collector
class OwnershipCollector(Collector):
    """Forms 3, 4, 5 and their amendments, of the issuers and owners of the universe."""

    name = "edgar/ownership"
    source_types = (SOURCE,)
    schema_version = "ownership/1"
    schedule = Schedule("15,45 6-22 * * 1-5")
    upstream = EDGAR
    modules = (
        "signaldelta_assets.collectors.edgar.filings",
        "signaldelta_assets.collectors.edgar.parsers.ownership",
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
        read = partial(self._document, context, window)
        yield from collect_filings(context, window, FORMS, SOURCE, read, daily_index=self.daily_index)

    def _document(self, context: CollectContext, window: Window, filing: Candidate, batch: Batch) -> None:
        fetched: Fetched | None = get_submission_body(context, filing.cik, filing.accession, filing.filed)
        whole = fetched is not None
        if fetched is None:
            fetched = _xml(context, filing)
        if fetched is None:
            context.counts["documents_absent"] += 1
            return
        try:
            payload, accepted = _read(fetched, filing, whole=whole)
            record = _record(context, fetched, filing, payload, accepted)
        except RecordError as error:
            day = filing.accepted_at.date() if filing.accepted_at else filing.filed
            if filing.dated or day in window:
                batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url, day))
            return
        if filing.dated or record.partition_date in window:
            batch.records.append(record)
        else:
            context.counts["outside_window"] += 1


def _read(fetched: Fetched, filing: Candidate, *, whole: bool) -> tuple[dict[str, Any], datetime | None]:
    if not whole:
        accepted = filing.accepted_at
        return ownership_payload(fetched.body, filing.accession, accepted, "submissions", filing.filed), accepted
    submission = read_submission(fetched, filing.accession)
    accepted, source = submission.accepted_at, "header"
    if accepted is None:
        accepted, source = filing.accepted_at, "submissions"
    document = ownership_document(submission)
    return ownership_payload(document, filing.accession, accepted, source, submission.filed), accepted


def _record(
    context: CollectContext, fetched: Fetched, filing: Candidate, payload: dict[str, Any], accepted: datetime | None
) -> RawRecord:
    return context.record(
        fetched,
        source_type=SOURCE,
        entity_id=payload["issuer"]["cik"],
        natural_key=filing.accession,
        form=payload["document_type"],
        event_time=accepted,
        fallback_date=filing.filed,
        payload=payload,
    )


def _xml(context: CollectContext, filing: Candidate) -> Fetched | None:
    """Return the ownership XML by its own URL: the primary document without the style sheet's folder."""
    name = (filing.primary_document or "").rsplit("/", 1)[-1] or _listed_xml(context, filing)
    if not name or not name.lower().endswith(".xml"):
        return None
    path = archive_path(filing.cik, filing.accession, name)
    return context.transport.get(EDGAR_WWW, path, final_after=ALWAYS_FINAL, published=filing.filed)


def _listed_xml(context: CollectContext, filing: Candidate) -> str | None:
    """Return the one XML document that the filing's folder lists, None without one or with several."""
    path = archive_path(filing.cik, filing.accession, "index.json")
    listing = context.transport.get(EDGAR_WWW, path, final_after=ALWAYS_FINAL, published=filing.filed)
    if listing is None:
        return None
    try:
        items = orjson.loads(listing.body)["directory"]["item"]
        names = [item["name"] for item in items if item["name"].lower().endswith(".xml")]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        context.counts["listings_unreadable"] += 1
        return None
    return names[0] if len(names) == 1 else None
