"""The text format of an EDGAR submission: reading its header, cutting out its documents, writing one.

Source: EDGAR Public Dissemination Service Technical Specification. `<ACCEPTANCE-DATETIME>` is Eastern wall time.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from .archive import Document, Filing, FilingDocument, Party

ACCESSION = re.compile(r"\d{10}-\d{2}-\d{6}")

# 8-K items by number (in force since 2004-08-23), as EDGAR spells them out in ITEM INFORMATION lines.
ITEM_NAMES = {
    "1.01": "Entry into a Material Definitive Agreement",
    "1.02": "Termination of a Material Definitive Agreement",
    "2.01": "Completion of Acquisition or Disposition of Assets",
    "2.02": "Results of Operations and Financial Condition",
    "2.03": "Creation of a Direct Financial Obligation or an Obligation under an Off-Balance Sheet Arrangement of a "
    "Registrant",
    "2.05": "Cost Associated with Exit or Disposal Activities",
    "3.03": "Material Modifications to Rights of Security Holders",
    "5.02": "Departure of Directors or Certain Officers; Election of Directors; Appointment of Certain Officers: "
    "Compensatory Arrangements of Certain Officers",
    "5.07": "Submission of Matters to a Vote of Security Holders",
    "7.01": "Regulation FD Disclosure",
    "8.01": "Other Events",
    "9.01": "Financial Statements and Exhibits",
}

_ROLES = {
    "FILER": "filer",
    "ISSUER": "issuer",
    "REPORTING-OWNER": "reporting-owner",
    "SUBJECT COMPANY": "subject",
    "FILED BY": "filed-by",
    "FILED FOR": "filed-for",
}
# `(?:-----END ...)`: header pages and shortened fixtures have no closing tag of their own.
_HEADER_END = re.compile(rb"</(?:SEC|IMS)-HEADER>|<DOCUMENT>")
_DOCUMENT = re.compile(rb"<DOCUMENT>\s*(.*?)</DOCUMENT>", re.DOTALL)
_TEXT = re.compile(rb"<TEXT>\r?\n?(.*)</TEXT>", re.DOTALL)
_WRAPPER = re.compile(rb"\A<(XML|XBRL|PDF|JSON)>\r?\n?(.*?)\r?\n?</\1>\s*\Z", re.DOTALL)
_MEDIA = {
    "xml": "text/xml",
    "xsd": "text/xml",
    "htm": "text/html",
    "html": "text/html",
    "txt": "text/plain",
    "json": "application/json",
    "jpg": "image/jpeg",
    "gif": "image/gif",
    "png": "image/png",
    "pdf": "application/pdf",
    "zip": "application/zip",
}


def media_type(name: str) -> str:
    """Return the media type EDGAR's web server gives a file of this name."""
    return _MEDIA.get(name.rsplit(".", 1)[-1].lower(), "application/octet-stream")


def compact(accession: str) -> str:
    """Return the accession number without dashes: the name of its folder under Archives."""
    return accession.replace("-", "")


def dashed(folder: str) -> str:
    """Return the accession number of a folder name of 18 digits."""
    return f"{folder[:10]}-{folder[10:12]}-{folder[12:]}"


def header_of(raw: bytes) -> str:
    """Return the header part of a submission, decoded; header bytes are Latin-1 at worst."""
    end = _HEADER_END.search(raw)
    return raw[: end.start() if end else len(raw)].decode("latin-1")


def _field(header: str, label: str) -> str | None:
    found = re.search(rf"^\s*{label}:[ \t]*(\S.*?)\s*$", header, re.MULTILINE)
    return found.group(1) if found else None


def _parties(header: str) -> Iterator[Party]:
    role, name = "filer", ""
    for line in header.splitlines():
        label, _, value = line.strip().partition(":")
        if not value.strip() and label in _ROLES:
            role = _ROLES[label]
        elif label == "COMPANY CONFORMED NAME":
            name = value.strip()
        elif label == "CENTRAL INDEX KEY" and value.strip().isdigit():
            yield Party(int(value), name, role)


def parse_header(header: str, source: str) -> Filing | None:
    """Return what a submission header says, or None where it has no accession number."""
    accession = _field(header, "ACCESSION NUMBER")
    if accession is None or not ACCESSION.fullmatch(accession):
        return None
    accepted = re.search(r"<ACCEPTANCE-DATETIME>\s*(\d{14})", header)
    filed = _field(header, "FILED AS OF DATE")
    parties = {(party.cik, party.role): party for party in _parties(header)}
    return Filing(
        accession=accession,
        form=_field(header, "CONFORMED SUBMISSION TYPE") or "",
        # Both stamps stay what the header says: Eastern, without a zone.
        filed=datetime.strptime(filed[:8], "%Y%m%d").date() if filed else None,  # noqa: DTZ007
        accepted=datetime.strptime(accepted.group(1), "%Y%m%d%H%M%S") if accepted else None,  # noqa: DTZ007
        period=_field(header, "CONFORMED PERIOD OF REPORT"),
        items=tuple(re.findall(r"^ITEM INFORMATION:[ \t]*(.*?)\s*$", header, re.MULTILINE)),
        parties=tuple(parties.values()),
        source=source,
    )


