"""Which filings a window holds, and their full submission texts: what the document collectors share.

Filings are found among the `filing_index` records of the universe, among what the current feed announced, and among
its `index_entry` records, EDGAR's daily index: the second finds those that no submissions list has yet, the third those
whose submissions file could not be dated. A filing that the first knows belongs to the day the first gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from signaldelta_assets.errors import RecordError
from signaldelta_assets.warehouse.stores import collection, completeness, feeds

from ..base import EDGAR_WWW, Batch, CollectContext, Window
from ..transport import ALWAYS_FINAL, Fetched, UpstreamError
from .daily_index import unread_days
from .parsers import Submission, parse_submission

# The filing date of a filing accepted on a UTC day: the day before at the earliest (evening forms), after a long
# weekend at the latest.
_FILED_BEFORE, _FILED_AFTER = 1, 6
_BATCH = 50


@dataclass(frozen=True, slots=True)
class Candidate:
    """A filing to fetch. `cik` is a party it can be fetched under; `accepted_at` is the filing index's, None without.

    `dated` says that the filing index puts it into the window; otherwise its own acceptance decides.
    """

    accession: str
    form: str
    cik: str
    filed: date
    accepted_at: datetime | None = None
    primary_document: str | None = None
    dated: bool = False


def archive_path(cik: str, accession: str, name: str) -> str:
    """Return the path of a document of a filing under EDGAR's Archives."""
    return f"/Archives/edgar/data/{int(cik)}/{accession.replace('-', '')}/{name}"


def submission_path(cik: str, accession: str) -> str:
    """Return the path of the full submission text of a filing."""
    return archive_path(cik, accession, f"{accession}.txt")


def get_submission(context: CollectContext, cik: str, accession: str) -> tuple[Fetched, Submission] | None:
    """Return a full submission, None where EDGAR has none. Raises RecordError and UpstreamError."""
    fetched = get_submission_body(context, cik, accession)
    return None if fetched is None else (fetched, read_submission(fetched, accession))


def read_submission(fetched: Fetched, accession: str, *, header_suffices: bool = False) -> Submission:
    """Return the submission of a document received, see `parse_submission`.

    Raises RecordError, also where it says that it was accepted or filed after it was received: what is to come cannot
    have been read. An evening's filing bears the date of the next business day.
    """
    submission = parse_submission(fetched.body, accession, header_suffices=header_suffices)
    accepted, received = submission.accepted_at, fetched.observed_time
    if accepted is not None and accepted > received:
        raise RecordError(accession, "ACCEPTANCE-DATETIME", f"a moment before {received.isoformat()}", accepted)
    if submission.filed > received.date() + timedelta(days=_FILED_AFTER):
        raise RecordError(accession, "FILED AS OF DATE", f"a day not after {received.date()}", submission.filed)
    return submission


def get_submission_body(context: CollectContext, cik: str, accession: str, filed: date | None = None) -> Fetched | None:
    """Return the full submission text of a filing. It never changes, so it is fetched once."""
    path = submission_path(cik, accession)
    fetched = context.transport.get(EDGAR_WWW, path, final_after=ALWAYS_FINAL, published=filed)
    context.upstream_answered()
    return fetched


def collect_filings(
    context: CollectContext,
    window: Window,
    forms: Sequence[str],
    source_type: str,
    read: Callable[[Candidate, Batch], None],
    *,
    daily_index: bool = True,
) -> Iterator[Batch]:
    """Yield batches of filings, by filing date; `read` puts all records of one filing into the batch it is given."""
    filings, batch = find_filings(context, window, forms, source_type, daily_index=daily_index), Batch()
    for done, filing in enumerate(filings, 1):
        if done % _BATCH == 1:
            ahead = filings[done - 1 : done - 1 + _BATCH]
            context.transport.expect(EDGAR_WWW, [submission_path(one.cik, one.accession) for one in ahead])
        try:
            read(filing, batch)
        except UpstreamError as error:
            context.upstream_failed(error)
        if done % _BATCH == 0:
            batch.done, batch.total, batch.text = done, len(filings), filing.filed.isoformat()
            yield batch
            batch = Batch()
    batch.done, batch.total, batch.text = len(filings), len(filings), "done"
    yield batch


def find_filings(
    context: CollectContext, window: Window, forms: Sequence[str], source_type: str, *, daily_index: bool = True
) -> list[Candidate]:
    """Return the filings of these forms to fetch, by filing date.

    Those of which records of this collector version exist are left out and counted.
    """
    entity_ids = [entity.entity_id for entity in context.universe]
    rows = collection.filing_index_rows(context.warehouse, entity_ids, forms, window.start, window.end)
    found = {
        row["accession"]: Candidate(
            row["accession"], row["form"], row["entity_id"], row["filing_date"], row["event_time"],
            row["primary_document"], dated=True,
        )
        for row in rows
    }  # fmt: skip
    listed = {
        row["accession"]: Candidate(
            row["accession"], row["form"], row["entity_id"], row["filing_date"], row["event_time"]
        )
        for row in feeds.announced_filings(context.warehouse, entity_ids, forms, window.start, window.end)
    }
    if daily_index:
        for candidate in _listed(context, window, forms, entity_ids):
            listed.setdefault(candidate.accession, candidate)
    indexed = collection.indexed_accessions(context.warehouse, listed)
    found |= {accession: c for accession, c in listed.items() if accession not in indexed and accession not in found}
    if context.only is not None:
        found = {accession: c for accession, c in found.items() if accession in context.only}
    known = collection.known_keys(context.warehouse, source_type, context.collector.version, found)
    context.counts["filings_found"] += len(found)
    context.counts["filings_known"] += len(known)
    wanted = [candidate for accession, candidate in found.items() if accession not in known]
    return sorted(wanted, key=lambda one: (one.filed, one.accession))


def _listed(
    context: CollectContext, window: Window, forms: Sequence[str], entity_ids: Sequence[str]
) -> Iterator[Candidate]:
    """Yield what the daily indexes list, those of the days around the window on which its filings may be announced."""
    around = window.widened(_FILED_BEFORE, _FILED_AFTER)
    context.counts["daily_indexes_unread"] += len(unread_days(context, around))
    # Filings asked for by name are found in the index of whatever day: some are released weeks after their date.
    rows = completeness.index_entries(
        context.warehouse, entity_ids, forms, around.start, around.end, accessions=context.only
    )
    for row in rows:
        yield Candidate(row["accession"], row["form"], row["entity_id"], row["filed"])
