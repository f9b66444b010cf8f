"""The texts of simulated filings: 8-K main documents and exhibits, ownership XML.

Wording follows what real filings say, so that a rule that reads text finds (or must not find) what it looks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from html import escape

from ..sgml import ITEM_NAMES
from .cast import Entity, Person
from .chance import Chance
from .story import Announcement, Report, Trade


def _long(day: date) -> str:
    return f"{day:%B} {day.day}, {day.year}"


def _persons(people: tuple[Person, ...], entity: Entity) -> list[str]:
    said = []
    for person in people:
        office = person.title or "a member of the Board of Directors"
        said.append(f"{person.salutation} {person.last} resigned as {office} of {entity.name}, effective immediately.")
    return said


def _item_text(report: Report, entity: Entity, item: str, chance: Chance) -> str:
    """The text of one item; `kind` decides what the filing is about."""
    name, day = entity.name, _long(report.about)
    partner = (
        f"{chance.pick(('Argent', 'Beacon', 'Castle', 'Delmar', 'Essex'))} {chance.pick(('Corp.', 'LLC', 'Group'))}"
    )
    money = f"${chance.integer(20, 900)} million"
    if item == "1.01" and report.kind in ("target", "acquirer"):
        buyer, sold = (partner, name) if report.kind == "target" else (name, partner)
        text = (
            f"On {day}, {name} (the &#8220;Company&#8221;) entered into an Agreement and Plan of Merger (the "
            f"&#8220;Merger Agreement&#8221;) with {partner}, under which {sold} will become a wholly owned "
            f"subsidiary of {buyer}. "
        )
        if report.kind == "target":
            price = f"${chance.uniform(20, 180):.2f}"
            text += (
                "At the effective time each share of the Company&#8217;s common stock will be converted into the right "
                f"to receive {price} in cash, without interest. "
            )
        return text + "The closing is subject to customary conditions."
    texts = {
        (
            "1.01",
            "contract",
        ): f"On {day}, {name} entered into a master supply contract with {partner} under which it will "
        f"deliver products and services for an initial period of five years and a value of up to {money}.",
        (
            "1.01",
            "credit",
        ): f"On {day}, {name} entered into a credit agreement with {partner}, as administrative agent, "
        f"which provides a revolving facility of {money}.",
        ("2.03", "credit"): "The information in Item 1.01 is incorporated by reference into this Item 2.03.",
        ("1.02", "lapse"): f"On {day}, the services contract between {name} and {partner} ended without penalty.",
        (
            "2.05",
            "closure",
        ): f"On {day}, the Board approved a plan to close one site of {name}; charges of about {money} "
        "are expected in the coming quarters.",
        ("3.03", "rights"): f"On {day}, {name} amended the certificate that governs its preferred shares.",
        (
            "5.07",
            "meeting",
        ): f"{name} held its annual meeting on {day}. All nominees were elected and the auditor ratified.",
        ("7.01", "investors"): f"{name} will present to investors on {day}. The slides are furnished as an exhibit.",
        ("8.01", "other"): f"On {day}, {name} announced that its Board declared a regular quarterly dividend.",
    }
    if item == "2.02":
        return f"On {day}, {name} announced its results for the quarter in a press release, Exhibit 99.1."
    if item == "5.02" and report.kind == "departure":
        return f"On {day}, " + " On the same date, ".join(_persons(report.people, entity))
    if item == "5.02":
        return f"On {day}, the Board of {name} elected a new director, who will serve until the next annual meeting."
    if item == "7.01" and report.kind in ("target", "acquirer"):
        return f"On {day}, {name} and {partner} issued a joint press release, furnished as Exhibit 99.1."
    if item == "9.01":
        return "(d) Exhibits. The exhibits are listed in the index."
    return texts[item, report.kind]


def main_document(report: Report, entity: Entity, chance: Chance) -> str:
    """Return the main document of an 8-K as HTML: the cover, then each item under its heading."""
    parts = [
        "<html><head><title>8-K</title></head><body>",
        "<p>UNITED STATES SECURITIES AND EXCHANGE COMMISSION</p><p>FORM 8-K</p>",
        f"<p>Date of report (date of earliest event reported): {_long(report.about)}</p>",
        f"<p><b>{escape(entity.name)}</b></p><p>Delaware &#160; Commission file number 001-{70000 + entity.number}</p>",
    ]
    for item in report.items:
        parts.append(f"<p><b>Item {item}&#160;&#160;{escape(ITEM_NAMES[item])}.</b></p>")
        parts.append(f"<p>{_item_text(report, entity, item, chance)}</p>")
    signer = entity.people[3]
    parts.append(f"<p>SIGNATURE</p><p>By: /s/ {signer.first} {signer.last}</p></body></html>")
    return "\n".join(parts)


def press_release(announcement: Announcement, entity: Entity) -> str:
    """Return Exhibit 99.1 of a results filing."""
    quarter = f"{('first', 'second', 'third', 'fourth')[announcement.fiscal_quarter - 1]} quarter"
    return (
        f"<html><body><p>{escape(entity.name)} reports results of the {quarter} of fiscal {announcement.fiscal_year}"
        f"</p><p>Diluted earnings per share were ${announcement.actual:.2f} for the quarter ended "
        f"{_long(announcement.quarter_end)}.</p></body></html>"
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an ownership report as numbers: shares, price per share, shares owned after it."""

    shares: int
    price: float
    owned: int


