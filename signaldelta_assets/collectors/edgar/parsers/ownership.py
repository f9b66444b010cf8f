"""Ownership documents (Forms 3, 4, 5 and amendments) to the `ownership` payload.

Source: EDGAR Ownership XML Technical Specification. Decimals stay text, exactly as in the document; an empty value is
null. Lines are numbered from 1 within their table, transactions and holdings together, in the document's order.

Hundreds of thousands of these are read in a backfill. So every element is looked at once, in the document's order, and
a text is folded only where it holds something to fold.
"""

from __future__ import annotations

from datetime import date, datetime
from itertools import chain
from typing import Any

from signaldelta_assets.errors import RecordError

from .sgml import Submission
from .values import decimal, folded, iso_date, padded_cik
from .xml import parse_xml

_DOCUMENT_TYPES = frozenset({"3", "3/A", "4", "4/A", "5", "5/A"})
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False, "Y": True, "N": False}
_TABLES = {"nonDerivativeTable": "nonDerivative", "derivativeTable": "derivative"}
_LINES = ("Transaction", "Holding")
_PRICE = "transactionPricePerShare"

# The texts of a part of a document by element name, the first of each; without those that are empty. Within a line, an
# owner or an issuer every name has one place, so the way to it tells nothing more.
Texts = dict[str, str]


def parse_ownership(body: bytes, record: str) -> dict[str, Any]:
    """Read an ownershipDocument: the payload without accession, acceptance and filing date.

    No entities are expanded, nothing is fetched, nothing is repaired. Raises RecordError.
    """
    root = parse_xml(body, record)
    if root.tag != "ownershipDocument":
        raise RecordError(record, "root", "ownershipDocument", root.tag)
    top: Texts = {}
    issuer: Texts = {}
    owners: list[dict[str, Any]] = []
    signatures: list[dict[str, Any]] = []
    footnotes: dict[str, str] = {}
    lines: dict[str, list[dict[str, Any]]] = {f"{kind}{what}": [] for kind in _TABLES.values() for what in _LINES}
    for child in root:
        tag = child.tag
        if tag in _TABLES:
            if any(lines[f"{_TABLES[tag]}{what}"] for what in _LINES):
                raise RecordError(record, tag, "one table of each kind", "several")
            _read_lines(child, _TABLES[tag], record, lines)
        elif tag == "reportingOwner":
            owners.append(_owner(_texts(child), record))
        elif tag == "ownerSignature":
            signatures.append(_signature(_texts(child), record))
        elif tag == "footnotes":
            for note in child.iterchildren("footnote"):
                name = note.get("id", "")
                if name in footnotes:
                    raise RecordError(record, "footnotes", "each id once", name)
                footnotes[name] = _clean("".join(note.itertext()))
        elif tag == "issuer":
            if issuer:
                raise RecordError(record, "issuer", "one issuer", _texts(child).get("issuerCik"))
            issuer = _texts(child)
        elif len(child) and child.find(".//securityTitle") is not None:
            # Lines out of a table would be lost.
            raise RecordError(record, tag, "lines in one of the two tables", tag)
        else:
            top = _texts(child) | top
    document_type = top.get("documentType")
    if document_type not in _DOCUMENT_TYPES:
        raise RecordError(record, "documentType", "3, 4, 5 or an amendment of them", document_type)
    payload: dict[str, Any] = {
        "document_type": document_type,
        "schema_version": top.get("schemaVersion"),
        "period_of_report": iso_date(record, "periodOfReport", top.get("periodOfReport")),
        "date_of_original_submission": iso_date(
            record, "dateOfOriginalSubmission", top.get("dateOfOriginalSubmission")
        ),
        "issuer": {
            "cik": padded_cik(record, "issuer.issuerCik", issuer.get("issuerCik")),
            "name": issuer.get("issuerName"),
            "symbol": issuer.get("issuerTradingSymbol"),
        },
        "owners": owners,
        "not_subject_to_section16": _boolean(top, "notSubjectToSection16", record),
        "aff10b5_one": _boolean(top, "aff10b5One", record),
        "non_derivative_transactions": lines["nonDerivativeTransaction"],
        "non_derivative_holdings": lines["nonDerivativeHolding"],
        "derivative_transactions": lines["derivativeTransaction"],
        "derivative_holdings": lines["derivativeHolding"],
        "footnotes": footnotes,
        "remarks": top.get("remarks"),
        "signatures": signatures,
    }
    if not owners:
        raise RecordError(record, "reportingOwner", "at least one reporting owner")
    if payload["period_of_report"] is None:
        raise RecordError(record, "periodOfReport", "a date YYYY-MM-DD")
    return payload


def ownership_payload(
    body: bytes, accession: str, accepted_at: datetime | None, source: str | None, filing_date: date | None
) -> dict[str, Any]:
    """Return the whole payload of a document; `source` says where `accepted_at` is from: header or submissions."""
    return {
        "accession": accession,
        "accepted_at": None if accepted_at is None else accepted_at.isoformat(),
        "acceptance_source": None if accepted_at is None else source,
        "filing_date": None if filing_date is None else filing_date.isoformat(),
    } | parse_ownership(body, accession)


def ownership_document(submission: Submission) -> bytes:
    """Return the ownership XML of a full submission. Raises RecordError where it holds none."""
    for document in submission.documents:
        if document.filename.lower().endswith(".xml") and document.type in _DOCUMENT_TYPES:
            return document.body
    found = ", ".join(f"{document.type} {document.filename}" for document in submission.documents)
    # Paper-era filings before June 2003 are plain text and hold no lines that could be read.
    raise RecordError(submission.accession, "DOCUMENT", "an ownership XML document", found)


