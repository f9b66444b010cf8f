"""Every parser as its collector uses it: bytes in; records, and refusals that name record and field, out.

Whatever else comes out (another exception, a record that cannot be named or kept) fails the test.
"""

from __future__ import annotations

import math
from datetime import UTC
from typing import Any

from signaldelta_assets.collectors.edgar.filings import read_submission
from signaldelta_assets.collectors.edgar.parsers import (
    company_facts_payload,
    entry_role_payloads,
    form_8k_payload,
    form_144_payload,
    is_feed,
    parse_company_facts,
    parse_current_feed,
    parse_daily_index,
    parse_form_144,
    parse_litigation_feed,
    parse_litigation_list,
    parse_main,
    parse_page,
    parse_schedule_13,
    release_payload,
    role_payloads,
)
from signaldelta_assets.collectors.edgar.parsers.ownership import ownership_document, ownership_payload
from signaldelta_assets.collectors.edgar.parsers.xml import xml_document
from signaldelta_assets.collectors.transport import Fetched
from signaldelta_assets.contracts import QuarantinedRecord, RawRecord
from signaldelta_assets.errors import RecordError

from .making import OBSERVED, Out, Reader, record_of
from .market_readers import MARKET_READERS

# Years that a moment of a record may be in; market facts can be announced for days to come.
FIRST, LAST = 1800, 2100


def _fetched(body: bytes) -> Fetched:
    return Fetched("https://example.invalid/x", 200, body, "0" * 64, OBSERVED, None)


def ownership(body: bytes, record: str) -> Out:
    yield record_of("ownership", record, ownership_payload(body, record, OBSERVED, "header", None), OBSERVED)


def ownership_text(body: bytes, record: str) -> Out:
    submission = read_submission(_fetched(body), record)
    payload = ownership_payload(
        ownership_document(submission), record, submission.accepted_at, "header", submission.filed
    )
    yield record_of("ownership", record, payload, submission.accepted_at, payload["document_type"])


def form_144(body: bytes, record: str) -> Out:
    yield record_of("form_144", record, parse_form_144(body, record), OBSERVED)


def form_144_text(body: bytes, record: str) -> Out:
    submission = read_submission(_fetched(body), record)
    document = xml_document(submission)
    if document is None:
        raise RecordError(record, "DOCUMENT", "a Form 144 as XML")
    payload = form_144_payload(submission, document, submission.accepted_at)
    yield record_of("form_144", record, payload, submission.accepted_at)


def form_8k(body: bytes, record: str) -> Out:
    submission = read_submission(_fetched(body), record)
    for cik, payload in form_8k_payload(submission):
        yield record_of("form_8k", f"{record}{cik}", payload, submission.accepted_at, submission.form)


def roles(body: bytes, record: str) -> Out:
    submission = read_submission(_fetched(body), record, header_suffices=True)
    for cik, payload in role_payloads(submission, submission.accepted_at):
        yield record_of("filing_role", f"{record}{cik}", payload, submission.accepted_at, submission.form)


def schedule(body: bytes, record: str) -> Out:
    found = parse_schedule_13(body, record)
    yield record_of("filing_role", record, {"issuer": found.issuer, "persons": list(found.persons)}, None)


def index(body: bytes, record: str) -> Out:
    for entry in parse_daily_index(body, record):
        if isinstance(entry, RecordError):
            yield entry
            continue
        payload = {"company": entry.company, "form": entry.form, "file_name": entry.path, "filed": str(entry.filed)}
        assert entry.filed.year >= 1993
        yield record_of("index_entry", f"{entry.accession}|{entry.form}", payload, None, entry.form)


def feed(body: bytes, record: str) -> Out:
    if not is_feed(body):
        raise RecordError(record, "body", "a page of the feed")
    for entry in parse_current_feed(body, record):
        if isinstance(entry, RecordError):
            yield entry
            continue
        payload = {"role": entry.party.role, "name": entry.party.name, "filed": str(entry.filed)}
        yield record_of(
            "current_entry", f"{entry.accession}/{entry.party.role}", payload, entry.accepted_at, entry.form
        )
        try:
            found = entry_role_payloads([entry])
        except RecordError:
            # Half a filing: the feed shows the rest on another page.
            continue
        for cik, role in found:
            yield record_of("filing_role", f"{entry.accession}{cik}", role, entry.accepted_at, entry.form)


