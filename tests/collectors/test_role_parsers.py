"""Roles, Schedules 13D and 13G, Form 144 and the current feed: by value, against others' readings, on broken input."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaldelta_assets.collectors.edgar.parsers import (
    ROLE_FORMS,
    CurrentEntry,
    Party,
    Submission,
    entry_role_payloads,
    form_144_payload,
    is_feed,
    parse_current_feed,
    parse_form_144,
    parse_schedule_13,
    parse_submission,
    role_payloads,
)
from signaldelta_assets.errors import RecordError
from signaldelta_assets.replay import archive, index_files, sgml
from tests.paths import DATA, needs_data

ENTRY = """<entry>
<title>SCHEDULE 13D - Acme &amp; Sons (Holding) Corp. (0000000001) (Subject)</title>
<link rel="alternate" type="text/html" href="https://www.sec.gov/x"/>
<summary type="html">
 &lt;b&gt;Filed:&lt;/b&gt; 2026-01-09 &lt;b&gt;AccNo:&lt;/b&gt; 0000000009-26-000001 &lt;b&gt;Size:&lt;/b&gt; 5 KB
</summary>
<updated>2026-01-09T17:25:26-05:00</updated>
<category scheme="https://www.sec.gov/" label="form type" term="SCHEDULE 13D"/>
<id>urn:tag:sec.gov,2008:accession-number=0000000009-26-000001</id>
</entry>
"""


def feed(*entries: str, head: str = "") -> bytes:
    start = f'<?xml version="1.0" encoding="ISO-8859-1" ?>{head}\n<feed xmlns="http://www.w3.org/2005/Atom">'
    return f"{start}{''.join(entries)}</feed>".encode("latin-1")


# --- the feed


def test_an_entry_has_its_party_its_role_and_its_moment_in_utc() -> None:
    party = Party("subject", "0000000001", "Acme & Sons (Holding) Corp.")
    accepted = datetime(2026, 1, 9, 22, 25, 26, tzinfo=UTC)
    expected = CurrentEntry("0000000009-26-000001", "SCHEDULE 13D", party, accepted, date(2026, 1, 9))
    assert list(parse_current_feed(feed(ENTRY), "page")) == [expected]
    summer = feed(ENTRY.replace("01-09T17:25:26-05:00", "07-09T17:25:26-04:00"))
    (entry,) = parse_current_feed(summer, "page")
    assert isinstance(entry, CurrentEntry) and entry.accepted_at == datetime(2026, 7, 9, 21, 25, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("-05:00", "", "updated"),
        ("2026-01-09T17:25:26-05:00", "soon", "updated"),
        ("2026-01-09T17", "1900-01-09T17", "updated"),
        ("accession-number=0000000009-26-000001", "accession-number=9-26-1", "id"),
        ("(0000000001) ", "", "title"),
        ("(Subject)", "", "title"),
        ('term="SCHEDULE 13D"', 'term="SC 13D"', "title"),
        ('term="SCHEDULE 13D"', "", "category"),
        ("Filed:", "Field:", "summary"),
        ("2026-01-09 ", "2026-02-30 ", "summary"),
    ],
)
def test_an_entry_that_cannot_be_read_is_refused_by_field_and_the_rest_read(old: str, new: str, field: str) -> None:
    bad, good = parse_current_feed(feed(ENTRY.replace(old, new, 1), ENTRY), "page")
    assert isinstance(bad, RecordError) and bad.field == field
    # By the place on the page only where nothing else names it: the next reading finds it at another place.
    assert bad.record == ("page:1" if field == "id" else "0000000009-26-000001")
    assert isinstance(good, CurrentEntry)


BOMB = '<!DOCTYPE feed [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("body", [b"", b"<html></html>", feed(ENTRY)[:-9], feed(ENTRY, head=BOMB)])
def test_what_is_no_feed_is_refused_whole(body: bytes) -> None:
    with pytest.raises(RecordError, match="page"):
        list(parse_current_feed(body, "page"))


def recorded_pages() -> Iterator[tuple[str, bytes]]:
    for path in sorted((DATA / "sec/atom_getcurrent").iterdir()):
        body = path.read_bytes()
        yield path.name, gzip.decompress(body) if path.suffix == ".gz" else body


@cache
def recorded_entries() -> list[CurrentEntry | RecordError]:
    return [entry for name, body in recorded_pages() if is_feed(body) for entry in parse_current_feed(body, name)]


_TITLE = re.compile(
    rb"<title>[^<]* \((\d{10})\) \(([^<]*)\)</title>.*?<updated>([^<]*)</updated>.*?-number=([\d-]+)<", re.S
)
_WORDS = {
    "subject": "Subject",
    "filed-by": "Filed by",
    "filer": "Filer",
    "issuer": "Issuer",
    "reporting-owner": "Reporting",
}


@needs_data
@pytest.mark.archive
def test_every_recorded_entry_is_read_as_its_bytes_say() -> None:
    """Of the 79 pages 78 are feeds; the last one is the page for people that stands behind the end."""
    pages = list(recorded_pages())
    assert [name for name, body in pages if not is_feed(body)] == ["getcurrent_type-all_start-5100.atom"]
    read = recorded_entries()
    assert Counter(type(entry).__name__ for entry in read) == {"CurrentEntry": 7_680}
    ours, plain = [], []
    for entry in read:
        assert isinstance(entry, CurrentEntry)
        role = _WORDS.get(entry.party.role, entry.party.role)
        ours.append((entry.accession, entry.party.cik, role, entry.accepted_at))
    for _, body in pages:
        for cik, role, stamp, accession in _TITLE.findall(body):
            moment = datetime.fromisoformat(stamp.decode()).astimezone(UTC)
            plain.append((accession.decode(), cik.decode(), role.decode(), moment))
    assert Counter(ours) == Counter(plain)


@needs_data
@pytest.mark.archive
def test_the_stamp_of_an_entry_is_the_acceptance_of_the_submissions_api() -> None:
    stamps = {entry.accession: entry.accepted_at for entry in recorded_entries() if isinstance(entry, CurrentEntry)}
    compared = 0
    # All of this folder but Apple's file is true UTC.
    for path in sorted((DATA / "sec/submissions/as_served").glob("CIK??????????.json*")):
        body = path.read_bytes()
        recent = orjson.loads(gzip.decompress(body) if path.suffix == ".gz" else body)["filings"]["recent"]
        for accession, stamp in zip(recent["accessionNumber"], recent["acceptanceDateTime"], strict=True):
            if accession in stamps:
                assert datetime.fromisoformat(stamp) == stamps[accession], accession
                compared += 1
    assert compared == 7


@needs_data
@pytest.mark.archive
def test_the_recorded_feed_has_the_designs_initial_13d_and_its_amendments() -> None:
    by_accession: dict[str, dict[tuple[str, str], CurrentEntry]] = {}
    for entry in recorded_entries():
        assert isinstance(entry, CurrentEntry)
        if entry.form in ROLE_FORMS:
            by_accession.setdefault(entry.accession, {})[entry.party.role, entry.party.cik] = entry
    forms: Counter[str] = Counter()
    for entries in by_accession.values():
        forms.update(payload["form"] for _, payload in entry_role_payloads(list(entries.values())))
    assert forms == {
        "425": 38, "SCHEDULE 13G/A": 28, "SCHEDULE 13D/A": 13, "SCHEDULE 13G": 13, "SC TO-T/A": 2, "SC 14D9": 2,
        "DFAN14A": 2, "SC TO-T": 1, "SC TO-I": 1, "SC TO-I/A": 1, "SCHEDULE 13D": 1,
    }  # fmt: skip


# --- roles


def submission(parties: list[archive.Party], form: str, parts: list[tuple[str, str, str]] | None = None) -> Submission:
    filing = archive.Filing(
        "0000000009-26-000001", form, date(2026, 1, 9), datetime(2026, 1, 9, 17, 25, 26), None, (), tuple(parties), "x"
    )
    return parse_submission(sgml.write_submission(filing, parts or []), filing.accession)


def entries_of(parties: list[archive.Party], form: str) -> list[CurrentEntry]:
    """What the feed shows of a filing: a party that is both subject and filer once, as subject."""
    subjects = {party.cik for party in parties if party.role == "subject"}
    shown = [party for party in parties if not (party.role == "filed-by" and party.cik in subjects)]
    filing = archive.Filing(
        "0000000009-26-000001", form, date(2026, 1, 9), datetime(2026, 1, 9, 17, 25, 26), None, (), tuple(shown), "x"
    )
    page = index_files.feed(index_files.feed_entries([filing]), "2026-01-09T17:25:26-05:00")
    return [entry for entry in parse_current_feed(page, "page") if isinstance(entry, CurrentEntry)]


ACME, BUYER = archive.Party(1, "ACME CORP", "subject"), archive.Party(7, "Buyer & Co LP", "filed-by")


def test_the_subject_is_the_entity_and_the_others_are_the_filers() -> None:
    made = submission([ACME, BUYER, archive.Party(3, "Other LLC", "filed-by")], "SC TO-T")
    assert role_payloads(made, made.accepted_at) == [
        (
            "0000000001",
            {
                "accession": "0000000009-26-000001",
                "form": "SC TO-T",
                "accepted_at": "2026-01-09T22:25:26+00:00",
                "filing_date": "2026-01-09",
                "subject": {"cik": "0000000001", "name": "ACME CORP"},
                "filers": [
                    {"cik": "0000000003", "name": "Other LLC"},
                    {"cik": "0000000007", "name": "Buyer & Co LP"},
                ],
                "percent": None,
                "event_date": None,
                "previous_accession": None,
                "persons": [],
            },
        )
    ]


_names = st.text(st.characters(codec="latin-1", categories=["L", "N"]), min_size=1, max_size=12)


@st.composite
def _filed(draw: st.DrawFn) -> tuple[list[archive.Party], str]:
    form = draw(st.sampled_from([form for form in ROLE_FORMS if not form.startswith("SCHEDULE")]))
    ciks = draw(st.lists(st.integers(1, 9_999_999_999), min_size=2, max_size=5, unique=True))
    names = {cik: f"{draw(_names)} & Co (Holding)".replace("µ", "u") for cik in ciks}
    cut = draw(st.integers(1, len(ciks) - 1))
    parties = [archive.Party(cik, names[cik], "subject") for cik in ciks[:cut]]
    parties += [archive.Party(cik, names[cik], "filed-by") for cik in ciks[cut:]]
    if draw(st.booleans()):
        parties.append(archive.Party(ciks[0], names[ciks[0]], "filed-by"))
    return draw(st.permutations(parties)), form


@settings(max_examples=60, deadline=None)
@given(_filed())
def test_header_and_feed_give_the_same_role_byte_for_byte(filed: tuple[list[archive.Party], str]) -> None:
    parties, form = filed
    if not all(party.name.isascii() for party in parties):
        # The stand-in writes headers as UTF-8, the feed as Latin-1: EDGAR's conformed names are ASCII.
        parties = [archive.Party(p.cik, p.name.encode("ascii", "ignore").decode() or "X", p.role) for p in parties]
    made = submission(parties, form)
    assert role_payloads(made, made.accepted_at) == entry_role_payloads(entries_of(parties, form))


def test_a_company_that_files_about_itself_has_no_filers() -> None:
    itself = archive.Party(1, "ACME CORP", "filed-by")
    for parties in ([ACME, itself], [archive.Party(1, "ACME CORP", "filer")]):
        made = submission(parties, "DEFC14A")
        ((cik, payload),) = role_payloads(made, made.accepted_at)
        assert (cik, payload["filers"]) == ("0000000001", [])
        assert entry_role_payloads(entries_of(parties, "DEFC14A")) == [(cik, payload)]


def test_one_side_of_a_filing_is_no_role_yet() -> None:
    for parties in ([ACME], [BUYER]):
        with pytest.raises(RecordError, match="0000000009-26-000001"):
            entry_role_payloads(entries_of(parties, "SCHEDULE 13D"))
    with pytest.raises(RecordError, match="SUBJECT COMPANY"):
        role_payloads(submission([BUYER], "SC TO-T"), None)


@needs_data
@pytest.mark.archive
@pytest.mark.parametrize(
    ("name", "accession", "subject", "filer", "accepted"),
    [
        ("sc13da_real_header_variant", "0001193125-24-275026", "0001083839", "0000072971", "2024-12-11T15:47:38"),
        ("sc13ga_real_header_variant", "0000019617-24-000658", "0000751978", "0000019617", "2024-12-04T19:38:58"),
    ],
)
def test_recorded_headers(name: str, accession: str, subject: str, filer: str, accepted: str) -> None:
    body = (DATA / f"sec/sc13_headers/{name}.txt").read_bytes()
    made = parse_submission(body, accession, header_suffices=True)
    ((cik, payload),) = role_payloads(made, made.accepted_at)
    assert (cik, [one["cik"] for one in payload["filers"]]) == (subject, [filer])
    assert payload["accepted_at"] == f"{accepted}+00:00"
    # What must hold documents is not whole with its header alone, and a cut header never is.
    with pytest.raises(RecordError, match="body"):
        parse_submission(body, accession)
    with pytest.raises(RecordError, match="body"):
        parse_submission(body[:-30], accession, header_suffices=True)


# --- Schedules 13D and 13G

ACTIVE = """<?xml version="1.0" encoding="UTF-8"?>
<edgarSubmission xmlns="http://www.sec.gov/edgar/schedule13D" xmlns:com="http://www.sec.gov/edgar/common">
<headerData><submissionType>SCHEDULE 13D</submissionType></headerData><formData>
<coverPageHeader><dateOfEvent>12/31/2024</dateOfEvent>
<issuerInfo><issuerCIK>0001422142</issuerCIK><issuerName>Aadi Bioscience, Inc.</issuerName></issuerInfo>
</coverPageHeader>
<reportingPersons>
<reportingPersonInfo><reportingPersonCIK>0001373604</reportingPersonCIK>
<reportingPersonName>BML Investment Partners, L.P.</reportingPersonName>
<aggregateAmountOwned>2100000</aggregateAmountOwned><isAggregateExcludeShares>N</isAggregateExcludeShares>
<percentOfClass>8.5</percentOfClass></reportingPersonInfo>
<reportingPersonInfo><reportingPersonNoCIK>Y</reportingPersonNoCIK>
<reportingPersonName>Leonard Braden Michael</reportingPersonName>
<aggregateAmountOwned>2435000</aggregateAmountOwned><percentOfClass>9.9</percentOfClass></reportingPersonInfo>
</reportingPersons></formData></edgarSubmission>"""
PASSIVE = """<edgarSubmission xmlns="http://www.sec.gov/edgar/schedule13g">
<headerData><submissionType>SCHEDULE 13G</submissionType></headerData><formData>
<coverPageHeader><eventDateRequiresFilingThisStatement>11/19/2025</eventDateRequiresFilingThisStatement>
<issuerInfo><issuerCik>0001909747</issuerCik><issuerName>Jushi Holdings Inc.</issuerName></issuerInfo></coverPageHeader>
<coverPageHeaderReportingPersonDetails><reportingPersonName>Marex Group plc</reportingPersonName>
<reportingPersonBeneficiallyOwnedAggregateNumberOfShares>10000000.00</reportingPersonBeneficiallyOwnedAggregateNumberOfShares>
<classPercent>5.1</classPercent></coverPageHeaderReportingPersonDetails></formData></edgarSubmission>"""


def test_a_schedule_has_its_persons_and_the_largest_share() -> None:
    """Persons of one filing restate one holding: 9.9 holds the 8.5."""
    made = parse_schedule_13(ACTIVE.encode(), "x")
    assert (made.issuer, made.event_date, made.percent) == ("0001422142", "2024-12-31", "9.9")
    assert made.persons == (
        {"cik": "0001373604", "name": "BML Investment Partners, L.P.", "percent": "8.5", "shares": "2100000"},
        {"cik": None, "name": "Leonard Braden Michael", "percent": "9.9", "shares": "2435000"},
    )
    passive = parse_schedule_13(PASSIVE.encode(), "x")
    assert (passive.issuer, passive.event_date, passive.percent) == ("0001909747", "2025-11-19", "5.1")
    larger = ACTIVE.replace("<percentOfClass>8.5", "<percentOfClass>18.65")
    assert parse_schedule_13(larger.encode(), "x").percent == "18.65"


def test_an_amendment_may_leave_its_figures_out() -> None:
    amended = re.sub(r"<percentOfClass>.*?</percentOfClass>", "", ACTIVE).replace(">SCHEDULE 13D<", ">SCHEDULE 13D/A<")
    made = parse_schedule_13(amended.encode(), "x")
    assert made.percent is None and [person["percent"] for person in made.persons] == [None, None]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("8.5", "108.5", "percentOfClass"),
        ("8.5", "-8.5", "percentOfClass"),
        ("8.5", "about nine", "percentOfClass"),
        ("2435000", "-1", "aggregateAmountOwned"),
        ("12/31/2024", "13/31/2024", "dateOfEvent"),
        (">SCHEDULE 13D<", ">8-K<", "submissionType"),
        ("0001422142", "", "issuerInfo.issuerCik"),
        ("reportingPersonInfo>", "somebody>", "reportingPersons/reportingPersonInfo"),
        ("edgarSubmission", "submission", "root"),
        ("</formData>", "", "body"),
        ("<edgarSubmission", '<!DOCTYPE x [<!ENTITY a "b">]><edgarSubmission', "body"),
    ],
)
def test_a_schedule_that_cannot_be_read_is_refused_by_field(old: str, new: str, field: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse_schedule_13(ACTIVE.replace(old, new).encode(), "x")
    assert caught.value.field == field


def test_edgartools_reads_the_same_schedules() -> None:
    from edgar.beneficial_ownership.schedule13 import Schedule13D, Schedule13G

    for theirs, document in ((Schedule13D.parse_xml(ACTIVE), ACTIVE), (Schedule13G.parse_xml(PASSIVE), PASSIVE)):
        ours = parse_schedule_13(document.encode(), "x")
        assert theirs["issuer_info"].cik == ours.issuer
        read = [(p.cik, p.name, p.percent_of_class, p.aggregate_amount) for p in theirs["reporting_persons"]]
        expected = [
            (p["cik"] or "", p["name"], float(p["percent"] or 0), float(p["shares"] or 0)) for p in ours.persons
        ]
        assert [(cik or "", name, share, shares) for cik, name, share, shares in read] == expected


def test_a_structured_schedule_gives_the_role_its_percentage() -> None:
    subject = archive.Party(1_422_142, "AADI BIOSCIENCE, INC.", "subject")
    parts = [("SCHEDULE 13D", "primary_doc.xml", ACTIVE), ("EX-99", "letter.htm", "<p>Dear Board</p>")]
    made = submission([subject, BUYER], "SCHEDULE 13D", parts)
    ((_, payload),) = role_payloads(made, made.accepted_at)
    assert (payload["percent"], payload["event_date"], len(payload["persons"])) == ("9.9", "2024-12-31", 2)
    with pytest.raises(RecordError, match="issuerInfo"):
        role_payloads(submission([ACME, BUYER], "SCHEDULE 13D", parts), None)


# --- Form 144

NOTICE = """
<?xml version="1.0" encoding="UTF-8"?><ns2:edgarSubmission xmlns:com="http://www.sec.gov/edgar/common" xmlns:ns2="http://www.sec.gov/edgar/ownership">
<ns2:headerData><ns2:submissionType>144</ns2:submissionType><ns2:filerInfo><ns2:filer><ns2:filerCredentials>
<ns2:cik>0001513362</ns2:cik><ns2:ccc>hidden</ns2:ccc></ns2:filerCredentials></ns2:filer>
<ns2:liveTestFlag>LIVE</ns2:liveTestFlag></ns2:filerInfo></ns2:headerData><ns2:formData>
<ns2:issuerInfo><ns2:issuerCik>0000320193</ns2:issuerCik><ns2:issuerName>Apple Inc.</ns2:issuerName>
<ns2:secFileNumber>001-36743</ns2:secFileNumber>
<ns2:issuerAddress><com:street1>1 Apple Park Way</com:street1><com:city>Cupertino</com:city></ns2:issuerAddress>
<ns2:SELLER>Luca Maestri</ns2:SELLER>
<ns2:relationshipsToIssuer><ns2:relationshipToIssuer>Director</ns2:relationshipToIssuer></ns2:relationshipsToIssuer>
</ns2:issuerInfo>
<ns2:securitiesInformation><ns2:securitiesClassTitle>Common</ns2:securitiesClassTitle>
<ns2:brokerOrMarketmakerDetails><ns2:name>Goldman Sachs &amp; Co. LLC</ns2:name></ns2:brokerOrMarketmakerDetails>
<ns2:noOfUnitsSold>69996</ns2:noOfUnitsSold><ns2:aggregateMarketValue>11588537.76</ns2:aggregateMarketValue>
<ns2:noOfUnitsOutstanding>15821946000</ns2:noOfUnitsOutstanding><ns2:approxSaleDate>04/13/2023</ns2:approxSaleDate>
<ns2:securitiesExchangeName>NASD</ns2:securitiesExchangeName></ns2:securitiesInformation>
<ns2:securitiesToBeSold><ns2:securitiesClassTitle>Common</ns2:securitiesClassTitle><ns2:acquiredDate>03/31/2023</ns2:acquiredDate>
<ns2:natureOfAcquisitionTransaction>Restricted Stock Units</ns2:natureOfAcquisitionTransaction>
<ns2:nameOfPersonfromWhomAcquired>The Issuer</ns2:nameOfPersonfromWhomAcquired>
<ns2:isGiftTransaction>N</ns2:isGiftTransaction><ns2:amountOfSecuritiesAcquired>69996</ns2:amountOfSecuritiesAcquired>
<ns2:paymentDate>03/31/2023</ns2:paymentDate><ns2:natureOfPayment>Compensation</ns2:natureOfPayment></ns2:securitiesToBeSold>
<ns2:nothingToReportFlagOnSecuritiesSoldInPast3Months>N</ns2:nothingToReportFlagOnSecuritiesSoldInPast3Months>
<ns2:securitiesSoldInPast3Months><ns2:sellerDetails><ns2:name>Luca Maestri</ns2:name><ns2:address/></ns2:sellerDetails>
<ns2:securitiesClassTitle>Common</ns2:securitiesClassTitle><ns2:saleDate>04/06/2023</ns2:saleDate>
<ns2:amountOfSecuritiesSold>200</ns2:amountOfSecuritiesSold><ns2:grossProceeds>32932</ns2:grossProceeds></ns2:securitiesSoldInPast3Months>
<ns2:remarks>Under a plan dated
 11-15-22.</ns2:remarks>
