"""The items of every recorded 8-K against another's reading of the same documents: edgartools.

Three readings: the header's item lines (ours, by number; theirs, as words), the headings in the text (ours are those by
which the rules find an item's text), and edgartools' `CurrentReport.items`, which it finds in the document alone.
"""

from __future__ import annotations

import csv
import gzip
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any, NamedTuple

import pytest

from signaldelta_assets.collectors.edgar.parsers import form_8k_payload, parse_submission
from signaldelta_assets.collectors.edgar.parsers.items import NEW_NUMBERING_SINCE
from signaldelta_assets.extractors.form8k import headed_items
from tests.paths import DATA, needs_data

pytestmark = [needs_data, pytest.mark.archive]


class Read(NamedTuple):
    """One document: its items by our header, by our headings, by edgartools' text; and both readings of the header."""

    accession: str
    filed: date
    is_whole: bool
    header: frozenset[str]
    headings: frozenset[str]
    theirs: frozenset[str] | None
    lines: str
    their_lines: str


def documents() -> Iterator[tuple[str, bytes, bool]]:
    """Yield (accession, submission text, whether it was recorded whole); main documents get a header of their own."""
    for path in sorted(DATA.glob("sec/8k_full_submissions/*/*.gz")):
        yield path.name[:20], gzip.decompress(path.read_bytes()), True
    folder = DATA / "sec/8k_main_documents"
    with (folder / "filings_metadata.csv").open(encoding="utf-8") as table:
        rows = {row["filename"]: row for row in csv.DictReader(table)}
    with zipfile.ZipFile(folder / "8k_main_documents.zip") as archive:
        for member in sorted(archive.namelist()):
            row = rows.get(member.rsplit("/", 1)[-1])
            named = re.search(r"\d{10}-\d{2}-\d{6}", member)
            if row is None or named is None:
                continue
            body = archive.read(member)
            is_whole = b"ACCESSION NUMBER:" in body[:5_000]
            yield named[0], body if is_whole else submission(named[0], row, body), is_whole


def submission(accession: str, row: dict[str, str], body: bytes) -> bytes:
    """Return a main document as a submission: recorded with its SGML tags, or as HTML alone."""
    head = (
        f"<SEC-DOCUMENT>{accession}.txt : 20200101\n<SEC-HEADER>{accession}.hdr.sgml : 20200101\n"
        f"ACCESSION NUMBER:\t\t{accession}\nCONFORMED SUBMISSION TYPE:\t8-K\nPUBLIC DOCUMENT COUNT:\t\t1\n"
        f"FILED AS OF DATE:\t\t{row['Filing Date'].replace('-', '')}\n\nFILER:\n\n\tCOMPANY DATA:\t\n"
        f"\t\tCOMPANY CONFORMED NAME:\t\t\tX\n\t\tCENTRAL INDEX KEY:\t\t\t{int(row['CIK']):010d}\n</SEC-HEADER>\n"
    )
    if b"<DOCUMENT>" not in body[:200]:
        body = b"<DOCUMENT>\n<TYPE>8-K\n<SEQUENCE>1\n<FILENAME>main.htm\n<TEXT>\n" + body
    for end in (b"</TEXT>", b"</DOCUMENT>"):
        body = body if body.rstrip().endswith((end, b"</DOCUMENT>")) else body + b"\n" + end
    return head.encode() + body + b"\n</SEC-DOCUMENT>\n"


def _once_each(parse: Any) -> Any:
    """Their parser's answer kept for the next question: it asks twice for the same, for sections and for the text."""
    last: tuple[Any, Any] = (None, None)

    def parsed(parser: Any, html: str) -> Any:
        nonlocal last
        asked = (html, parser.config)
        if last[0] != asked:
            last = (asked, parse(parser, html))
        return last[1]

    return parsed


@cache
def readings() -> tuple[Read, ...]:
    from edgar.documents.parser import HTMLParser

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTMLParser, "parse", _once_each(HTMLParser.parse))
        return tuple(_read(*document) for document in documents())


