"""Simulated filings about a company by others: Schedules 13D and 13G, notices of sale (144), tender offers.

Their documents have the structure of EDGAR's XML specifications; a tender offer is a text.
"""

from __future__ import annotations

from html import escape

from ..archive import Party
from .cast import Entity
from .chance import Chance
from .story import Report

HOLDERS = ("Northgate Capital Partners LP", "Silverline Value Fund", "Corvus Activist Master Fund")
# The first CIK of the holders, beyond those of issuers and insiders.
_HOLDER_CIK = 9_900_000
# EDGAR publishes a filer's confirmation code so.
MASKED_CODE = 8 * "X"
FORMS = ("SCHEDULE 13D", "SCHEDULE 13D/A", "SCHEDULE 13G", "144", "SC TO-T")


def outside_paper(
    report: Report, entity: Entity, chance: Chance
) -> tuple[tuple[Party, ...], list[tuple[str, str, str]], str]:
    """Return (parties, documents as (type, file name, text), primary document as the submissions list names it)."""
    subject = Party(entity.cik, entity.name.upper(), "subject")
    if report.form == "144":
        person = report.people[0]
        owner = Party(person.cik, f"{person.last} {person.first}", "reporting-owner")
        body = _form_144(report, entity, f"{person.first} {person.last}", chance)
        return (subject, owner), [("144", "primary_doc.xml", body)], "xsl144X01/primary_doc.xml"
    holder = chance.pick(HOLDERS)
    filer = Party(_HOLDER_CIK + HOLDERS.index(holder), holder.upper(), "filed-by")
    if report.form == "SC TO-T":
        return (subject, filer), [(report.form, "offer.htm", _offer(entity, holder))], "offer.htm"
    body = _schedule_13(report, entity, filer, chance.uniform(5.1, 18.0))
    style = report.form.removesuffix("/A").replace(" ", "_")
    return (subject, filer), [(report.form, "primary_doc.xml", body)], f"xsl{style}_X01/primary_doc.xml"


def _offer(entity: Entity, holder: str) -> str:
    return (
        f"<html><body><p>SCHEDULE TO</p><p>{escape(entity.name)} (Name of Subject Company)</p><p>{escape(holder)} "
        "(Offeror)</p><p>Offer to purchase all outstanding shares of common stock.</p></body></html>"
    )


def _address(prefix: str) -> str:
    return (
        f"<{prefix}><com:street1>1 Main Street</com:street1><com:city>Wilmington</com:city>"
        f"<com:stateOrCountry>DE</com:stateOrCountry><com:zipCode>19801</com:zipCode></{prefix}>"
    )


def _head(form: str, cik: int, space: str) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<edgarSubmission xmlns="http://www.sec.gov/edgar/{space}" xmlns:com="http://www.sec.gov/edgar/common">
<headerData>
<submissionType>{form}</submissionType>
<filerInfo><filer><filerCredentials><cik>{cik:010d}</cik><ccc>{MASKED_CODE}</ccc></filerCredentials></filer>
<liveTestFlag>LIVE</liveTestFlag></filerInfo>
</headerData>"""


def _schedule_13(report: Report, entity: Entity, filer: Party, percent: float) -> str:
    name, day = escape(entity.name), f"{report.about:%m/%d/%Y}"
    shares = f"{1_000_000 * percent:.0f}"
    owned = "reportingPersonBeneficiallyOwnedAggregateNumberOfShares"
    if report.form == "SCHEDULE 13G":
        return f"""{_head(report.form, filer.cik, "schedule13g")}
<formData>
<coverPageHeader>
<securitiesClassTitle>Common Stock</securitiesClassTitle>
<eventDateRequiresFilingThisStatement>{day}</eventDateRequiresFilingThisStatement>
<issuerInfo><issuerCik>{entity.cik:010d}</issuerCik><issuerName>{name}</issuerName>
<issuerCusip>000000000</issuerCusip>{_address("issuerPrincipalExecutiveOfficeAddress")}</issuerInfo>
</coverPageHeader>
<coverPageHeaderReportingPersonDetails>
<reportingPersonName>{escape(filer.name)}</reportingPersonName>
<citizenshipOrOrganization>DE</citizenshipOrOrganization>
<{owned}>{shares}.00</{owned}>
<classPercent>{percent:.1f}</classPercent>
<typeOfReportingPerson>PN</typeOfReportingPerson>
</coverPageHeaderReportingPersonDetails>
</formData>
</edgarSubmission>"""
    return f"""{_head(report.form, filer.cik, "schedule13D")}
