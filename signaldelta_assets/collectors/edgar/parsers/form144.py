"""Form 144, the notice of a proposed sale, to the `form_144` payload: one per document, about the issuer.

Source: EDGAR Form 144 XML Technical Specification; XML is required since 2023-04-13 (Release 33-11070). What the form
calls units sold are those to be sold. A seller's CIK stands in the submission header only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from signaldelta_assets.errors import RecordError

from .sgml import Submission
from .values import padded_cik
from .xml import amount, edgar_root, flag, text, texts, us_date

FORMS = ("144", "144/A")


def parse_form_144(body: bytes, record: str) -> dict[str, Any]:
    """Read a Form 144 or 144/A: the payload without what the submission header says. Raises RecordError."""
    root = edgar_root(body, record)
    form = text(root, "headerData/submissionType")
    if form not in FORMS:
        raise RecordError(record, "submissionType", "144 or 144/A", form)
    data = root.find("formData")
    if data is None:
        raise RecordError(record, "formData", "the data of the form")
    signature = data.find("noticeSignature")
    payload = {
        "document_type": form,
        "previous_accession": text(root, "headerData/previousAccessionNumber"),
        "issuer": {
            "cik": padded_cik(record, "issuerInfo.issuerCik", text(data, "issuerInfo/issuerCik")),
            "name": text(data, "issuerInfo/issuerName"),
            "file_number": text(data, "issuerInfo/secFileNumber"),
        },
        "seller": text(data, "issuerInfo/nameOfPersonForWhoseAccountTheSecuritiesAreToBeSold"),
        "relationships": texts(data, "issuerInfo/relationshipsToIssuer/relationshipToIssuer"),
        "securities": [_security(one, f"{record}:securitiesInformation[{n}]") for n, one in _all(data, _TO_SELL)],
        "acquisitions": [_acquisition(one, f"{record}:securitiesToBeSold[{n}]") for n, one in _all(data, _ACQUIRED)],
        "nothing_sold_in_3_months": flag(data, "nothingToReportFlagOnSecuritiesSoldInPast3Months", record),
        "sold_in_3_months": [_sale(one, f"{record}:securitiesSoldInPast3Months[{n}]") for n, one in _all(data, _SOLD)],
        "remarks": text(data, "remarks"),
        "notice_date": us_date(record, "noticeDate", text(signature, "noticeDate")),
        "plan_adoption_dates": [
            us_date(record, "planAdoptionDate", value)
            for value in ([] if signature is None else texts(signature, "planAdoptionDates/planAdoptionDate"))
        ],
        "signature": text(signature, "signature"),
    }
    if not payload["seller"]:
        raise RecordError(record, "nameOfPersonForWhoseAccountTheSecuritiesAreToBeSold", "the name of the seller")
    if not payload["securities"]:
        raise RecordError(record, "securitiesInformation", "at least one class of securities to be sold")
    return payload


_TO_SELL, _ACQUIRED, _SOLD = "securitiesInformation", "securitiesToBeSold", "securitiesSoldInPast3Months"


def form_144_payload(submission: Submission, body: bytes, accepted_at: datetime | None) -> dict[str, Any]:
    """Return the whole payload of a submission whose form document is `body`. Raises RecordError.

    The issuer of the document must be the subject company of the header.
    """
    record = submission.accession
    document = parse_form_144(body, record)
    subjects = [party.cik for party in submission.named("subject")]
    if subjects and document["issuer"]["cik"] not in subjects:
        expected = f"the subject company of the header, {', '.join(subjects)}"
        raise RecordError(record, "issuerInfo.issuerCik", expected, document["issuer"]["cik"])
    return {
        "accession": record,
        "accepted_at": None if accepted_at is None else accepted_at.isoformat(),
        "filing_date": submission.filed.isoformat(),
        "reporting_owners": [{"cik": p.cik, "name": p.name} for p in submission.named("reporting-owner")],
    } | document


def _all(data: Any, name: str) -> list[tuple[int, Any]]:
    return list(enumerate(data.findall(name), 1))


def _security(element: Any, where: str) -> dict[str, Any]:
    shares = amount(element, "noOfUnitsSold", where)
    if shares is None:
        raise RecordError(where, "noOfUnitsSold", "a number of units to be sold")
    return {
        "class_title": text(element, "securitiesClassTitle"),
        "broker": text(element, "brokerOrMarketmakerDetails/name"),
        "shares": shares,
        "aggregate_market_value": amount(element, "aggregateMarketValue", where),
        "shares_outstanding": amount(element, "noOfUnitsOutstanding", where),
        "approx_sale_date": us_date(where, "approxSaleDate", text(element, "approxSaleDate")),
        "exchange": text(element, "securitiesExchangeName"),
    }


def _acquisition(element: Any, where: str) -> dict[str, Any]:
    return {
        "class_title": text(element, "securitiesClassTitle"),
        "acquired_date": us_date(where, "acquiredDate", text(element, "acquiredDate")),
        "nature": text(element, "natureOfAcquisitionTransaction"),
        "acquired_from": text(element, "nameOfPersonfromWhomAcquired"),
        "is_gift": flag(element, "isGiftTransaction", where),
        # The specification spells it so.
        "donor_acquired_date": us_date(where, "donarAcquiredDate", text(element, "donarAcquiredDate")),
        "shares": amount(element, "amountOfSecuritiesAcquired", where),
        "payment_date": us_date(where, "paymentDate", text(element, "paymentDate")),
        "nature_of_payment": text(element, "natureOfPayment"),
    }


def _sale(element: Any, where: str) -> dict[str, Any]:
    return {
        "seller": text(element, "sellerDetails/name"),
        "class_title": text(element, "securitiesClassTitle"),
        "sale_date": us_date(where, "saleDate", text(element, "saleDate")),
        "shares": amount(element, "amountOfSecuritiesSold", where),
        "gross_proceeds": amount(element, "grossProceeds", where),
    }