def _texts(element: Any, notes: dict[str, list[str]] | None = None) -> Texts:
    """Return the texts of an element and all below it; a <value> is the text of what holds it.

    The ids of footnotes are added to `notes`, by the name of what they stand at.
    """
    texts: Texts = {}
    name = ""
    for one in element.iter():
        tag = one.tag
        if tag == "footnoteId":
            if notes is not None:
                notes.setdefault(name, []).append(one.get("id", ""))
            continue
        if tag != "value":
            name = tag
        text = one.text
        if text is None or name in texts:
            continue
        if len(one) and not text.isspace():
            # No schema has text beside elements. Where a document has, all of it is the text.
            text = "".join(one.itertext())
        text = _clean(text)
        if text:
            texts[name] = text
    return texts


def _clean(text: str) -> str:
    """Return the text without line ends, blanks folded."""
    if text.isascii() and text.isprintable() and "  " not in text:
        # What nearly all are: nothing to fold.
        return text.strip()
    return folded(text.replace("\n", " "))


def _boolean(part: Texts, name: str, record: str, prefix: str = "") -> bool | None:
    text = part.get(name)
    if text is None:
        return None
    if (value := _BOOLEANS.get(text) if text in _BOOLEANS else _BOOLEANS.get(text.lower())) is None:
        raise RecordError(record, prefix + name, "1, 0, true or false", text)
    return value


def _decimal(part: Texts, name: str, record: str, prefix: str = "") -> str | None:
    return decimal(record, prefix + name, part.get(name))


def _signature(part: Texts, record: str) -> dict[str, Any]:
    return {
        "name": part.get("signatureName"),
        "date": iso_date(record, "signatureDate", part.get("signatureDate")),
    }


def _owner(part: Texts, record: str) -> dict[str, Any]:
    def flag(name: str) -> bool:
        return bool(_boolean(part, name, record, "reportingOwnerRelationship/"))

    return {
        "cik": padded_cik(record, "reportingOwner.rptOwnerCik", part.get("rptOwnerCik")),
        "name": part.get("rptOwnerName"),
        "is_director": flag("isDirector"),
        "is_officer": flag("isOfficer"),
        "is_ten_percent_owner": flag("isTenPercentOwner"),
        "is_other": flag("isOther"),
        "officer_title": part.get("officerTitle"),
        "other_text": part.get("otherText"),
    }


def _read_lines(table: Any, kind: str, record: str, lines: dict[str, list[dict[str, Any]]]) -> None:
    """Add the lines of a table, numbered together."""
    for number, element in enumerate(table, 1):
        tag = element.tag
        if tag not in lines or not tag.startswith(kind):
            # What is left out would be taken for what was never reported.
            raise RecordError(f"{record}:{tag}[{number}]", "line", f"a {kind}Transaction or {kind}Holding", tag)
        transaction = tag.endswith("Transaction")
        where = f"{record}:{tag}[{number}]"
        lines[tag].append(_line(element, number, where, transaction=transaction, derivative=kind == "derivative"))


def _line(element: Any, number: int, where: str, *, transaction: bool, derivative: bool) -> dict[str, Any]:
    notes: dict[str, list[str]] = {}
    part = _texts(element, notes)
    text = part.get
    line: dict[str, Any] = {"line": number, "security_title": text("securityTitle")}
    if transaction:
        acquired = text("transactionAcquiredDisposedCode")
        if acquired not in ("A", "D", None):
            raise RecordError(where, "transactionAcquiredDisposedCode", "A or D", acquired)
        line["transaction_date"] = iso_date(where, "transactionDate", text("transactionDate"))
        line["deemed_execution_date"] = iso_date(where, "deemedExecutionDate", text("deemedExecutionDate"))
        line["form_type"] = text("transactionFormType")
        line["code"] = text("transactionCode")
        line["equity_swap_involved"] = bool(_boolean(part, "equitySwapInvolved", where, "transactionCoding/"))
        line["timeliness"] = text("transactionTimeliness")
        line["shares"] = _decimal(part, "transactionShares", where, "transactionAmounts/")
        line["price"] = _decimal(part, _PRICE, where, "transactionAmounts/")
        line["acquired_disposed"] = acquired
        if derivative:
            line["total_value"] = _decimal(part, "transactionTotalValue", where, "transactionAmounts/")
    after = "postTransactionAmounts/"
    line["shares_owned_following"] = _decimal(part, "sharesOwnedFollowingTransaction", where, after)
    line["value_owned_following"] = _decimal(part, "valueOwnedFollowingTransaction", where, after)
    line["direct_indirect"] = text("directOrIndirectOwnership")
    line["nature_of_ownership"] = text("natureOfOwnership")
    line["footnote_ids"] = list(dict.fromkeys(chain.from_iterable(notes.values())))
    line["price_footnote_ids"] = list(dict.fromkeys(notes.get(_PRICE, ())))
    if derivative:
        line["conversion_price"] = _decimal(part, "conversionOrExercisePrice", where)
        line["exercise_date"] = iso_date(where, "exerciseDate", text("exerciseDate"))
        line["expiration_date"] = iso_date(where, "expirationDate", text("expirationDate"))
        line["underlying_title"] = text("underlyingSecurityTitle")
        line["underlying_shares"] = _decimal(part, "underlyingSecurityShares", where, "underlyingSecurity/")
    return line
