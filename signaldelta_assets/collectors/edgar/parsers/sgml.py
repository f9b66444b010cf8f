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

from .values import compact_date, padded_cik

_ACCESSION = re.compile(r"\d{10}-\d{2}-\d{6}")
_HEADER_END = re.compile(rb"</(?:SEC|IMS)-HEADER>|<DOCUMENT>")
_ENDS = (b"</SEC-DOCUMENT>", b"</IMS-DOCUMENT>", b"-----END PRIVACY-ENHANCED MESSAGE-----")
_HEADER_ENDS = (b"</SEC-HEADER>", b"</IMS-HEADER>")
_TEXT_START = re.compile(rb"<TEXT>\r?\n?")
_TEXT_END = b"</TEXT>"
_WRAPPER = re.compile(rb"\A\s*<(XML|XBRL|PDF|JSON)>\r?\n?(.*?)\r?\n?</\1>\s*\Z", re.DOTALL)
_ACCEPTED = re.compile(r"<ACCEPTANCE-DATETIME>\s*(\S+)")
_ITEM = re.compile(r"^ITEM INFORMATION:[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
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
    accession = _field(header, "ACCESSION NUMBER")
    if accession is None or not _ACCESSION.fullmatch(accession):
        raise RecordError(record, "ACCESSION NUMBER", "an accession number", accession)
    if accession != record:
        raise RecordError(record, "ACCESSION NUMBER", f"the accession number asked for, {record}", accession)
    form = _field(header, "CONFORMED SUBMISSION TYPE")
    if form is None:
        raise RecordError(record, "CONFORMED SUBMISSION TYPE", "a form type")
    filed = compact_date(record, "FILED AS OF DATE", _field(header, "FILED AS OF DATE"))
    if filed is None:
        raise RecordError(record, "FILED AS OF DATE", "a date YYYYMMDD")
    stamp = _ACCEPTED.search(header)
    parties = tuple(_parties(header, record))
    return Submission(
        accession=accession,
        form=form,
        accepted_at=header_acceptance_to_utc(stamp.group(1)) if stamp else None,
        period=compact_date(record, "CONFORMED PERIOD OF REPORT", _field(header, "CONFORMED PERIOD OF REPORT")),
        filed=date.fromisoformat(filed),
        item_lines=tuple(_ITEM.findall(header)),
        parties=parties,
        documents=tuple(_documents(body)),
    )


def _field(header: str, label: str) -> str | None:
    found = re.search(rf"^[ \t]*{re.escape(label)}:[ \t]*(\S.*?)[ \t\r]*$", header, re.MULTILINE)
    return found.group(1) if found else None


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


def _documents(body: bytes) -> list[SubmissionDocument]:
    documents: list[SubmissionDocument] = []
    position = 0
    while (start := body.find(b"<DOCUMENT>", position)) >= 0:
        text = _TEXT_START.search(body, start)
        if text is None:
            break
        # The document ends with its last </TEXT> before </DOCUMENT>: a text may quote the tag itself.
        close = body.find(b"</DOCUMENT>", text.end())
        close = len(body) if close < 0 else close
        end = body.rfind(_TEXT_END, text.end(), close)
        content = body[text.end() : close if end < 0 else end]
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
