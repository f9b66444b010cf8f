"""What documents are turned against their reader with, by name: entities, encodings, size, numbers, dates."""

from __future__ import annotations

import http.server
import socketserver
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from signaldelta_assets.collectors.edgar.parsers import (
    form_8k_payload,
    item_numbers,
    parse_current_feed,
    parse_daily_index,
    parse_form_144,
    parse_litigation_feed,
    parse_litigation_list,
    parse_ownership,
    parse_schedule_13,
    parse_submission,
)
from signaldelta_assets.collectors.edgar.parsers.text import document_text
from signaldelta_assets.collectors.polygon.parsers import bars, parse_page
from signaldelta_assets.collectors.reading import read_json
from signaldelta_assets.contracts import CollectionMode, RawRecord
from signaldelta_assets.errors import RecordError
from tests.collectors.test_edgar_parsers import ACCESSION, MAIN, submission
from tests.extractors.make import at, form4, line, run

from .corpus import laughs

SECRET = "not for the outside"
OWNERSHIP = b"""<?xml version="1.0"?>
<ownershipDocument><documentType>4</documentType><periodOfReport>2024-05-01</periodOfReport>
<issuer><issuerCik>1234</issuerCik><issuerName>ACME</issuerName></issuer>
<reportingOwner><reportingOwnerId><rptOwnerCik>99</rptOwnerCik><rptOwnerName>DOE</rptOwnerName></reportingOwnerId>
</reportingOwner>
<nonDerivativeTable><nonDerivativeTransaction><securityTitle><value>Common</value></securityTitle>
<transactionDate><value>2024-05-01</value></transactionDate>
<transactionCoding><transactionFormType>4</transactionFormType><transactionCode>P</transactionCode></transactionCoding>
<transactionAmounts><transactionShares><value>100</value></transactionShares>
<transactionPricePerShare><value>12.5</value></transactionPricePerShare>
<transactionAcquiredDisposedCode><value>A</value></transactionAcquiredDisposedCode></transactionAmounts>
</nonDerivativeTransaction></nonDerivativeTable><remarks>none</remarks></ownershipDocument>"""

XML: dict[str, tuple[Callable[[bytes, str], Any], bytes]] = {
    "ownership": (parse_ownership, b"ownershipDocument"),
    "form 144": (parse_form_144, b"edgarSubmission"),
    "schedule": (parse_schedule_13, b"edgarSubmission"),
    "feed": (lambda body, record: list(parse_current_feed(body, record)), b"feed"),
    "litigation": (lambda body, record: list(parse_litigation_feed(body, record)), b"rss"),
}


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!ENTITY e 'fetched'>")

        def log_message(self, *args: Any) -> None:
            pass

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join(5)


@pytest.mark.parametrize("kind", XML)
def test_no_entity_reaches_network_or_disk(kind: str, tmp_path: Path, listener: tuple[str, list[str]]) -> None:
    read, root = XML[kind]
    url, asked = listener
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    types = (
        f'<!DOCTYPE x SYSTEM "{url}/dtd">',
        f'<!DOCTYPE x PUBLIC "-//X//Y" "{url}/public">',
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "{url}/entity">]>',
        f'<!DOCTYPE x [<!ENTITY % p SYSTEM "{url}/parameter"> %p;]>',
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>',
        f'<!DOCTYPE x [<!ENTITY % f SYSTEM "file://{secret}"> %f;]>',
        '<!DOCTYPE x [<!ENTITY e "x">]>',
        f'<?xml-stylesheet type="text/xsl" href="{url}/style"?>',
        f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file://{secret}"/>',
    )
    for declared in types:
        within = declared.startswith("<xi:")
        start, end = f"<{root.decode()}>", f"</{root.decode()}>"
        body = f"{start}{declared if within else '&e;' * ('e ' in declared)}{end}"
        try:
            found = str(read((body if within else declared + body).encode(), "record"))
        except RecordError as error:
            found = str(error)
        else:
            # What is no document type does nothing: there is nothing in the document.
            assert not declared.startswith("<!") and found == "[]", declared
        assert SECRET not in found
    assert asked == []


@pytest.mark.parametrize("kind", XML)
@pytest.mark.parametrize(
    "declared",
    [
        laughs(30),
        b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 50_000 + b'">]>',
        b'<!DOCTYPE x [<!ATTLIST a v CDATA "' + b"v" * 50_000 + b'">]>',
        b"<!DOCTYPE x [" + b"<!ENTITY % q 'q'> " * 20_000 + b"]>",
        b"<!-- " + b"-" * 100 + b" --><!DOCTYPE x [<!ENTITY a 'b'>]>",
    ],
    ids=["billion laughs", "quadratic blowup", "values for every element", "many entities", "behind a comment"],
)
def test_a_bomb_is_refused_before_it_is_parsed(kind: str, declared: bytes) -> None:
    """By the memory it takes: less than twice the document."""
    read, root = XML[kind]
    body = declared + b"<" + root + b">" + b"<a>&a;&l30;</a>" * 5_000 + b"</" + root + b">"
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match="document type"):
            read(body, "record")
        assert tracemalloc.get_traced_memory()[1] < 2 * len(body) + 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-7", "cp037", "utf-8-sig", "latin-1"])
