"""The EDGAR parsers: traps one by one on small documents, then every recorded document."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaldelta_assets.collectors.edgar.parsers import (
    form_8k_payload,
    item_numbers,
    ownership_payload,
    parse_daily_index,
    parse_main,
    parse_ownership,
    parse_page,
    parse_submission,
)
from signaldelta_assets.collectors.edgar.parsers.text import document_text
from signaldelta_assets.errors import RecordError
from tests.paths import DATA, needs_data

ACCESSION = "0000950123-24-000001"


def submission(
    *documents: tuple[str, str, str], header: str = "", form: str = "8-K", end: str = "</SEC-DOCUMENT>\n"
) -> bytes:
    """A full submission with one filer; `documents` are (type, file name, text)."""
    parts = [
        f"<SEC-DOCUMENT>{ACCESSION}.txt : 20240102\n<SEC-HEADER>{ACCESSION}.hdr.sgml : 20240102\n"
        f"<ACCEPTANCE-DATETIME>20240102161500\nACCESSION NUMBER:\t\t{ACCESSION}\n"
        f"CONFORMED SUBMISSION TYPE:\t{form}\nCONFORMED PERIOD OF REPORT:\t20231229\n{header}"
        "FILED AS OF DATE:\t\t20240102\n\nFILER:\n\n\tCOMPANY DATA:\t\n"
        "\t\tCOMPANY CONFORMED NAME:\t\t\tACME CORP\n\t\tCENTRAL INDEX KEY:\t\t\t0000012345\n</SEC-HEADER>\n"
    ]
    parts += [
        f"<DOCUMENT>\n<TYPE>{kind}\n<SEQUENCE>{n}\n<FILENAME>{name}\n<TEXT>\n{text}\n</TEXT>\n</DOCUMENT>\n"
        for n, (kind, name, text) in enumerate(documents, 1)
    ]
    return ("".join(parts) + end).encode()


MAIN = ("8-K", "main.htm", "<html><body><p>Item 8.01 &amp; more</p></body></html>")


# --- full submissions and 8-Ks ----------------------------------------------------------------------------------


def test_an_8k_gives_one_payload_per_registrant() -> None:
    second = (
        "\nFILER:\n\n\tCOMPANY DATA:\n\t\tCOMPANY CONFORMED NAME:\tACME SUB LLC\n\t\tCENTRAL INDEX KEY:\t0000054321\n"
    )
    body = submission(MAIN, header="ITEM INFORMATION:\t\tOther Events\n")
    body = body.replace(b"</SEC-HEADER>", second.encode() + second.encode() + b"</SEC-HEADER>")
    payloads = form_8k_payload(parse_submission(body, ACCESSION))
    assert [cik for cik, _ in payloads] == ["0000012345", "0000054321"]
    first = payloads[0][1]
    assert first["registrants"] == [
        {"cik": "0000012345", "name": "ACME CORP"},
        {"cik": "0000054321", "name": "ACME SUB LLC"},
    ]
    assert first | {"cik": "0000054321"} == payloads[1][1]
    assert first["items"] == ["8.01"]
    assert first["accepted_at"] == "2024-01-02T21:15:00+00:00"
    assert (first["period_of_report"], first["filed_date"]) == ("2023-12-29", "2024-01-02")
    assert first["text"] == "Item 8.01 & more"
    assert first["documents"] == [{"type": "8-K", "sequence": "1", "filename": "main.htm", "description": None}]


def test_exhibits_are_listed_and_not_kept() -> None:
    exhibit = ("EX-99.1", "ex.htm", "<html><body>SECRET RESULTS</body></html>")
    picture = ("GRAPHIC", "logo.jpg", "begin 644 logo.jpg\nM_]C_X  02D9)1@\nend")
    ((_, payload),) = form_8k_payload(parse_submission(submission(MAIN, exhibit, picture), ACCESSION))
    assert [d["type"] for d in payload["documents"]] == ["8-K", "EX-99.1", "GRAPHIC"]
    assert "SECRET" not in payload["text"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (submission(MAIN, end=""), "body"),
        (b"<html>not found</html></SEC-DOCUMENT>", "header"),
        (submission(MAIN).replace(ACCESSION.encode(), b"0000950123-24-000002"), "ACCESSION NUMBER"),
        (submission(MAIN).replace(b"FILED AS OF DATE:\t\t20240102", b""), "FILED AS OF DATE"),
        (submission(MAIN).replace(b"20240102161500", b"2024010216"), "ACCEPTANCE-DATETIME"),
        (submission(MAIN).replace(b"FILER:", b"OTHER:"), "FILER"),
        (submission(("EX-1", "a.htm", "x")).replace(b"<SEQUENCE>1", b"<SEQUENCE>2"), "DOCUMENT"),
        (submission(MAIN, form="10-K"), "CONFORMED SUBMISSION TYPE"),
        (submission(MAIN, header="ITEM INFORMATION:\tLunch\n"), "ITEM INFORMATION"),
    ],
)
def test_a_submission_that_cannot_be_read_names_the_field(body: bytes, field: str) -> None:
    with pytest.raises(RecordError) as caught:
        form_8k_payload(parse_submission(body, ACCESSION))
    assert caught.value.field == field


def test_a_header_without_acceptance_time_has_none() -> None:
    body = submission(MAIN).replace(b"<ACCEPTANCE-DATETIME>20240102161500\n", b"")
    assert parse_submission(body, ACCESSION).accepted_at is None


def test_the_same_words_are_other_items_before_the_new_numbering() -> None:
    lines = ["Financial statements and exhibits", "Other events", "", "Changes in control of registrant"]
    assert item_numbers("x", lines, date(2004, 8, 22)) == ["7", "5", "1"]
    assert item_numbers("x", lines, date(2004, 8, 23)) == ["9.01", "8.01", "5.01"]


def test_items_may_be_numbers_or_unnamed_tags() -> None:
    assert item_numbers("x", ["<ITEMS>1.05", "Item 2.02", "7", "<ITEMS>1.05"], None) == ["1.05", "2.02", "7"]


def test_hidden_text_and_scripts_are_no_text() -> None:
    page = (
        "<html><head><title>T</title></head><body><script>x()</script><ix:header>hidden</ix:header>tail"
        "<div style='DISPLAY: none'>gone</div><p>One\ntwo&nbsp;&#8220;three&#8221;</p><table><tr><td>a</td><td>b</td>"
        "</tr><tr><td>c</td></tr></table></body></html>"
    )
    assert document_text(page.encode(), "x") == "tail\nOne two “three”\na b\nc"


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",)), max_size=200))
def test_text_never_fails_and_holds_nothing_the_database_refuses(text: str) -> None:
    for body in (text.encode(), b"<html><body><p>" + text.encode() + b"</p></body></html>"):
        out = document_text(body, "x")
        assert "\x00" not in out
        assert all(line and line == line.strip() for line in out.split("\n") if out)


# --- ownership --------------------------------------------------------------------------------------------------

LINE = """<nonDerivativeTransaction><securityTitle><value>Common Stock</value><footnoteId id="F2"/></securityTitle>
<transactionDate><value>2024-01-02-05:00</value></transactionDate>
<transactionCoding><transactionFormType>4</transactionFormType><transactionCode>P</transactionCode>
<equitySwapInvolved>0</equitySwapInvolved></transactionCoding>
<transactionAmounts><transactionShares><value>1000.50</value></transactionShares>
<transactionPricePerShare><value>12.3400</value><footnoteId id="F1"/></transactionPricePerShare>
<transactionAcquiredDisposedCode><value>A</value></transactionAcquiredDisposedCode></transactionAmounts>
<postTransactionAmounts><sharesOwnedFollowingTransaction><value>5000</value></sharesOwnedFollowingTransaction>
</postTransactionAmounts><ownershipNature><directOrIndirectOwnership><value>I</value></directOrIndirectOwnership>
<natureOfOwnership><value>By  trust</value></natureOfOwnership></ownershipNature></nonDerivativeTransaction>"""
HOLDING = "<nonDerivativeHolding><securityTitle><value>Class B</value></securityTitle></nonDerivativeHolding>"


def ownership(lines: str = LINE, extra: str = "", root: str = "ownershipDocument", owners: int = 1) -> bytes:
    owner = (
        "<reportingOwner><reportingOwnerId><rptOwnerCik>{}</rptOwnerCik><rptOwnerName>Doe Jane</rptOwnerName>"
        "</reportingOwnerId><reportingOwnerRelationship><isDirector>true</isDirector><isOfficer>0</isOfficer>"
        "<officerTitle></officerTitle></reportingOwnerRelationship></reportingOwner>"
    )
    return (
        f"<{root}><schemaVersion>X0306</schemaVersion><documentType>4</documentType>"
        "<periodOfReport>2024-01-02</periodOfReport><issuer><issuerCik>12345</issuerCik>"
        "<issuerName>ACME</issuerName><issuerTradingSymbol>ACM</issuerTradingSymbol></issuer>"
        f"{''.join(owner.format(n + 1) for n in range(owners))}{extra}"
        f"<nonDerivativeTable>{lines}</nonDerivativeTable>"
        '<footnotes><footnote id="F1">An\n average.</footnote></footnotes></' + root + ">"
    ).encode()


def test_a_line_keeps_its_decimals_and_all_its_footnotes() -> None:
    payload = parse_ownership(ownership(HOLDING + LINE), "x")
    (line,) = payload["non_derivative_transactions"]
    assert line["line"] == 2
    assert (line["shares"], line["price"], line["shares_owned_following"]) == ("1000.50", "12.3400", "5000")
    assert line["transaction_date"] == "2024-01-02"
    assert line["footnote_ids"] == ["F2", "F1"]
    assert line["price_footnote_ids"] == ["F1"]
    assert (line["direct_indirect"], line["nature_of_ownership"]) == ("I", "By trust")
    assert line["equity_swap_involved"] is False
    assert payload["non_derivative_holdings"][0]["line"] == 1
    assert payload["footnotes"] == {"F1": "An average."}
    assert payload["issuer"]["cik"] == "0000012345"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("<aff10b5One>1</aff10b5One>", True), ("<aff10b5One>false</aff10b5One>", False),
     ("<aff10b5One></aff10b5One>", None), ("<aff10b5One> true </aff10b5One>", True)],
)  # fmt: skip
def test_the_plan_box_may_be_absent_and_has_four_spellings(text: str, expected: bool | None) -> None:
    assert parse_ownership(ownership(extra=text), "x")["aff10b5_one"] is expected


def test_several_owners_are_all_kept_in_order() -> None:
    owners = parse_ownership(ownership(owners=3), "x")["owners"]
    assert [owner["cik"] for owner in owners] == ["0000000001", "0000000002", "0000000003"]
    assert owners[0]["is_director"] is True
    assert owners[0]["officer_title"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (ownership()[:-5], "body"),
        (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + ownership(), "body"),
        (ownership(root="edgarSubmission"), "root"),
        (ownership(owners=0), "reportingOwner"),
        (ownership().replace(b"<documentType>4<", b"<documentType>144<"), "documentType"),
        (ownership().replace(b"12.3400", b"12,34"), "transactionAmounts/transactionPricePerShare"),
        (ownership().replace(b"<value>A<", b"<value>X<"), "transactionAcquiredDisposedCode"),
        (ownership().replace(b"<isDirector>true<", b"<isDirector>maybe<"), "reportingOwnerRelationship/isDirector"),
        (ownership().replace(b"<issuerCik>12345<", b"<issuerCik>12a<"), "issuer.issuerCik"),
        (ownership().replace(b"2024-01-02-05:00", b"2024-02-30"), "transactionDate"),
    ],
)
def test_an_ownership_document_that_cannot_be_read_names_the_field(body: bytes, field: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse_ownership(body, "x")
    assert caught.value.field == field


def test_acceptance_source_goes_with_acceptance() -> None:
    when = datetime(2024, 1, 3, 1, tzinfo=UTC)
    timed = ownership_payload(ownership(), ACCESSION, when, "submissions", date(2024, 1, 2))
    assert (timed["accepted_at"], timed["acceptance_source"]) == ("2024-01-03T01:00:00+00:00", "submissions")
    untimed = ownership_payload(ownership(), ACCESSION, None, "submissions", None)
    assert (untimed["accepted_at"], untimed["acceptance_source"], untimed["filing_date"]) == (None, None, None)


# --- submissions and indexes ------------------------------------------------------------------------------------


def columns(**changed: Any) -> dict[str, Any]:
    one = {
        "accessionNumber": [ACCESSION], "form": ["4"], "items": [""], "filingDate": ["2024-01-02"], "reportDate": [""],
        "acceptanceDateTime": ["2024-01-02T21:15:00.000Z"], "primaryDocument": ["a.xml"],
        "primaryDocDescription": [""], "fileNumber": [""], "size": [1], "isXBRL": [0],
    }  # fmt: skip
    return one | changed


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(RecordError) as caught:
        parse_page(orjson.dumps(columns(form=[])), "page")
    assert caught.value.field == "form"


def test_a_bad_row_is_named_and_the_others_stay() -> None:
    two = {key: value * 2 for key, value in columns().items()} | {"filingDate": ["2024-01-02", "soon"]}
    rows, bad = parse_page(orjson.dumps(two), "page")
    assert len(rows) == 1
    assert [(error.field, error.found) for error in bad] == [("filingDate", "soon")]
    assert rows.at[0, "accepted_raw"] == datetime(2024, 1, 2, 21, 15)


def test_a_page_name_that_is_no_page_name_is_refused() -> None:
    document = {
        "cik": "1", "name": "A", "filings": {"recent": columns(), "files": [{"name": "../../etc/passwd"}]},
    }  # fmt: skip
    with pytest.raises(RecordError, match=r"filings\.files\.name"):
        parse_main(orjson.dumps(document), "CIK")


INDEX = b"""Form Type   Company Name                      CIK         Date Filed  File Name
---------------------------------------------------------------------------------------------
4           DOE JANE                          1234        20240102    edgar/data/1234/0000950123-24-000001.txt
SCHEDULE 13G/A  LONG NAME 4 LESS INC          99          2024-01-02  edgar/data/99/0000950123-24-000002.txt
8-K         CUT LINE
"""


def test_the_form_index_is_read_from_the_right() -> None:
    entries = list(parse_daily_index(INDEX, "form.20240102.idx"))
    assert [(e.form, e.cik, e.filed) for e in entries if not isinstance(e, RecordError)] == [
        ("4", "0000001234", date(2024, 1, 2)),
        ("SCHEDULE 13G/A", "0000000099", date(2024, 1, 2)),
    ]
    assert isinstance(entries[2], RecordError)
    assert entries[2].record == "form.20240102.idx:5"
    assert [e.company for e in entries if not isinstance(e, RecordError)] == ["DOE JANE", "LONG NAME 4 LESS INC"]


def test_a_line_with_an_impossible_date_costs_that_line_alone() -> None:
    lines = INDEX.replace(b"20240102    edgar/data/1234", b"20241302    edgar/data/1234")
    first, second, _ = parse_daily_index(lines, "form.20240102.idx")
    assert isinstance(first, RecordError) and (first.record, first.field) == ("form.20240102.idx:3", "Date Filed")
    assert not isinstance(second, RecordError) and second.form == "SCHEDULE 13G/A"


def test_a_form_type_as_wide_as_its_column_ends_there() -> None:
    line = b"SCHEDULE 13GACME CORP                    99    2024-01-02  edgar/data/99/0000950123-24-000002.txt\n"
    *_, entry = parse_daily_index(INDEX + line, "form.20240102.idx")
    assert not isinstance(entry, RecordError) and (entry.form, entry.company) == ("SCHEDULE 13G", "ACME CORP")
    *_, ambiguous = parse_daily_index(INDEX + line.replace(b"13GACME", b"13G/AACME"), "form.20240102.idx")
    assert isinstance(ambiguous, RecordError)


def test_what_is_no_index_is_refused() -> None:
    with pytest.raises(RecordError):
        list(parse_daily_index(b"<html>AccessDenied</html>", "form.20240102.idx"))


# --- every recorded document ------------------------------------------------------------------------------------


@needs_data
@pytest.mark.archive
def test_every_recorded_8k_is_read() -> None:
    files = sorted(DATA.glob("sec/8k_full_submissions/*/*.gz"))
    assert files
    for path in files:
        for cik, payload in form_8k_payload(parse_submission(gzip.decompress(path.read_bytes()), path.name[:20])):
            assert payload["items"], path.name
            assert payload["accepted_at"] is not None
            assert len(payload["text"]) > 500, path.name
            assert cik in {registrant["cik"] for registrant in payload["registrants"]}


@needs_data
@pytest.mark.archive
def test_every_recorded_submissions_file_is_read_whole() -> None:
    for path in sorted(DATA.glob("sec/submissions/*/*.json*")):
        body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        document = orjson.loads(body)
        if "data" in document:
            document, body = document["data"], orjson.dumps(document["data"])
        if "filings" in document:
            parsed = parse_main(body, path.name)
            rows, bad, given = parsed.rows, parsed.bad_rows, document["filings"]["recent"]
        else:
            rows, bad = parse_page(body, path.name)
            given = document
        assert not bad, path.name
        assert rows["accession"].tolist() == given["accessionNumber"]
        assert rows["accepted_raw"].notna().all(), path.name


@needs_data
@pytest.mark.archive
def test_the_recorded_index_files() -> None:
    def read(name: str) -> list[Any]:
        path = DATA / "sec/index_files" / name
        body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return list(parse_daily_index(body, name))

    assert read("empty-form.idx") == []
    entries = read("form.20200318.idx.gz")
    assert not [entry for entry in entries if isinstance(entry, RecordError)]
    assert sum(entry.form == "8-K" for entry in entries) > 100
    # Most of a day's filings were filed that day; what is released late stands in the index of its release.
    late = [entry for entry in entries if entry.filed != date(2020, 3, 18)]
    assert (len(entries), len(late), min(entry.filed for entry in late)) == (4084, 144, date(2019, 7, 18))
    # A company index has the same lines in another order of columns, and names them in two lines.
    companies = read("company.20221003.idx.gz")
    assert not [entry for entry in companies if isinstance(entry, RecordError)]
    assert (companies[0].company, companies[0].form) == ("1st stREIT Office Inc.", "1-A POS")
    assert sum(entry.form == "SC 13D/A" for entry in companies) > 10
    # A quarterly file, cut to a few lines: one name fills its column to the end, and is read.
    bad = read("badform.idx.txt")
    assert [entry for entry in bad if isinstance(entry, RecordError)] == []
    assert "UNITED PLANNERS' FINANCIAL SERVICES OF AMERICA A LIMITED PARTNER" in {entry.company for entry in bad}
