"""The full submission text: its header, the parties it names, and the documents it holds.

Source: EDGAR Public Dissemination Service Technical Specification. `<ACCEPTANCE-DATETIME>` is Eastern wall time and
the authority on when a filing was accepted; headers of the 1990s have none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import header_acceptance_to_utc

from .values import ACCESSION, EDGAR_SINCE, compact_date, filed_date, form_type, padded_cik

_HEADER_END = re.compile(rb"</(?:SEC|IMS)-HEADER>|<DOCUMENT>")
_ENDS = (b"</SEC-DOCUMENT>", b"</IMS-DOCUMENT>", b"-----END PRIVACY-ENHANCED MESSAGE-----")
_HEADER_ENDS = (b"</SEC-HEADER>", b"</IMS-HEADER>")
_TEXT_START = re.compile(rb"<TEXT>\r?\n?")
_TEXT_END = b"</TEXT>"
_WRAPPER = re.compile(rb"\A\s*<(XML|XBRL|PDF|JSON)>\r?\n?(.*?)\r?\n?</\1>\s*\Z", re.DOTALL)
_ACCEPTED = re.compile(r"<ACCEPTANCE-DATETIME>\s*(\S+)")
_ITEM = re.compile(r"^ITEM INFORMATION:(.*)$", re.MULTILINE)
_ROLES = {
    "FILER": "filer",
    "ISSUER": "issuer",
    "REPORTING-OWNER": "reporting-owner",
    "SUBJECT COMPANY": "subject",
    "FILED BY": "filed-by",
    "FILED FOR": "filed-for",
}


@dataclass(frozen=True, slots=True)
class Party:
    """A company or person of a submission; `role` is filer, issuer, reporting-owner, subject, filed-by, filed-for."""

    role: str
    cik: str
    name: str


@dataclass(frozen=True, slots=True)
class SubmissionDocument:
    """One document inside a submission. `body` is its text without the wrapper tags."""

    type: str
    sequence: str
    filename: str
    description: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """A full submission: what its header says and the documents, in their order."""

    accession: str
    form: str
    accepted_at: datetime | None
    period: str | None
    filed: date
    item_lines: tuple[str, ...]
    parties: tuple[Party, ...]
    documents: tuple[SubmissionDocument, ...]

    def named(self, role: str) -> tuple[Party, ...]:
        """Return the parties in that role, in the header's order."""
        return tuple(party for party in self.parties if party.role == role)


def parse_submission(body: bytes, record: str, *, header_suffices: bool = False) -> Submission:
    """Read a full submission text. `record` names it in errors; it must be the accession the header states.

    With `header_suffices` a text that ends with its header is whole too: a submission without documents.
    """
    if not body.rstrip().endswith((*_ENDS, *_HEADER_ENDS) if header_suffices else _ENDS):
        raise RecordError(record, "body", "a whole submission that ends with its closing tag", body[-60:])
    end = _HEADER_END.search(body)
    if end is None:
        raise RecordError(record, "header", "a submission header", body[:60])
    header = body[: end.start()].decode("latin-1")
    if "\0" in header:
        raise RecordError(record, "header", "text without NUL characters")
    accession = _field(header, "ACCESSION NUMBER")
    if accession is None or not ACCESSION.fullmatch(accession):
        raise RecordError(record, "ACCESSION NUMBER", "an accession number", accession)
    if accession != record:
        raise RecordError(record, "ACCESSION NUMBER", f"the accession number asked for, {record}", accession)
    form = form_type(record, "CONFORMED SUBMISSION TYPE", _field(header, "CONFORMED SUBMISSION TYPE"))
    label = "FILED AS OF DATE"
    filed = filed_date(record, label, compact_date(record, label, _field(header, label)))
    stamp = _ACCEPTED.search(header)
    accepted = header_acceptance_to_utc(stamp.group(1)) if stamp else None
    if accepted is not None and accepted.date() < EDGAR_SINCE:
        raise RecordError(record, "ACCEPTANCE-DATETIME", f"a moment from {EDGAR_SINCE} on", accepted)
    parties = tuple(_parties(header, record))
    return Submission(
        accession=accession,
        form=form,
        accepted_at=accepted,
        period=compact_date(record, "CONFORMED PERIOD OF REPORT", _field(header, "CONFORMED PERIOD OF REPORT")),
        filed=filed,
        item_lines=tuple(line.strip() for line in _ITEM.findall(header)),
        parties=parties,
        documents=tuple(_documents(body, record)),
    )


def _field(header: str, label: str) -> str | None:
    found = re.search(rf"^[ \t]*{re.escape(label)}:[ \t]*(\S.*)$", header, re.MULTILINE)
    return found.group(1).rstrip() if found else None


def _parties(header: str, record: str) -> list[Party]:
    role, name = None, ""
    parties: list[Party] = []
    for line in header.splitlines():
        label, _, value = line.strip().partition(":")
        value = value.strip()
        if not value and label in _ROLES:
            role, name = _ROLES[label], ""
        elif label == "COMPANY CONFORMED NAME":
            name = value
        elif label == "CENTRAL INDEX KEY" and role is not None:
            party = Party(role, padded_cik(record, "CENTRAL INDEX KEY", value), name)
            # A filer with several file numbers is listed once for each of them.
            if all((known.role, known.cik) != (party.role, party.cik) for known in parties):
                parties.append(party)
    return parties


def _documents(body: bytes, record: str) -> list[SubmissionDocument]:
    documents: list[SubmissionDocument] = []
    position = 0
    while (start := body.find(b"<DOCUMENT>", position)) >= 0:
        # The document ends with its last </TEXT> before </DOCUMENT>: a text may quote the tag itself.
        close = body.find(b"</DOCUMENT>", start)
        text = _TEXT_START.search(body, start, close) if close > 0 else None
        end = -1 if text is None else body.rfind(_TEXT_END, text.end(), close)
        if text is None or end < 0:
            # What is left out here would be taken for what was never filed.
            where = f"{record}:DOCUMENT[{len(documents) + 1}]"
            raise RecordError(where, "TEXT", "a document whose text is there and closed", body[start : start + 200])
        content = body[text.end() : end]
        wrapped = _WRAPPER.match(content)
        head = body[start : text.start()].decode("latin-1")
        documents.append(
            SubmissionDocument(
                _tag(head, "TYPE"),
                _tag(head, "SEQUENCE"),
                _tag(head, "FILENAME"),
                _tag(head, "DESCRIPTION"),
                wrapped.group(2) if wrapped else content,
            )
        )
        position = close
    return documents


def _tag(head: str, tag: str) -> str:
    found = re.search(rf"<{tag}>([^\r\n]*)", head)
    return found.group(1).strip() if found else ""