def parse_dissemination(header: str, source: str) -> Filing | None:
    """Return what the tagged header of the dissemination feed (`<SUBMISSION>`) says, or None without an accession."""

    def value(tag: str, text: str = header) -> str | None:
        found = re.search(rf"<{tag}>([^<\r\n]+)", text)
        return found.group(1).strip() if found else None

    accession, filed, accepted = value("ACCESSION-NUMBER"), value("FILING-DATE"), value("ACCEPTANCE-DATETIME")
    if accession is None:
        return None
    parties = []
    for tag, role in _ROLES.items():
        name = tag.replace(" ", "-")
        for block in re.findall(rf"<{name}>(.*?)</{name}>", header, re.DOTALL):
            cik = value("CIK", block)
            if cik:
                parties.append(Party(int(cik), value("CONFORMED-NAME", block) or "", role))
    return Filing(
        accession=accession,
        form=value("TYPE") or "",
        filed=datetime.strptime(filed, "%Y%m%d").date() if filed else None,  # noqa: DTZ007 - Eastern, as written
        accepted=datetime.strptime(accepted, "%Y%m%d%H%M%S") if accepted else None,  # noqa: DTZ007
        period=value("PERIOD"),
        items=(),
        parties=tuple(parties),
        source=source,
    )


def _tag(head: bytes, tag: bytes) -> str:
    found = re.search(rb"<" + tag + rb">([^<\r\n]*)", head)
    return found.group(1).decode("latin-1").strip() if found else ""


def _uudecode(body: bytes) -> bytes:
    lines = body.split(b"\n")
    begin = next(i for i, line in enumerate(lines) if line.startswith(b"begin "))
    out = bytearray()
    for line in lines[begin + 1 :]:
        if line.strip() in (b"end", b"`", b""):
            break
        try:
            out += binascii.a2b_uu(line)
        except binascii.Error:
            # Some encoders append blanks after the counted characters; the length octet says how many count.
            out += binascii.a2b_uu(line[: (((line[0] - 32) & 63) * 4 + 5) // 3])
    return bytes(out)


def documents(raw: bytes) -> Iterator[tuple[FilingDocument, bytes]]:
    """Yield each document of a submission with its own bytes: wrapper tags removed, uuencoded ones decoded."""
    for match in _DOCUMENT.finditer(raw):
        block = match.group(1)
        text = _TEXT.search(block)
        head = block[: text.start()] if text else block
        body = text.group(1) if text else b""
        wrapped = _WRAPPER.match(body)
        if wrapped:
            body = wrapped.group(2)
        if body.lstrip().startswith(b"begin 6"):
            body = _uudecode(body.lstrip())
        yield FilingDocument(_tag(head, b"FILENAME"), _tag(head, b"TYPE"), len(body)), body


def find_document(raw: bytes, name: str, source: str) -> Document | None:
    """Return the document called `name` out of a submission, or None."""
    for entry, body in documents(raw):
        if entry.name == name:
            return Document(body, media_type(name), source, assembled=True)
    return None


def _party_lines(party: Party, form: str, file_number: str) -> list[str]:
    head = {v: k for k, v in _ROLES.items()}[party.role]
    data = "OWNER DATA" if party.role == "reporting-owner" else "COMPANY DATA"
    lines = [
        "",
        f"{head}:",
        "",
        f"\t{data}:\t",
        f"\t\tCOMPANY CONFORMED NAME:\t\t\t{party.name}",
        f"\t\tCENTRAL INDEX KEY:\t\t\t{party.cik:010d}",
    ]
    if party.role != "issuer":
        lines += ["", "\tFILING VALUES:", f"\t\tFORM TYPE:\t\t{form}", "\t\tSEC ACT:\t\t1934 Act"]
        lines += [f"\t\tSEC FILE NUMBER:\t{file_number}"] if file_number else []
    return lines


def write_submission(filing: Filing, parts: Sequence[tuple[str, str, str]], file_number: str = "") -> bytes:
    """Return the full submission text of `filing`; `parts` are (type, file name, text) in sequence.

    A filing without acceptance time gets a header without one: a time that was not recorded is not invented.
    """
    filed = f"{filing.filed:%Y%m%d}" if filing.filed else ""
    lines = [
        f"<SEC-DOCUMENT>{filing.accession}.txt : {filed}",
        f"<SEC-HEADER>{filing.accession}.hdr.sgml : {filed}",
    ]
    if filing.accepted is not None:
        lines.append(f"<ACCEPTANCE-DATETIME>{filing.accepted:%Y%m%d%H%M%S}")
    lines += [
        f"ACCESSION NUMBER:\t\t{filing.accession}",
        f"CONFORMED SUBMISSION TYPE:\t{filing.form}",
        f"PUBLIC DOCUMENT COUNT:\t\t{len(parts)}",
    ]
    lines += [f"CONFORMED PERIOD OF REPORT:\t{filing.period}"] if filing.period else []
    lines += [f"ITEM INFORMATION:\t\t{item}" for item in filing.items]
    lines += [f"FILED AS OF DATE:\t\t{filed}", f"DATE AS OF CHANGE:\t\t{filed}"] if filed else []
    for party in filing.parties:
        lines += _party_lines(party, filing.form, file_number)
    lines.append("</SEC-HEADER>")
    for sequence, (kind, name, text) in enumerate(parts, 1):
        body = f"<XML>\n{text}\n</XML>" if name.endswith(".xml") else text
        lines += ["<DOCUMENT>", f"<TYPE>{kind}", f"<SEQUENCE>{sequence}", f"<FILENAME>{name}", "<TEXT>", body]
        lines += ["</TEXT>", "</DOCUMENT>"]
    return ("\n".join([*lines, "</SEC-DOCUMENT>"]) + "\n").encode("utf-8")
