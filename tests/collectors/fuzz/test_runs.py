"""Hostile documents among good ones, through whole runs with a real database: every one gives records or a refusal.

What an upstream sends is spoiled on its way, before the transport has seen it: the archive holds the spoiled bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.collectors import (
    CollectorRunReport,
    UniverseEntity,
    Window,
    parse_universe,
    registered_collectors,
    run_collector,
)
from signaldelta_assets.collectors.transport import Transport
from signaldelta_assets.contracts import SecurityContext
from signaldelta_assets.extractors import required_window, run_extractor
from signaldelta_assets.replay import ReplayServer, SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.versioning import sha256_hex
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import quarantine, raw, reference
from tests.collectors.conftest import rows_of, settings_for

from .corpus import SUBMISSIONS

pytestmark = pytest.mark.postgres

PLAN = SimulationPlan(seed=7, entities=10, days=300, pools=1)
WINDOW = Window(PLAN.end - timedelta(days=290), PLAN.end)
# Where a test needs fewer days.
MONTH = Window(PLAN.end - timedelta(days=30), PLAN.end)
FILINGS = ("edgar/ownership", "edgar/form_8k", "edgar/form_144", "edgar/roles")
_TEXT = re.compile(r"/(\d{10}-\d{2}-\d{6})\.txt$")
# What an upstream sends in place of a body, by its public URL.
Sent = Callable[[str, bytes], bytes]


class Desk:
    """One warehouse and archive, and runs into them over a server whose answers are spoiled by `sent`."""

    def __init__(self, warehouse: Warehouse, archive: ArtifactStore, server: ReplayServer) -> None:
        self.warehouse, self.archive, self._server = warehouse, archive, server
        self.sent: Sent = lambda url, body: body
        self.bodies: dict[str, bytes] = {}
        self.window = WINDOW
        with httpx.Client(base_url=server.url) as client:
            self.universe: tuple[UniverseEntity, ...] = parse_universe(
                client.get("/__replay__/universe").json()["entities"]
            )

    def forget(self) -> None:
        """Let everything be asked for again, as if for the first time."""
        with self.warehouse.write("collection") as connection:
            connection.execute("DELETE FROM http_validators")

    def run(self, *names: str, **more: Any) -> list[CollectorRunReport]:
        return [
            run_collector(
                registered_collectors()[name], self.warehouse, self.archive, settings_for(self._server.url, **more),
                self.window, universe=self.universe, sleep=lambda seconds: None,
            )
            for name in names
        ]  # fmt: skip

    def records(self, *sources: str) -> list[dict[str, Any]]:
        wanted = ", ".join(f"'{source}'" for source in sources)
        columns = "source_type, entity_id, natural_key, raw_record_id, payload, body_hash, event_time"
        return rows_of(
            self.warehouse, f"raw_records WHERE source_type IN ({wanted})", columns, "natural_key, raw_record_id"
        )

    def refused(self) -> list[dict[str, Any]]:
        with self.warehouse.read() as connection:
            return quarantine.page(connection, None, open_only=True, limit=10_000)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedArchive:
    root = tmp_path_factory.mktemp("fuzz") / "archive"
    simulate(PLAN, root)
    return SimulatedArchive(root)


@pytest.fixture(scope="module")
def server(simulated: SimulatedArchive) -> Iterator[ReplayServer]:
    with ReplayServer(simulated) as running:
        yield running


@pytest.fixture
def desk(
    fresh_postgres_url: str, tmp_path: Path, server: ReplayServer, no_limit: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    with Warehouse(fresh_postgres_url) as warehouse:
        made = Desk(warehouse, ArtifactStore(tmp_path / "archive"), server)
        honest = Transport._read

        def read(self: Transport, address: str, url: str, headers: Any, content: bytes | None) -> httpx.Response:
            answer = honest(self, address, url, headers, content)
            if answer.status_code != 200:
                return answer
            body = made.sent(url, answer.content)
            made.bodies[url] = body
            kept = [(name, value) for name, value in answer.headers.items() if name != "content-length"]
            return httpx.Response(200, headers=kept, content=body)

        monkeypatch.setattr(Transport, "_read", read)
        yield made


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


def accessions(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["natural_key"] for row in rows)


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


def test_pages_of_the_market(desk: Desk) -> None:
    """Rows that are no bars are refused one by one, a page that is none as a whole; the rest is written."""
    desk.window = MONTH
    desk.run("edgar/submissions", "polygon/tickers", "polygon/splits")
    desk.run("polygon/daily_bars")
    # A month need not have any earnings.
    desk.window = WINDOW
    desk.run("polygon/earnings")
    good = {row["raw_record_id"] for row in desk.records("daily_bar", "earnings_actual")}
    wrong: tuple[Any, ...] = (
        None,
        [],
        "x",
        {"t": 1},
        {"v": -5},
        {"c": "12"},
        {"o": 2**63},
        {"t": 253402300799000},
        {"h": 0},
    )
    pages = Counter[str]()

    def sent(url: str, body: bytes) -> bytes:
        if b'"results"' not in body or not re.search(r"/v2/aggs|/benzinga", url):
            return body
        document = orjson.loads(body)
        kind = "bars" if "/v2/aggs" in url else "earnings"
        pages[kind] += 1
        if kind == "bars" and pages[kind] == 1:
            return body[: len(body) // 2]
        if kind == "bars":
            document["results"] += [
                {**document["results"][0], **one} if isinstance(one, dict) else one for one in wrong
            ]
        else:
            first = next(row for row in document["results"] if row.get("actual_eps") is not None)
            odd: tuple[dict[str, Any], ...] = ({"date": "1900-01-01"}, {"date": "2100-12-31"}, {"time": "25:61:00"})
            odd += ({"ticker": {}}, {"benzinga_id": "x" * 4000}, {"actual_eps": "1e999"})
            document["results"] += [{**first, **one} for one in odd]
        return orjson.dumps(document)

    desk.sent = sent
    (earnings,) = desk.run("polygon/earnings")
    desk.window = MONTH
    desk.run("polygon/daily_bars")
    assert {row["raw_record_id"] for row in desk.records("daily_bar", "earnings_actual")} == good
    refused = Counter(row["collector"] for row in desk.refused())
    assert refused["polygon/daily_bars"] == 1 + (pages["bars"] - 1) * len(wrong)
    # A row of 1900 is of another day than was asked for: counted. One of 2100 cannot be.
    assert refused["polygon/earnings"] == 5 * pages["earnings"] > 0
    assert earnings.counts["outside_window"] == pages["earnings"]


def test_answers_of_a_node(desk: Desk, simulated: SimulatedArchive) -> None:
    """A log that is none is refused with its bytes; the others of its answer are written."""
    first = simulated.chain.block(simulated.chain.logs(0, simulated.chain.head() or 0, None)[0].block)
    assert first is not None
    created = datetime.fromtimestamp(first.timestamp, UTC).date()
    desk.window = Window(created, created + timedelta(days=2))
    desk.run("ethereum/pairs", "ethereum/pool_events")
    good = {row["raw_record_id"] for row in desk.records("uni2_pair", "uni2_sync", "uni2_lp_transfer", "uni2_mint")}
    assert good
    desk.forget()
    odd: tuple[dict[str, Any], ...] = (
        {"blockNumber": "0xffffffffffffffff"}, {"data": "0x00"}, {"topics": ["0x" + "0" * 64]}, {"address": "0x1"},
        {"topics": {}},
    )  # fmt: skip
    spoiled = Counter[str]()

    def sent(url: str, body: bytes) -> bytes:
        if "eth_getLogs" not in url:
            return body
        answers = orjson.loads(body)
        for answer in answers:
            if isinstance(answer.get("result"), list) and answer["result"]:
                log = answer["result"][0]
                answer["result"] += [{**log, **one} for one in odd] + [None, "x"]
                spoiled["answers"] += 1
        return orjson.dumps(answers)

    desk.sent = sent
    desk.run("ethereum/pairs", "ethereum/pool_events")
    found = {row["raw_record_id"] for row in desk.records("uni2_pair", "uni2_sync", "uni2_lp_transfer", "uni2_mint")}
    assert found == good
    assert len(desk.refused()) >= spoiled["answers"] * (len(odd) + 1) > 0
    for row in desk.refused():
        assert desk.archive.path(row["body_hash"]).is_file()