<ns2:noticeSignature><ns2:noticeDate>04/13/2023</ns2:noticeDate><ns2:planAdoptionDates>
<ns2:planAdoptionDate>11/15/2022</ns2:planAdoptionDate></ns2:planAdoptionDates>
<ns2:signature>Goldman Sachs &amp; Co. LLC</ns2:signature></ns2:noticeSignature></ns2:formData></ns2:edgarSubmission>
""".replace("SELLER", "nameOfPersonForWhoseAccountTheSecuritiesAreToBeSold")


def test_a_notice_by_value() -> None:
    """Figures of Apple's Form 144 of 2023-04-13 for L. Maestri."""
    assert parse_form_144(NOTICE.encode(), "x") == {
        "document_type": "144",
        "previous_accession": None,
        "issuer": {"cik": "0000320193", "name": "Apple Inc.", "file_number": "001-36743"},
        "seller": "Luca Maestri",
        "relationships": ["Director"],
        "securities": [
            {"class_title": "Common", "broker": "Goldman Sachs & Co. LLC", "shares": "69996",
             "aggregate_market_value": "11588537.76", "shares_outstanding": "15821946000",
             "approx_sale_date": "2023-04-13", "exchange": "NASD"}
        ],
        "acquisitions": [
            {"class_title": "Common", "acquired_date": "2023-03-31", "nature": "Restricted Stock Units",
             "acquired_from": "The Issuer", "is_gift": False, "donor_acquired_date": None, "shares": "69996",
             "payment_date": "2023-03-31", "nature_of_payment": "Compensation"}
        ],
        "nothing_sold_in_3_months": False,
        "sold_in_3_months": [
            {"seller": "Luca Maestri", "class_title": "Common", "sale_date": "2023-04-06", "shares": "200",
             "gross_proceeds": "32932"}
        ],
        "remarks": "Under a plan dated 11-15-22.",
        "notice_date": "2023-04-13",
        "plan_adoption_dates": ["2022-11-15"],
        "signature": "Goldman Sachs & Co. LLC",
    }  # fmt: skip


