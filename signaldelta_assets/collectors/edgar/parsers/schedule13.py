"""Schedules 13D and 13G as XML (since December 2024): issuer, event date, and what each reporting person owns.

Source: EDGAR Schedule 13D and 13G XML Technical Specification. The two schedules name the same things differently. An
amendment may leave out every figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from signaldelta_assets.errors import RecordError

from .values import padded_cik
from .xml import amount, edgar_root, text, us_date

_FORMS = frozenset({"SCHEDULE 13D", "SCHEDULE 13D/A", "SCHEDULE 13G", "SCHEDULE 13G/A"})


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a schedule says. `percent` is text, None where no person's is stated.

    `persons`: cik (None without), name, percent, shares (text, None where left out).
    """

    issuer: str
    event_date: str | None
    previous_accession: str | None
    percent: str | None
    persons: tuple[dict[str, str | None], ...]


def parse_schedule_13(body: bytes, record: str) -> Schedule:
    """Read a Schedule 13D or 13G. Raises RecordError.

    `percent` is the largest that any person reports: persons of one filing mostly restate one holding (a fund, its
    manager, whoever controls it), so their sum would count it several times. Where they hold apart it is too small.
    """
    root = edgar_root(body, record)
    form = text(root, "headerData/submissionType")
    if form not in _FORMS:
        raise RecordError(record, "submissionType", "a Schedule 13D or 13G", form)
    data = root.find("formData")
    if data is None:
        raise RecordError(record, "formData", "the data of the form")
    cover, passive = "coverPageHeader", "13G" in form
    issuer = text(data, f"{cover}/issuerInfo/{'issuerCik' if passive else 'issuerCIK'}")
    event = "eventDateRequiresFilingThisStatement" if passive else "dateOfEvent"
    read = _passive_person if passive else _active_person
    path = "coverPageHeaderReportingPersonDetails" if passive else "reportingPersons/reportingPersonInfo"
    persons = tuple(read(one, f"{record}:person[{n}]") for n, one in enumerate(data.findall(path), 1))
    if not persons:
        raise RecordError(record, path, "at least one reporting person")
    stated = [person["percent"] for person in persons if person["percent"] is not None]
    return Schedule(
        issuer=padded_cik(record, "issuerInfo.issuerCik", issuer),
        event_date=us_date(record, event, text(data, f"{cover}/{event}")),
        previous_accession=text(root, "headerData/previousAccessionNumber"),
        percent=max(stated, key=Decimal, default=None),
        persons=persons,
    )


def _active_person(element: Any, where: str) -> dict[str, str | None]:
    return _person(element, where, "reportingPersonCIK", "percentOfClass", "aggregateAmountOwned")


def _passive_person(element: Any, where: str) -> dict[str, str | None]:
    shares = "reportingPersonBeneficiallyOwnedAggregateNumberOfShares"
    return _person(element, where, "reportingCik", "classPercent", shares)


def _person(element: Any, where: str, cik: str, percent: str, shares: str) -> dict[str, str | None]:
    own, share = text(element, cik), amount(element, percent, where)
    if share is not None and Decimal(share) > 100:
        raise RecordError(where, percent, "a percentage of at most 100", share)
    return {
        "cik": None if own is None else padded_cik(where, cik, own),
        "name": text(element, "reportingPersonName"),
        "percent": share,
        "shares": amount(element, shares, where),
    }