def litigation_feed(body: bytes, record: str) -> Out:
    for item in parse_litigation_feed(body, record):
        if isinstance(item, RecordError):
            yield item
            continue
        yield record_of("litigation", item.number, {"title": item.title, "link": item.link}, item.published)


def litigation_list(body: bytes, record: str) -> Out:
    for release in parse_litigation_list(body, record):
        assert release.path.isascii() and release.path.isprintable()
        yield record_of("litigation", f"LR-{release.number}", {"path": release.path}, None)


def litigation_page(body: bytes, record: str) -> Out:
    yield record_of("litigation", f"LR-{record}", release_payload(body, record), None)


def _listed(frame: Any) -> Out:
    for row in frame.to_dict("records"):
        moment = row.pop("accepted_raw")
        assert int(row["filing_date"][:4]) >= 1993
        # As the collector writes them.
        payload = row | {"size": None if row["size"] is None else int(row["size"]), "is_xbrl": bool(row["is_xbrl"])}
        # What is still to come the collector refuses, which knows when it was received.
        is_past = moment is not None and moment == moment and moment <= OBSERVED.replace(tzinfo=None)
        when = moment.to_pydatetime().replace(tzinfo=UTC) if is_past else None
        yield record_of("filing_index", row["accession"], payload, when, row["form"])


def submissions(body: bytes, record: str) -> Out:
    main = parse_main(body, record)
    yield from main.bad_rows
    former = [[one.name, str(one.valid_from), str(one.valid_to)] for one in main.former_names]
    payload = {"name": main.name, "tickers": list(main.tickers), "former": former, "sic": main.sic}
    yield record_of("security", main.cik, payload | {"pages": [page.name for page in main.pages]}, None)
    yield from _listed(main.rows)


def submissions_page(body: bytes, record: str) -> Out:
    rows, bad = parse_page(body, record)
    yield from bad
    yield from _listed(rows)


def companyfacts(body: bytes, record: str) -> Out:
    found = parse_company_facts(body, record)
    for _, error in found.bad:
        yield error
    for accession, filing in found.filings.items():
        payload = company_facts_payload(found.cik, filing, filing.form, None)
        yield record_of("xbrl_facts", accession, payload, None, filing.form)


READERS: dict[str, Reader] = {
    "ownership": ownership,
    "ownership_text": ownership_text,
    "form_144": form_144,
    "form_144_text": form_144_text,
    "form_8k": form_8k,
    "roles": roles,
    "schedule": schedule,
    "index": index,
    "feed": feed,
    "litigation_feed": litigation_feed,
    "litigation_list": litigation_list,
    "litigation_page": litigation_page,
    "submissions": submissions,
    "submissions_page": submissions_page,
    "companyfacts": companyfacts,
    **MARKET_READERS,
}


def read(kind: str, body: bytes, record: str) -> tuple[list[RawRecord], list[RecordError]]:
    """Take a document through its reader; return records and refusals, both checked. Never neither."""
    records: list[RawRecord] = []
    refused: list[RecordError] = []
    try:
        for one in READERS[kind](body, record):
            (refused if isinstance(one, RecordError) else records).append(one)  # type: ignore[arg-type]
    except RecordError as error:
        refused.append(error)
    for one in records:
        _check_record(one)
    for error in refused:
        _check_refusal(error)
    return records, refused


def _check_record(record: RawRecord) -> None:
    assert b"\\u0000" not in record.payload_text.replace(b"\\\\", b"")
    if record.event_time is not None:
        assert FIRST <= record.event_time.year <= LAST
    left: list[Any] = [record.payload]
    while left:
        value = left.pop()
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        assert not isinstance(value, float) or math.isfinite(value)


def _check_refusal(error: RecordError) -> None:
    kept = QuarantinedRecord.from_error(
        error, source_type="s", body_hash="0" * 64, source_url="https://example.invalid/x"
    )
    assert kept.record and kept.field and kept.expected
    for text in (kept.record, kept.field, kept.expected, kept.found or ""):
        assert "\0" not in text
        text.encode("utf-8")
    assert len(kept.found or "") <= 500 and len(kept.record) <= 1000