def test_edgartools_reads_the_same_notice() -> None:
    from edgar.ownership.form144 import Form144

    theirs: dict[str, Any] = Form144.parse_xml(NOTICE.strip())
    ours = parse_form_144(NOTICE.encode(), "x")
    assert (theirs["issuer_cik"], theirs["person_selling"], theirs["relationships"]) == (
        ours["issuer"]["cik"], ours["seller"], ours["relationships"]
    )  # fmt: skip
    (row,) = theirs["securities_information"].to_dict("records")
    (security,) = ours["securities"]
    assert (row["units_to_be_sold"], row["market_value"], row["units_outstanding"]) == (
        69_996,
        11_588_537.76,
        15_821_946_000,
    )
    assert (int(security["shares"]), float(security["aggregate_market_value"])) == (69_996, 11_588_537.76)
    assert row["broker_name"] == security["broker"] and row["exchange_name"] == security["exchange"]
    (sold,) = theirs["securities_sold_past_3_months"].to_dict("records")
    assert (str(sold["amount_sold"]), float(sold["gross_proceeds"])) == ("200", 32_932.0)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("69996</ns2:noOf", "-5</ns2:noOf", "noOfUnitsSold"),
        ("<ns2:noOfUnitsSold>69996</ns2:noOfUnitsSold>", "", "noOfUnitsSold"),
        ("11588537.76", "1.1e7", "aggregateMarketValue"),
        ("<ns2:approxSaleDate>04/13/2023", "<ns2:approxSaleDate>02/30/2023", "approxSaleDate"),
        ("<ns2:approxSaleDate>04/13/2023", "<ns2:approxSaleDate>soon", "approxSaleDate"),
        ("11/15/2022", "11/15/22", "planAdoptionDate"),
        ("<ns2:isGiftTransaction>N", "<ns2:isGiftTransaction>maybe", "isGiftTransaction"),
        ("0000320193", "Apple", "issuerInfo.issuerCik"),
        (">144<", ">4<", "submissionType"),
        (">Luca Maestri</ns2:nameOf", "></ns2:nameOf", "nameOfPersonForWhoseAccountTheSecuritiesAreToBeSold"),
        ("securitiesInformation", "other", "securitiesInformation"),
        ("?><ns2", '?><!DOCTYPE x [<!ENTITY a "b">]><ns2', "body"),
    ],
)
def test_a_notice_that_cannot_be_read_is_refused_by_field(old: str, new: str, field: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse_form_144(NOTICE.replace(old, new).encode(), "x")
    assert caught.value.field == field


def test_the_notice_is_about_the_subject_of_its_header() -> None:
    owner = archive.Party(1_513_362, "MAESTRI LUCA", "reporting-owner")
    made = submission([archive.Party(320_193, "Apple Inc.", "subject"), owner], "144")
    payload = form_144_payload(made, NOTICE.encode(), made.accepted_at)
    assert payload["reporting_owners"] == [{"cik": "0001513362", "name": "MAESTRI LUCA"}]
    assert payload["accepted_at"] == "2026-01-09T22:25:26+00:00"
    with pytest.raises(RecordError, match=r"issuerInfo\.issuerCik"):
        form_144_payload(submission([ACME, owner], "144"), NOTICE.encode(), None)


# --- broken input


@st.composite
def _broken(draw: st.DrawFn) -> tuple[int, bytes]:
    which = draw(st.integers(0, 3))
    body = [ACTIVE.encode(), PASSIVE.encode(), NOTICE.encode(), feed(ENTRY, ENTRY)][which]
    low = draw(st.integers(0, len(body)))
    high = draw(st.integers(low, min(low + 40, len(body))))
    return which, body[:low] + draw(st.binary(max_size=12)) + body[high:]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(_broken())
def test_a_mutated_document_is_read_or_refused_and_nothing_else(broken: tuple[int, bytes]) -> None:
    which, body = broken
    try:
        if which == 3:
            for entry in parse_current_feed(body, "x"):
                assert isinstance(entry, CurrentEntry | RecordError)
        else:
            (parse_schedule_13, parse_schedule_13, parse_form_144)[which](body, "x")
    except RecordError as error:
        assert error.record.startswith("x") and error.field


def test_names_with_markup_are_unescaped_once() -> None:
    name = "A&amp;B <x> Corp"
    page = feed(ENTRY.replace("Acme &amp; Sons (Holding) Corp.", escape(name)))
    (entry,) = parse_current_feed(page, "page")
    assert isinstance(entry, CurrentEntry) and entry.party.name == name