def test_encodings_that_could_hide_a_document_type_are_refused(encoding: str) -> None:
    for declared in ("", f'<?xml version="1.0" encoding="{encoding}"?>'):
        text = declared + '<!DOCTYPE x [<!ENTITY e "x">]>' + OWNERSHIP.decode().split("?>", 1)[1]
        with pytest.raises(RecordError):
            parse_ownership(text.encode(encoding), ACCESSION)


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [("utf-8", ""), ("utf-8-sig", ""), ("utf-8", "UTF-8"), ("latin-1", "ISO-8859-1"), ("cp1252", "windows-1252")],
)
def test_the_encodings_that_filers_use_are_read(encoding: str, declared: str) -> None:
    start = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    text = start + OWNERSHIP.decode().split("?>", 1)[1].replace("ACME", "Zoë")
    assert parse_ownership(text.encode(encoding), ACCESSION)["issuer"]["name"] == "Zoë"


def test_a_document_in_another_encoding_than_it_says_is_refused() -> None:
    with pytest.raises(RecordError, match="well-formed"):
        parse_ownership(OWNERSHIP.replace(b"ACME", "Zoë".encode("latin-1")), ACCESSION)


def test_levels_without_end_are_refused_and_html_is_read_whatever_its_depth() -> None:
    with pytest.raises(RecordError, match="well-formed"):
        parse_ownership(b"<a>" * 100_000, ACCESSION)
    with pytest.raises(RecordError, match="JSON"):
        read_json(b"[" * 100_000 + b"]" * 100_000, "record")
    deep = b"<html><body>" + b"<div>" * 100_000 + b"in the middle" + b"</div>" * 100_000 + b"</body></html>"
    assert parse_litigation_list(deep, "list") == []
    # What lies too deep for the library is not there: a filing's text is not nested so.
    assert document_text(deep, "record") in ("", "in the middle")


def test_blanks_in_a_header_cost_no_more_than_their_number() -> None:
    """A pattern that tries every blank as an end would need hours for these."""
    header = f"ITEM INFORMATION:\t\tOther{' ' * 300_000}Events\nSIC:{' ' * 300_000}x\n"
    body = submission(MAIN, header=header).replace(b"8-K\nCONF", b"8-K" + b" " * 300_000 + b"\nCONF")
    read = parse_submission(body, ACCESSION)
    assert read.form == "8-K" and len(read.item_lines) == 1


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shares", ["-100", "1e999", "NaN", "Infinity", "9" * 21, "٣٤", "１２", "1,000", "0x10", "--1", "1.2.3"]
)
def test_shares_that_are_no_number_of_shares_are_refused(shares: str) -> None:
    body = OWNERSHIP.replace(b"<value>100<", f"<value>{shares}<".encode())
    with pytest.raises(RecordError) as raised:
        parse_ownership(body, ACCESSION)
    assert (raised.value.field, raised.value.found) == ("transactionAmounts/transactionShares", shares)
    assert raised.value.record == f"{ACCESSION}:nonDerivativeTransaction[1]"


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        (b"nonDerivativeTransaction>", b"nonDerivativeTransactions>", "line"),
        (b"nonDerivativeTable>", b"nonDerivativeTables>", "nonDerivativeTables"),
        (b"<remarks>", b"<nonDerivativeTable><nonDerivativeHolding/></nonDerivativeTable><remarks>",
         "nonDerivativeTable"),
        (b"<remarks>", b"<issuer><issuerCik>1</issuerCik></issuer><remarks>", "issuer"),
        (b"<remarks>", b'<footnotes><footnote id="F1">a</footnote><footnote id="F1">b</footnote></footnotes><remarks>',
         "footnotes"),
    ],
)  # fmt: skip
def test_nothing_of_an_ownership_document_is_left_out_silently(before: bytes, after: bytes, field: str) -> None:
    with pytest.raises(RecordError) as raised:
        parse_ownership(OWNERSHIP.replace(before, after), ACCESSION)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("traded", "reason"),
    [
        ("1900-01-01", "transaction_before_section_16"),
        ("2100-12-31", "transaction_after_filing"),
        ("2024-05-04", "transaction_after_filing"),
        ("2024-05-03", None),
        ("1934-06-06", None),
    ],
)
def test_a_trade_on_a_day_that_cannot_be_is_no_trade(traded: str, reason: str | None) -> None:
    """It is kept as the document says it, and counted where the rules leave it out. Accepted on 3 May in New York."""
    body = OWNERSHIP.replace(b"<transactionDate><value>2024-05-01", f"<transactionDate><value>{traded}".encode())
    payload = parse_ownership(body, ACCESSION)
    assert payload["non_derivative_transactions"][0]["transaction_date"] == traded
    made = run("S001", [form4(ACCESSION, at("2024-05-04 01:30"), [line("P", 100_000, 10, traded)])])
    assert (len(made.events), made.counts[reason or ""]) == ((0, 1) if reason else (1, 0))


