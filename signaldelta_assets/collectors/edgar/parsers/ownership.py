"""Ownership documents (Forms 3, 4, 5 and amendments) to the `ownership` payload.

Source: EDGAR Ownership XML Technical Specification. Decimals stay text, exactly as in the document; an empty value is
null. Lines are numbered from 1 within their table, transactions and holdings together, in the document's order.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

from lxml import etree

from signaldelta_assets.errors import RecordError

from .sgml import Submission
from .values import folded, iso_date, padded_cik

_DOCUMENT_TYPES = frozenset({"3", "3/A", "4", "4/A", "5", "5/A"})
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False, "Y": True, "N": False}


def parse_ownership(body: bytes, record: str) -> dict[str, Any]:
    """Read an ownershipDocument: the payload without accession, acceptance and filing date.

    No entities are expanded, nothing is fetched, nothing is repaired. Raises RecordError.
    """
    # A parser per document: lxml parsers are not for several threads.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=False, huge_tree=False)
    try:
        root = etree.fromstring(body.strip(), parser)
    except etree.XMLSyntaxError as error:
        raise RecordError(record, "body", "a well-formed XML document", error) from error
    if root.getroottree().docinfo.doctype:
        raise RecordError(record, "body", "no document type declaration", root.getroottree().docinfo.doctype)
    for element in root.iter("{*}*"):
        # Some filers' software declares a namespace; the names within it are the same.
        element.tag = etree.QName(element).localname
    if root.tag != "ownershipDocument":
        raise RecordError(record, "root", "ownershipDocument", root.tag)
    document_type = _text(root, "documentType")
    if document_type not in _DOCUMENT_TYPES:
        raise RecordError(record, "documentType", "3, 4, 5 or an amendment of them", document_type)
    non_derivative, derivative = root.find("nonDerivativeTable"), root.find("derivativeTable")
    payload: dict[str, Any] = {
        "document_type": document_type,
        "schema_version": _text(root, "schemaVersion"),
        "period_of_report": iso_date(record, "periodOfReport", _text(root, "periodOfReport")),
        "date_of_original_submission": iso_date(
            record, "dateOfOriginalSubmission", _text(root, "dateOfOriginalSubmission")
        ),
        "issuer": {
            "cik": padded_cik(record, "issuer.issuerCik", _text(root, "issuer/issuerCik")),
            "name": _text(root, "issuer/issuerName"),
            "symbol": _text(root, "issuer/issuerTradingSymbol"),
        },
        "owners": [_owner(element, record) for element in root.findall("reportingOwner")],
        "not_subject_to_section16": _boolean(root, "notSubjectToSection16", record),
        "aff10b5_one": _boolean(root, "aff10b5One", record),
        "non_derivative_transactions": _lines(non_derivative, "nonDerivativeTransaction", record),
        "non_derivative_holdings": _lines(non_derivative, "nonDerivativeHolding", record),
        "derivative_transactions": _lines(derivative, "derivativeTransaction", record),
        "derivative_holdings": _lines(derivative, "derivativeHolding", record),
        "footnotes": {
            element.get("id", ""): folded("".join(map(str, element.itertext())).replace("\n", " "))
            for element in root.findall("footnotes/footnote")
        },
        "remarks": _text(root, "remarks"),
        "signatures": [
            {
                "name": _text(element, "signatureName"),
                "date": iso_date(record, "signatureDate", _text(element, "signatureDate")),
            }
            for element in root.findall("ownerSignature")
        ],
    }
    if not payload["owners"]:
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


def _text(element: Any, path: str) -> str | None:
    """Return the text at `path`, or of its <value>, None where absent or empty."""
    found = element.find(path)
    if found is None:
        return None
    value = found.find("value")
    text = folded("".join(map(str, (found if value is None else value).itertext())).replace("\n", " "))
    return text or None


def _boolean(element: Any, path: str, record: str) -> bool | None:
    text = _text(element, path)
    if text is None:
        return None
    if (value := _BOOLEANS.get(text) if text in _BOOLEANS else _BOOLEANS.get(text.lower())) is None:
        raise RecordError(record, path, "1, 0, true or false", text)
    return value


def _decimal(element: Any, path: str, record: str) -> str | None:
    text = _text(element, path)
    if text is not None and not _DECIMAL.fullmatch(text):
        raise RecordError(record, path, "a decimal number", text)
    return text


def _owner(element: Any, record: str) -> dict[str, Any]:
    relation = "reportingOwnerRelationship"

    def flag(name: str) -> bool:
        return bool(_boolean(element, f"{relation}/{name}", record))

    return {
        "cik": padded_cik(record, "reportingOwner.rptOwnerCik", _text(element, "reportingOwnerId/rptOwnerCik")),
        "name": _text(element, "reportingOwnerId/rptOwnerName"),
        "is_director": flag("isDirector"),
        "is_officer": flag("isOfficer"),
        "is_ten_percent_owner": flag("isTenPercentOwner"),
        "is_other": flag("isOther"),
        "officer_title": _text(element, f"{relation}/officerTitle"),
        "other_text": _text(element, f"{relation}/otherText"),
    }


def _lines(table: Any, kind: str, record: str) -> list[dict[str, Any]]:
    if table is None:
        return []
    return [
        _line(element, number, record, transaction=kind.endswith("Transaction"), derivative=kind.startswith("d"))
        for number, element in enumerate((child for child in table if isinstance(child.tag, str)), 1)
        if element.tag == kind
    ]


def _line(element: Any, number: int, record: str, *, transaction: bool, derivative: bool) -> dict[str, Any]:
    where = f"{record}:{element.tag}[{number}]"
    line: dict[str, Any] = {"line": number, "security_title": _text(element, "securityTitle")}
    if transaction:
        acquired = _text(element, "transactionAmounts/transactionAcquiredDisposedCode")
        if acquired not in ("A", "D", None):
            raise RecordError(where, "transactionAcquiredDisposedCode", "A or D", acquired)
        line |= {
            "transaction_date": iso_date(where, "transactionDate", _text(element, "transactionDate")),
            "deemed_execution_date": iso_date(where, "deemedExecutionDate", _text(element, "deemedExecutionDate")),
            "form_type": _text(element, "transactionCoding/transactionFormType"),
            "code": _text(element, "transactionCoding/transactionCode"),
            "equity_swap_involved": bool(_boolean(element, "transactionCoding/equitySwapInvolved", where)),
            "timeliness": _text(element, "transactionTimeliness"),
            "shares": _decimal(element, "transactionAmounts/transactionShares", where),
            "price": _decimal(element, "transactionAmounts/transactionPricePerShare", where),
            "acquired_disposed": acquired,
        }
        if derivative:
            line["total_value"] = _decimal(element, "transactionAmounts/transactionTotalValue", where)
    amounts, nature = "postTransactionAmounts", "ownershipNature"
    line |= {
        "shares_owned_following": _decimal(element, f"{amounts}/sharesOwnedFollowingTransaction", where),
        "value_owned_following": _decimal(element, f"{amounts}/valueOwnedFollowingTransaction", where),
        "direct_indirect": _text(element, f"{nature}/directOrIndirectOwnership"),
        "nature_of_ownership": _text(element, f"{nature}/natureOfOwnership"),
        "footnote_ids": _footnotes(element),
        "price_footnote_ids": _footnotes(element.find("transactionAmounts/transactionPricePerShare")),
    }
    if derivative:
        line |= {
            "conversion_price": _decimal(element, "conversionOrExercisePrice", where),
            "exercise_date": iso_date(where, "exerciseDate", _text(element, "exerciseDate")),
            "expiration_date": iso_date(where, "expirationDate", _text(element, "expirationDate")),
            "underlying_title": _text(element, "underlyingSecurity/underlyingSecurityTitle"),
            "underlying_shares": _decimal(element, "underlyingSecurity/underlyingSecurityShares", where),
        }
    return line


def _footnotes(element: Any) -> list[str]:
    if element is None:
        return []
    return list(dict.fromkeys(found.get("id", "") for found in element.iter("footnoteId")))