def _read(accession: str, body: bytes, is_whole: bool) -> Read:
    from edgar import Filing
    from edgar.company_reports.current_report import CurrentReport
    from edgar.exceptions import EdgarError

    ours = parse_submission(body, accession)
    payload = form_8k_payload(ours)[0][1]
    filing = Filing.from_sgml_text(body.decode("utf-8", errors="replace"))
    try:
        theirs = frozenset(item.removeprefix("Item ") for item in CurrentReport(filing).items)
    except EdgarError:
        # It finds nothing in the document and would ask the live service for another rendering of it.
        theirs = None
    # An empty line, whose words EDGAR lost, leaves a comma behind.
    said = re.sub(r"^(?:, )+|(?:, )+$", "", str(filing.header.filing_metadata.get("ITEM INFORMATION") or ""))
    return Read(
        accession, ours.filed, is_whole, frozenset(payload["items"]), headed_items(payload["text"]), theirs,
        ", ".join(line for line in ours.item_lines if line), said,
    )  # fmt: skip


def test_header_lines_are_the_same() -> None:
    whole = [one for one in readings() if one.is_whole]
    assert len(whole) == 400
    assert [one for one in whole if one.lines != one.their_lines] == []


def test_headings_in_texts_of_the_present_numbering() -> None:
    texts = [one for one in readings() if one.filed >= NEW_NUMBERING_SINCE]
    assert len(texts) == 759
    found = {one.accession: (one.headings, one.theirs) for one in texts if one.headings != one.theirs}
    assert found == {name: (ours, theirs) for name, (ours, theirs, _) in HEADINGS.items()}


# Read in the documents: ours, edgartools', and who is right.
HEADINGS = {
    "0000939057-08-000013": (
        {"1.01", "9.01"}, {"9.01"}, "neither: one heading, `Items 1.01(a) and 5.02(e)`, stands for two items"
    ),
    "0000939057-09-000355": ({"8.01", "9.01"}, {"9.01"}, "ours: the text begins with `Item 8.01 Other Events.`"),
}  # fmt: skip


def test_headers_against_headings() -> None:
    """What the filer told EDGAR, against what the document says."""
    texts = [one for one in readings() if one.filed >= NEW_NUMBERING_SINCE and one.is_whole]
    assert len(texts) == 364
    found = {one.accession: (one.header, one.headings) for one in texts if one.header != one.headings}
    assert found == HEADERS


# Header and document of a filing differ: the filer's own words, read the same by both. A document is right about what
# it holds; the header is what EDGAR announces, lists and searches by, and so what our record's items are.
HEADERS = {
    # Exhibits that the header does not mention.
    "0000019617-24-000275": ({"5.02"}, {"5.02", "9.01"}),
    "0000019617-24-000660": ({"5.02"}, {"5.02", "9.01"}),
    "0000019617-25-000056": ({"5.02"}, {"5.02", "9.01"}),
    "0000019617-26-000241": ({"5.02"}, {"5.02", "9.01"}),
    "0000066740-24-000023": ({"8.01"}, {"8.01", "9.01"}),
    "0001065280-25-000033": ({"2.02", "8.01"}, {"2.02", "8.01", "9.01"}),
    "0001045810-24-000144": ({"5.03"}, {"5.03", "9.01"}),
    "0001045810-25-000039": ({"5.02"}, {"5.02", "9.01"}),
    # Results that the header does not mention.
    "0000012927-25-000004": ({"9.01"}, {"2.02", "9.01"}),
    # A closing (2.01) that the header calls results (2.02).
    "0001193125-23-294930": ({"2.02", "7.01", "9.01"}, {"2.01", "7.01", "9.01"}),
    # The header is right: see above.
    "0000939057-08-000013": ({"1.01", "5.02", "9.01"}, {"1.01", "9.01"}),
}


def test_items_of_before_2004() -> None:
    """Ours are the header's alone, for no rule reads those texts; edgartools' are the text's."""
    old = [one for one in readings() if one.filed < NEW_NUMBERING_SINCE and one.is_whole and one.header]
    # Where it finds no item it would ask for another rendering of the filing: that is so of the first years alone.
    unread = [one for one in old if one.theirs is None]
    assert (len(old), len(unread), max(one.filed.year for one in unread)) == (17, 11, 1997)
    found = {one.accession: (one.header, one.theirs) for one in old if one.theirs not in (None, one.header)}
    assert found == {
        # Ours: `Item5. Other Events.` without a blank is none to edgartools.
        "0001012870-02-001163": ({"5", "7"}, frozenset()),
        # Theirs: EDGAR has lost the words of item 12, and its line in the header is empty.
        "0000891092-03-002843": ({"7"}, {"7", "12"}),
    }


def test_kinds_compared() -> None:
    """The figures of docs/collectors.md."""
    kinds = Counter((one.is_whole, one.filed >= NEW_NUMBERING_SINCE) for one in readings())
    assert kinds == {(True, True): 364, (False, True): 395, (True, False): 36, (False, False): 12}