def _owner(person: Person, entity: Entity) -> str:
    director = "0" if person.title else "1"
    title = f"\n            <officerTitle>{escape(person.title)}</officerTitle>" if person.title else ""
    return f"""    <reportingOwner>
        <reportingOwnerId>
            <rptOwnerCik>{person.cik:010d}</rptOwnerCik>
            <rptOwnerName>{person.last} {person.first}</rptOwnerName>
        </reportingOwnerId>
        <reportingOwnerAddress>
            <rptOwnerStreet1>C/O {escape(entity.name.upper())}</rptOwnerStreet1>
            <rptOwnerStreet2></rptOwnerStreet2>
            <rptOwnerCity>WILMINGTON</rptOwnerCity>
            <rptOwnerState>DE</rptOwnerState>
            <rptOwnerZipCode>19801</rptOwnerZipCode>
            <rptOwnerStateDescription></rptOwnerStateDescription>
        </reportingOwnerAddress>
        <reportingOwnerRelationship>
            <isDirector>{director}</isDirector>
            <isOfficer>{1 - int(director)}</isOfficer>
            <isTenPercentOwner>0</isTenPercentOwner>
            <isOther>0</isOther>{title}
        </reportingOwnerRelationship>
    </reportingOwner>
"""


_NOTES = {
    "P": "The price is a weighted average of purchases in several transactions on this date.",
    "S": "The price is a weighted average of sales in several transactions on this date.",
    "A": "Restricted stock units that vest in four equal annual instalments.",
    "F": "Shares withheld to cover taxes on the vesting of restricted stock units.",
    "M": "Shares issued on the vesting of restricted stock units.",
}
_PLAN_NOTE = "Sold under a Rule 10b5-1 trading plan adopted in an earlier quarter."


def ownership_xml(trade: Trade, entity: Entity, line: Line) -> str:
    """Return the ownership document (schema X0508) of one report."""
    acquired = "A" if trade.code in "PAM" else "D"
    owners = "\n".join(_owner(person, entity) for person in trade.owners)
    notes = [_NOTES[trade.code]] + ([_PLAN_NOTE] if trade.plan else [])
    linked = "".join(f'\n                    <footnoteId id="F{n}"/>' for n in range(1, len(notes) + 1))
    footnotes = "\n".join(f'        <footnote id="F{n}">{note}</footnote>' for n, note in enumerate(notes, 1))
    signer = trade.owners[0]
    return f"""<?xml version="1.0"?>
<ownershipDocument>

    <schemaVersion>X0508</schemaVersion>

    <documentType>4</documentType>

    <periodOfReport>{trade.traded}</periodOfReport>

    <notSubjectToSection16>0</notSubjectToSection16>

    <issuer>
        <issuerCik>{entity.cik:010d}</issuerCik>
        <issuerName>{escape(entity.name)}</issuerName>
        <issuerTradingSymbol>{entity.ticker}</issuerTradingSymbol>
    </issuer>

{owners}
    <aff10b5One>{int(trade.plan)}</aff10b5One>

    <nonDerivativeTable>
        <nonDerivativeTransaction>
            <securityTitle>
                <value>Common Stock</value>
            </securityTitle>
            <transactionDate>
                <value>{trade.traded}</value>
            </transactionDate>
            <transactionCoding>
                <transactionFormType>4</transactionFormType>
                <transactionCode>{trade.code}</transactionCode>
                <equitySwapInvolved>0</equitySwapInvolved>
            </transactionCoding>
            <transactionTimeliness>
                <value></value>
            </transactionTimeliness>
            <transactionAmounts>
                <transactionShares>
                    <value>{line.shares}</value>
                </transactionShares>
                <transactionPricePerShare>
                    <value>{line.price:.2f}</value>{linked}
                </transactionPricePerShare>
                <transactionAcquiredDisposedCode>
                    <value>{acquired}</value>
                </transactionAcquiredDisposedCode>
            </transactionAmounts>
            <postTransactionAmounts>
                <sharesOwnedFollowingTransaction>
                    <value>{line.owned}</value>
                </sharesOwnedFollowingTransaction>
            </postTransactionAmounts>
            <ownershipNature>
                <directOrIndirectOwnership>
                    <value>D</value>
                </directOrIndirectOwnership>
            </ownershipNature>
        </nonDerivativeTransaction>
    </nonDerivativeTable>

    <footnotes>
{footnotes}
    </footnotes>

    <remarks></remarks>

    <ownerSignature>
        <signatureName>/s/ {signer.first} {signer.last}</signatureName>
        <signatureDate>{trade.accepted.date()}</signatureDate>
    </ownerSignature>
</ownershipDocument>"""
