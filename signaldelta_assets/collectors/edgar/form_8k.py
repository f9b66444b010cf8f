"""Collects `edgar/form_8k`: one record per 8-K and registrant, from the full submission text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from signaldelta_assets.errors import RecordError

from ..base import EDGAR, Batch, CollectContext, Collector, Schedule, Window, register_collector
from .filings import Candidate, collect_filings, get_submission_body, read_submission
from .parsers import form_8k_payload

SOURCE = "form_8k"
FORMS = ("8-K", "8-K/A")


@register_collector
class Form8KCollector(Collector):
    """Forms 8-K and 8-K/A of the registrants of the universe."""

    name = "edgar/form_8k"
    source_types = (SOURCE,)
    schema_version = "form_8k/1"
    schedule = Schedule("15,45 6-22 * * 1-5")
    upstream = EDGAR
    modules = (
        "signaldelta_assets.collectors.edgar.filings",
        "signaldelta_assets.collectors.edgar.parsers.form8k",
        "signaldelta_assets.collectors.edgar.parsers.items",
        "signaldelta_assets.collectors.edgar.parsers.sgml",
        "signaldelta_assets.collectors.edgar.parsers.text",
        "signaldelta_assets.collectors.edgar.parsers.values",
    )
    after = ("edgar/submissions", "edgar/daily_index", "edgar/current")
    forms = FORMS
    # Also look filings up in EDGAR's daily index.
    daily_index = True

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield batches of filings, by filing date; the records of one filing are never parted."""
        read = partial(self._filing, context, window)
        yield from collect_filings(context, window, FORMS, SOURCE, read, daily_index=self.daily_index)

    def _filing(self, context: CollectContext, window: Window, filing: Candidate, batch: Batch) -> None:
        fetched = get_submission_body(context, filing.cik, filing.accession, filing.filed)
        if fetched is None:
            context.counts["documents_absent"] += 1
            return
        try:
            submission = read_submission(fetched, filing.accession)
            # Headers of the 1990s carry no acceptance time: the filing index's stands in, as far as it is known.
            accepted = submission.accepted_at or filing.accepted_at
            records = [
                context.record(
                    fetched,
                    source_type=SOURCE,
                    entity_id=cik,
                    natural_key=filing.accession,
                    form=submission.form,
                    event_time=accepted,
                    fallback_date=submission.filed,
                    payload=payload | {"accepted_at": None if accepted is None else accepted.isoformat()},
                )
                for cik, payload in form_8k_payload(submission)
            ]
        except RecordError as error:
            day = filing.accepted_at.date() if filing.accepted_at else filing.filed
            if filing.dated or day in window:
                batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url, day))
            return
        if filing.dated or records[0].partition_date in window:
            batch.records += records
        else:
            context.counts["outside_window"] += 1