<formData>
<coverPageHeader>
<securitiesClassTitle>Common Stock</securitiesClassTitle>
<dateOfEvent>{day}</dateOfEvent>
<issuerInfo><issuerCIK>{entity.cik:010d}</issuerCIK><issuerCUSIP>000000000</issuerCUSIP>
<issuerName>{name}</issuerName>{_address("address")}</issuerInfo>
</coverPageHeader>
<reportingPersons>
<reportingPersonInfo>
<reportingPersonCIK>{filer.cik:010d}</reportingPersonCIK>
<reportingPersonName>{escape(filer.name)}</reportingPersonName>
<fundType>WC</fundType>
<citizenshipOrOrganization>DE</citizenshipOrOrganization>
<aggregateAmountOwned>{shares}.00</aggregateAmountOwned>
<percentOfClass>{percent:.1f}</percentOfClass>
<typeOfReportingPerson>PN</typeOfReportingPerson>
</reportingPersonInfo>
</reportingPersons>
</formData>
</edgarSubmission>"""


def _form_144(report: Report, entity: Entity, seller: str, chance: Chance) -> str:
    shares, price = chance.integer(1_000, 50_000), entity.price
    planned = chance.happens(0.5)
    plan = f"<planAdoptionDates><planAdoptionDate>{report.about:%m/01/%Y}</planAdoptionDate></planAdoptionDates>"
    return f"""{_head("144", entity.people[0].cik, "ownership")}
<formData>
<issuerInfo>
<issuerCik>{entity.cik:010d}</issuerCik><issuerName>{escape(entity.name)}</issuerName>
<secFileNumber>001-{70000 + entity.number}</secFileNumber>{_address("issuerAddress")}
<issuerContactPhone>302-555-0100</issuerContactPhone>
<nameOfPersonForWhoseAccountTheSecuritiesAreToBeSold>{seller}</nameOfPersonForWhoseAccountTheSecuritiesAreToBeSold>
<relationshipsToIssuer><relationshipToIssuer>Officer</relationshipToIssuer></relationshipsToIssuer>
</issuerInfo>
<securitiesInformation>
<securitiesClassTitle>Common Stock</securitiesClassTitle>
<brokerOrMarketmakerDetails><name>Harbor Brokerage LLC</name>{_address("address")}</brokerOrMarketmakerDetails>
<noOfUnitsSold>{shares}</noOfUnitsSold>
<aggregateMarketValue>{shares * price:.2f}</aggregateMarketValue>
<noOfUnitsOutstanding>100000000</noOfUnitsOutstanding>
<approxSaleDate>{report.about:%m/%d/%Y}</approxSaleDate>
<securitiesExchangeName>NASDAQ</securitiesExchangeName>
</securitiesInformation>
<securitiesToBeSold>
<securitiesClassTitle>Common Stock</securitiesClassTitle>
<acquiredDate>{report.about:%m/01/%Y}</acquiredDate>
<natureOfAcquisitionTransaction>Restricted Stock Units</natureOfAcquisitionTransaction>
<nameOfPersonfromWhomAcquired>Issuer</nameOfPersonfromWhomAcquired>
<isGiftTransaction>N</isGiftTransaction>
<amountOfSecuritiesAcquired>{shares}</amountOfSecuritiesAcquired>
<paymentDate>{report.about:%m/01/%Y}</paymentDate>
<natureOfPayment>Compensation</natureOfPayment>
</securitiesToBeSold>
<nothingToReportFlagOnSecuritiesSoldInPast3Months>Y</nothingToReportFlagOnSecuritiesSoldInPast3Months>
<noticeSignature>
<noticeDate>{report.accepted:%m/%d/%Y}</noticeDate>
{plan if planned else ""}
<signature>/s/ {seller}</signature>
</noticeSignature>
</formData>
</edgarSubmission>"""
