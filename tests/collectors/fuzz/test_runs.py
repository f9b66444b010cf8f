"""Hostile documents among good ones, through whole runs with a real database: every one gives records or a refusal.

What an upstream sends is spoiled on its way, before the transport has seen it: the archive holds the spoiled bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta

import orjson
import pytest

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.contracts import SecurityContext
from signaldelta_assets.extractors import required_window, run_extractor
from signaldelta_assets.replay import SimulatedArchive
from signaldelta_assets.versioning import sha256_hex
from signaldelta_assets.warehouse.stores import raw, reference

from .conftest import MONTH, WINDOW, Desk, Sent, accessions
from .corpus import SUBMISSIONS

pytestmark = pytest.mark.postgres

FILINGS = ("edgar/ownership", "edgar/form_8k", "edgar/form_144", "edgar/roles")
_TEXT = re.compile(r"/(\d{10}-\d{2}-\d{6})\.txt$")


def of_submissions(spoiled: dict[str, str]) -> Sent:
    """Spoil every other submission text, in the way that comes next of those that change it; note it by accession."""
    # Those for XML alone come last, and there are fewer documents for them.
    left = list(reversed(SUBMISSIONS))
    seen = 0

    def sent(url: str, body: bytes) -> bytes:
        nonlocal seen
        named = _TEXT.search(url)
        seen += named is not None
        if named is None or seen % 2:
            return body
        name = next(name for name in left if SUBMISSIONS[name](body) != body)
        left.remove(name)
        left.append(name)
        spoiled[named[1]] = name
        return SUBMISSIONS[name](body)

    return sent


def test_every_filing_gives_records_or_one_refusal(desk: Desk, simulated: SimulatedArchive) -> None:
    spoiled: dict[str, str] = {}
    desk.run("edgar/submissions", "edgar/daily_index")
    assert desk.refused() == []
    desk.sent = of_submissions(spoiled)
    reports = desk.run(*FILINGS)
    texts = {found[1]: url for url in desk.bodies if (found := _TEXT.search(url))}
    records = desk.records("ownership", "form_8k", "form_144", "filing_role")
    refusals = {_TEXT.search(row["source_url"])[1]: row for row in desk.refused()}  # type: ignore[index]
    written = accessions(records)
    # Every document that was read is accounted for, once.
    assert len(refusals) == len(desk.refused()) == sum(report.records_quarantined for report in reports)
    assert set(written) | set(refusals) == set(texts) and set(written).isdisjoint(refusals)
    assert len(spoiled) > 40 and set(spoiled.values()) == set(SUBMISSIONS)
    # The reasons name the record and the field, and the bytes are kept.
    for accession, row in refusals.items():
        assert accession in spoiled, (accession, row)
        assert row["record"].startswith(accession) or row["field"] == "ACCEPTANCE-DATETIME", row
        assert desk.archive.read_bytes(row["body_hash"]) == desk.bodies[texts[accession]], row
    # Good ones are all written, as a run without any bad one writes them.
    for row in records:
        if row["natural_key"] not in spoiled:
            text = simulated.edgar.submission_text(row["natural_key"])
            assert text is not None and sha256_hex(text.body) == row["body_hash"]
    assert len(set(texts) - set(spoiled)) == len(set(written) - set(spoiled)) > 30
    # What is read all the same is what the document says: odd, and no reason to refuse it.
    assert {spoiled[key] for key in set(written) & set(spoiled)} <= {
        "item 99.99", "no items", "traded in 1900", "traded in 2100", "blanks by the hundred thousand",
    }  # fmt: skip
    assert_no_event_of(desk, set(refusals), spoiled)
    # Again: the documents are final, what was refused stands, nothing is written twice.
    again = desk.run(*FILINGS)
    assert sum(report.records_written + report.records_quarantined for report in again) == 0
    assert desk.records("ownership", "form_8k", "form_144", "filing_role") == records


def assert_no_event_of(desk: Desk, refused: set[str], spoiled: dict[str, str]) -> None:
    """Run every active extractor over what was written: none fails, and none makes anything of what is implausible."""
    definitions = load_definitions()
    context = SecurityContext(reference.read_securities(desk.warehouse))
    keys = {row["raw_record_id"]: row["natural_key"] for row in desk.records("ownership", "form_8k", "filing_role")}
    start, end = WINDOW.start, WINDOW.end + timedelta(days=1)
    events = 0
    for name in definitions.active_signals():
        needed = required_window(name, start, end, definitions)
        records = raw.read_raw(desk.warehouse, list(needed.source_types), needed.start, needed.end - timedelta(days=1))
        for event in run_extractor(name, records, context, definitions, start, end).events:
            events += 1
            own = {keys[one] for one in event.raw_record_ids if one in keys}
            assert own.isdisjoint(refused)
            # Of a trade on a day that cannot be nothing is made: neither a purchase or sale, nor a late report.
            if name in ("S001", "S002", "S003", "S004", "S006"):
                assert not {spoiled.get(part) for part in event.key} & {"traded in 1900", "traded in 2100"}, event
    assert events > 20


def test_a_filing_served_twice_with_other_bytes_is_one_record(desk: Desk) -> None:
    """Its text is final: what came first is kept, under whichever party it is asked for again."""
    desk.window = MONTH
    desk.run("edgar/submissions")
    desk.run("edgar/form_8k")
    before = desk.records("form_8k")
    assert before and max(accessions(before).values()) == 1
    desk.sent = lambda url, body: body.replace(b"</TEXT>", b" and more</TEXT>", 1)
    desk.run("edgar/submissions", "edgar/daily_index", "edgar/current", "edgar/form_8k")
    assert desk.records("form_8k") == before


def test_lists_that_name_a_filing_twice_or_on_no_day(desk: Desk) -> None:
    """Of a submissions list every row is a record, a refusal, or the same filing again."""
    desk.run("edgar/submissions")
    good = {(row["entity_id"], row["natural_key"]): row["raw_record_id"] for row in desk.records("filing_index")}
    wrong = {
        "0000000001-00-000001": {"filingDate": "1900-01-01", "acceptanceDateTime": "1900-01-01T12:00:00.000Z"},
        "0000000001-00-000002": {"filingDate": "2100-12-31", "acceptanceDateTime": "2100-12-31T12:00:00.000Z"},
        "0000000001-00-000003": {"acceptanceDateTime": "1900-01-01T12:00:00.000Z"},
        "0000000001-00-000004": {"acceptanceDateTime": "2100-12-31T12:00:00.000Z"},
        "0000000001-00-000005": {"filingDate": "2024-02-30"},
        "0000000001-00-000006": {"form": ""},
        "0000000001-00-000007": {"size": "many"},
        "not-an-accession": {},
    }  # fmt: skip

    def sent(url: str, body: bytes) -> bytes:
        if "/submissions/CIK" not in url:
            return body
        document = orjson.loads(body)
        recent = document["filings"]["recent"]
        columns = {name: list(values) for name, values in recent.items()}
        for name, values in columns.items():
            recent[name] = [*values, values[0], *values[:1] * len(wrong)]
        # A filing twice, the second time as another form; then the wrong rows, each like the first but for what is odd.
        count = len(columns["accessionNumber"])
        recent["form"][count] = "10-K"
        for at, (accession, odd) in enumerate(wrong.items(), count + 1):
            for name, value in {"accessionNumber": accession, **odd}.items():
                recent[name][at] = value
        return orjson.dumps(document)

    desk.sent = sent
    desk.forget()
    (report,) = desk.run("edgar/submissions")
    lists = len({url for url in desk.bodies if "/submissions/CIK" in url})
    assert {
        (row["entity_id"], row["natural_key"]): row["raw_record_id"] for row in desk.records("filing_index")
    } == good
    refused = desk.refused()
    assert len(refused) == report.records_quarantined == lists * len(wrong)
    named = Counter(accession for row in refused for accession in wrong if accession in row["record"])
    assert named == dict.fromkeys(wrong, lists)
    assert report.counts["rows_repeated"] >= 1


def test_an_index_that_names_a_filing_twice(desk: Desk) -> None:
    def sent(url: str, body: bytes) -> bytes:
        if "/daily-index/" not in url or b"edgar/data/" not in body:
            return body
        lines = body.decode("latin-1").splitlines(keepends=True)
        last = lines[-1]
        return "".join([*lines, last, last[:60] + "\n", last.replace("edgar/data", "edgar\0data")]).encode("latin-1")

    desk.window = MONTH
    desk.run("edgar/submissions", "edgar/daily_index")
    once = {row["raw_record_id"] for row in desk.records("index_entry")}
    desk.forget()
    desk.sent = sent
    desk.run("edgar/daily_index", "edgar/ownership", "edgar/form_8k")
    assert {row["raw_record_id"] for row in desk.records("index_entry")} == once
    indexes = sum("/daily-index/" in url and b"\0" in body for url, body in desk.bodies.items())
    assert len(desk.refused()) == 2 * indexes > 5
    assert set(accessions(desk.records("ownership")).values()) == {1}