def test_items_that_are_none() -> None:
    """Words that name no item are refused. A number that is in no list is kept: new items have no name at first."""
    filed = date(2024, 1, 2)
    for words in ("Gossip about the Registrant", "5.2", "Item", "<ITEMS>", "2.02 and 9.01"):
        with pytest.raises(RecordError, match="ITEM INFORMATION"):
            item_numbers(ACCESSION, [words], filed)
    assert item_numbers(ACCESSION, ["99.99", "<ITEMS>1.06"], filed) == ["99.99", "1.06"]


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        (b"20240102161500", b"19000102161500", "ACCEPTANCE-DATETIME"),
        (b"DATE:\t\t20240102", b"DATE:\t\t19000102", "FILED AS OF DATE"),
        (b"ACME CORP", b"AC\0ME", "header"),
        (b"</TEXT>", b"", "TEXT"),
        (b"<TEXT>", b"", "TEXT"),
        (b"</DOCUMENT>", b"", "TEXT"),
    ],
)
def test_a_submission_of_before_edgar_or_without_its_texts(before: bytes, after: bytes, field: str) -> None:
    with pytest.raises(RecordError) as raised:
        form_8k_payload(parse_submission(submission(MAIN).replace(before, after), ACCESSION))
    assert raised.value.field == field and raised.value.record.startswith((ACCESSION, "submission header"))


def test_a_line_of_an_index_ends_where_its_line_ends() -> None:
    """A byte that some character sets take for a new line is one of a name."""
    head = "Form Type   Company Name      CIK\n" + "-" * 80 + "\n"
    line_ = "4           {}    1234  20240102  edgar/data/1234/0000950123-24-000001.txt\n"
    named = (
        head + line_.format("CAF\x85 INC") + line_.format("A\0B") + line_.format("OLD").replace("20240102", "19000102")
    )
    first, second, third = parse_daily_index(named.encode("latin-1"), "form.idx")
    assert not isinstance(first, RecordError) and first.company == "CAF\x85 INC"
    assert isinstance(second, RecordError) and second.field == "line"
    assert isinstance(third, RecordError) and third.field == "Date Filed"


def test_a_bar_has_no_negative_volume_and_no_number_that_json_cannot_hold() -> None:
    good = {"t": 1704171600000, "o": 1, "h": 2, "l": 1, "c": 2, "v": 10}
    for odd, field in (({"v": -1}, "v"), ({"o": 2**53}, "o"), ({"n": 2**64 - 1}, "n"), ({"t": 2**60}, "t")):
        page = parse_page(b'{"status": "OK", "adjusted": false, "results": []}', "A")
        page.rows.extend([good, good | odd])
        read, refused = bars(page, "A", "A")
        assert isinstance(read, dict) and isinstance(refused, RecordError) and refused.field == field


@pytest.mark.parametrize("link", [5, ["x"], "javascript:x", "https://x/\n", "https://x/ü", "https://x/" + "y" * 2_000])
def test_a_link_to_a_next_page_that_is_none(link: Any) -> None:
    import orjson

    with pytest.raises(RecordError, match="next_url"):
        parse_page(orjson.dumps({"status": "OK", "next_url": link}), "A")


def test_a_refusal_can_be_kept_whatever_was_found() -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    for found in ("a\0b", "\ud800", deep, b"\0", float("nan")):
        error = RecordError("rec\0ord", "field", "something else", found)
        for text in (error.record, error.found or "", str(error)):
            assert "\0" not in text and text.encode("utf-8")


@pytest.mark.parametrize(
    "wrong",
    [{"payload": {"a": 2**53}}, {"payload": {"a": float("nan")}}, {"payload": {"a": "\0"}}, {"payload": {"a\0": 1}},
     {"payload": {"a": "\ud800"}}, {"natural_key": "k" * 501}, {"natural_key": "k\0"}],
)  # fmt: skip
def test_a_record_that_no_database_takes_is_none(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "source_type": "s", "entity_id": "e", "natural_key": "k", "form": None, "event_time": None,
        "observed_time": datetime(2024, 1, 1, tzinfo=UTC), "collection_mode": CollectionMode.LIVE, "collector": "c",
        "collector_version": "v", "collector_run_id": "r", "schema_version": "1", "payload": {"a": "\\u0000"},
        "body_hash": "0" * 64, "source_url": "u",
    }  # fmt: skip
    assert RawRecord(**good).payload == {"a": "\\u0000"}
    with pytest.raises(RecordError):
        RawRecord(**(good | wrong))
