"""What was refused is taken up again: by a repaired document, by a repaired parser, and refused again if it breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from signaldelta_assets.collectors import (
    CollectionFailedError,
    UniverseEntity,
    Window,
    parse_universe,
    registered_collectors,
    run_collector,
)
from signaldelta_assets.collectors.quarantine import Judgement, resource_of
from signaldelta_assets.contracts import QuarantinedRecord
from signaldelta_assets.errors import RecordError
from signaldelta_assets.replay import ReplayServer, SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import collection, quarantine
from signaldelta_assets.warehouse.stores.quarantine import OpenRefusal
from tests.collectors.conftest import rows_of, settings_for

PLAN = SimulationPlan(seed=3, entities=6, days=130, pools=1)
WINDOW = Window(PLAN.end - timedelta(days=70), PLAN.end)
DAY = date(2024, 2, 1)


@pytest.fixture
def warehouse(fresh_postgres_url: str) -> Iterator[Warehouse]:
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedArchive:
    root = tmp_path_factory.mktemp("simulated") / "archive"
    simulate(PLAN, root)
    return SimulatedArchive(root)


@pytest.fixture
def server(simulated: SimulatedArchive) -> Iterator[ReplayServer]:
    with ReplayServer(simulated) as running:
        yield running


Go = Callable[..., Any]


@pytest.fixture
def go(warehouse: Warehouse, archive: ArtifactStore, server: ReplayServer, no_limit: None) -> Go:
    """`go(name)`: run a collector over the last months of the simulated archive."""
    with httpx.Client(base_url=server.url) as client:
        universe: tuple[UniverseEntity, ...] = parse_universe(client.get("/__replay__/universe").json()["entities"])

    def run(name: str, *, again: bool = False, **more: Any) -> Any:
        return run_collector(
            registered_collectors()[name], warehouse, archive, settings_for(server.url, **more),
            WINDOW, universe=universe, again=again, sleep=lambda seconds: None,
        )  # fmt: skip

    return run


def standing(warehouse: Warehouse, collector: str | None = None) -> list[dict[str, Any]]:
    with warehouse.read_pool().connection() as connection:
        return quarantine.page(connection, collector, open_only=True, limit=10_000)


def garble(server: ReplayServer, path: str) -> None:
    answer = httpx.post(f"{server.url}/__replay__/faults", json={"path": path, "kind": "garble"})
    assert answer.status_code == 201


def repair(server: ReplayServer) -> None:
    httpx.delete(f"{server.url}/__replay__/faults")


@pytest.mark.postgres
def test_every_collector_takes_repaired_documents_up_again(
    go: Go, warehouse: Warehouse, archive: ArtifactStore, server: ReplayServer
) -> None:
    """Whatever the upstream sends is garbled once: refused with its bytes; whole again, it is read and resolved."""
    written: dict[str, int] = {}
    for name, collector in registered_collectors().items():
        if name == "edgar/current" or name.startswith("ethereum/"):
            # Whole pages of a feed, and answers of a node, have their own tests: test_roles, test_ethereum.
            continue
        garble(server, "")
        try:
            broken = go(name)
        except CollectionFailedError as failed:
            broken = failed.report
        refused = standing(warehouse, name)
        if broken.counts.get("filings_found") == 0:
            # No such filing in this window: their own tests have some.
            assert name in ("edgar/roles", "edgar/form_144") and not refused
            repair(server)
            continue
        # Single submissions are in the archive already: their headers told the clock of a list.
        assert len(refused) == broken.records_quarantined > 0, name
        for row in refused:
            assert archive.read_bytes(row["body_hash"]).startswith(b"<!DOCTYPE"), (name, row)
            assert row["source_type"] in collector.source_types
        repair(server)
        whole = go(name, again=True)
        written[name] = whole.records_written
        assert whole.counts["refusals_resolved"] == len(refused), name
        # What is refused for a reason of its own, such as a row whose clock nothing tells, stands.
        ids = {row["quarantine_id"] for row in refused}
        assert ids.isdisjoint(row["quarantine_id"] for row in standing(warehouse, name)), name
        with warehouse.read_pool().connection() as connection:
            rows = quarantine.page(connection, name, open_only=False, limit=10_000)
        rows = [row for row in rows if row["quarantine_id"] in ids]
        assert {row["resolved_by_run"] for row in rows} == {whole.collector_run_id}
        reasons = {row["reason"] for row in rows}
        # A day may have no index after all: what came for it was no document.
        assert "read again without refusal" in reasons
        assert reasons <= {"read again without refusal", "the upstream has no such document"}
        # Nothing is left to say, and it is not said again.
        assert go(name).counts["refusals_resolved"] == 0
    assert all(
        written[name] for name in ("edgar/daily_index", "edgar/ownership", "edgar/form_8k", "polygon/daily_bars")
    )


@pytest.mark.postgres
def test_a_repaired_parser_reads_what_is_archived(
    go: Go, warehouse: Warehouse, server: ReplayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from signaldelta_assets.collectors.edgar import form_8k

    original = form_8k.form_8k_payload

    def picky(submission: Any) -> Any:
        raise RecordError(submission.accession, "items", "something else", "2.02")

    go("edgar/submissions")
    with monkeypatch.context() as patch:
        patch.setattr(form_8k, "form_8k_payload", picky)
        refused = go("edgar/form_8k").records_quarantined
        # Refused again: it stands, once.
        assert (go("edgar/form_8k").records_quarantined, len(standing(warehouse, "edgar/form_8k"))) == (0, refused)
    assert form_8k.form_8k_payload is original
    httpx.delete(f"{server.url}/__replay__/log")
    report = go("edgar/form_8k")
    assert report.counts["refusals_resolved"] == refused > 0
    assert standing(warehouse, "edgar/form_8k") == []
    # The bytes are here: nobody was asked.
    assert httpx.get(f"{server.url}/__replay__/log").json()["requests"] == 0


@pytest.mark.postgres
def test_a_broken_final_document_is_asked_for_again_in_time(go: Go, warehouse: Warehouse, server: ReplayServer) -> None:
    """It never changes once published, but what came may not have been it: asked again after a quarter of its age."""
    go("edgar/submissions")
    garble(server, r"\.txt$")
    refused = go("edgar/form_8k").records_quarantined
    repair(server)
    first = datetime(2026, 9, 1, 12, tzinfo=UTC)
    age = first.date() - WINDOW.start
    assert go("edgar/form_8k", fixed_clock=first + timedelta(hours=1)).counts["refusals_resolved"] == 0
    assert len(standing(warehouse, "edgar/form_8k")) == refused > 0
    later = go("edgar/form_8k", fixed_clock=first + age / 4 + timedelta(days=1))
    assert (later.counts["refusals_resolved"], standing(warehouse, "edgar/form_8k")) == (refused, [])


@pytest.mark.postgres
def test_what_breaks_again_stands_again(go: Go, warehouse: Warehouse, server: ReplayServer) -> None:
    garble(server, "/benzinga/")
    go("polygon/earnings")
    (refused,) = standing(warehouse, "polygon/earnings")
    repair(server)
    go("polygon/earnings")
    assert standing(warehouse, "polygon/earnings") == []
    garble(server, "/benzinga/")
    # The very same refusal: no new row, and its last word is that it stands.
    assert go("polygon/earnings").records_quarantined == 0
    (again,) = standing(warehouse, "polygon/earnings")
    assert (again["quarantine_id"], again["reason"]) == (refused["quarantine_id"], "refused again")
    repair(server)
    go("polygon/earnings")
    assert standing(warehouse, "polygon/earnings") == []
    words = rows_of(warehouse, "quarantine_resolutions", "state", "ingest_time")
    assert [row["state"] for row in words] == ["resolved", "reopened", "resolved"]


@pytest.mark.postgres
def test_a_killed_run_that_wrote_the_record_is_made_good(
    go: Go, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not say any more that the refusal is answered, and nobody reads the document again."""
    from signaldelta_assets.collectors.edgar import form_8k

    go("edgar/submissions")
    with monkeypatch.context() as patch:
        patch.setattr(form_8k, "form_8k_payload", lambda s: (_ for _ in ()).throw(RecordError(s.accession, "x", "y")))
        refused = go("edgar/form_8k").records_quarantined
    with monkeypatch.context() as patch:
        patch.setattr("signaldelta_assets.collectors.runner.quarantine.resolve", lambda *_: 0)
        go("edgar/form_8k")
    assert len(standing(warehouse, "edgar/form_8k")) == refused > 0
    report = go("edgar/form_8k")
    assert (report.records_known, report.counts["refusals_resolved"]) == (0, refused)


@pytest.mark.postgres
def test_what_could_not_be_written_answers_nothing(
    go: Go, warehouse: Warehouse, server: ReplayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are written together: those read before the one whose write fails are not in the database either."""
    # Whose a ticker was when: without it a bar is refused for its own reason.
    go("polygon/tickers")
    garble(server, "/v2/aggs/")
    refused = go("polygon/daily_bars").records_quarantined
    assert len(standing(warehouse, "polygon/daily_bars")) == refused >= 3
    repair(server)
    write = collection.write_batch

    def failing(on: Warehouse, run_id: str, collector: str, rows: collection.BatchRows) -> collection.Written:
        if rows.records:
            raise psycopg.errors.DataError("a value that the database does not take")
        return write(on, run_id, collector, rows)

    with monkeypatch.context() as patch:
        patch.setattr("signaldelta_assets.collectors.runner._GATHERED_RECORDS", 60)
        patch.setattr("signaldelta_assets.collectors.runner._GATHERED_SECONDS", 1e9)
        patch.setattr(collection, "write_batch", failing)
        with pytest.raises(psycopg.errors.DataError):
            go("polygon/daily_bars", again=True)
    assert len(standing(warehouse, "polygon/daily_bars")) == refused
    assert go("polygon/daily_bars", again=True).counts["refusals_resolved"] == refused


@pytest.mark.postgres
def test_a_broken_history_of_tickers_is_kept_with_its_own_bytes(
    go: Go, warehouse: Warehouse, archive: ArtifactStore, server: ReplayServer
) -> None:
    garble(server, "/events")
    report = go("polygon/tickers")
    refused = standing(warehouse, "polygon/tickers")
    assert len(refused) == report.records_quarantined > 0
    for row in refused:
        assert row["source_url"].split("?")[0].endswith("/events")
        assert archive.read_bytes(row["body_hash"]).startswith(b"<!DOCTYPE")
    repair(server)
    assert go("polygon/tickers").counts["refusals_resolved"] == len(refused)
    assert standing(warehouse, "polygon/tickers") == []


# --- which refusals a run answers -------------------------------------------------------------------------------

URL = "https://data.sec.gov/submissions/CIK1.json"
BARS = "https://api.polygon.io/v2/aggs/ticker/A/range/1/day/2024-02-01/2024-02-05?adjusted=false"


def refusal(url: str = URL, record: str = "r", *, dated: bool = False, last: date = DAY) -> OpenRefusal:
    return OpenRefusal("q", "s", record, url, None, dated, DAY, last)


def answers(judgement: Judgement, one: OpenRefusal, window: Window, **more: Any) -> bool:
    options: dict[str, Any] = {"whole_documents": True, "complete": True}
    return "q" in judgement.answered([one], window, **(options | more))


def read(*urls: str, accepted: tuple[str, ...] = ()) -> Judgement:
    judgement = Judgement()
    judgement.take(urls, accepted)
    return judgement


def test_a_document_read_without_refusal_is_answered_in_any_window() -> None:
    elsewhere = Window(date(2025, 1, 1), date(2025, 1, 2))
    assert answers(read(URL), refusal(), elsewhere)
    assert not answers(read("https://data.sec.gov/submissions/CIK2.json"), refusal(), elsewhere)
    # A record of a day is answered by a run that had to do with the day.
    assert not answers(read(URL), refusal(dated=True), elsewhere)
    assert answers(read(URL), refusal(dated=True), Window(DAY, DAY))


def test_an_answer_to_a_window_is_answered_by_one_that_covers_it() -> None:
    wider = BARS.replace("2024-02-05", "2024-03-01")
    one = refusal(BARS, last=date(2024, 2, 5))
    assert resource_of(BARS) == resource_of(wider) == "api.polygon.io/v2/aggs/ticker/A/range/1/day/*/*"
    assert answers(read(wider), one, Window(DAY, date(2024, 3, 1)), whole_documents=False)
    assert not answers(read(wider), one, Window(date(2024, 2, 2), date(2024, 3, 1)), whole_documents=False)


def test_what_is_refused_again_or_spoiled_is_not_answered() -> None:
    day = Window(DAY, DAY)
    for record, accepted, expected in (("r", (URL,), False), ("other", (URL,), True), ("other", (), False)):
        judgement = read(URL, accepted=accepted)
        judgement.refuse(QuarantinedRecord("s", record, "f", "e", None, None, URL))
        assert answers(judgement, refusal(), day) == expected


def test_one_broken_document_of_a_resource_is_not_made_good_by_another() -> None:
    """The vendor's list is asked for by issuer, and the query is no part of what a URL leads to."""
    ours, others = (f"https://api.polygon.io/v3/reference/tickers?cik={cik}&date=2024-02-01" for cik in (1, 2))
    judgement = read(ours, others, accepted=(others,))
    assert answers(judgement, refusal(ours, "tickers:1:true:3"), Window(DAY, DAY), whole_documents=False)
    judgement.refuse(QuarantinedRecord("s", "/v3/reference/tickers", "body", "a JSON document", None, None, ours))
    assert not answers(judgement, refusal(ours, "tickers:1:true:3"), Window(DAY, DAY), whole_documents=False)


def test_a_run_that_failed_answers_only_what_it_read_itself() -> None:
    other = BARS.replace("2024-02-05", "2024-02-06")
    for url, expected in ((BARS, True), (other, False)):
        assert answers(read(url), refusal(BARS), Window(DAY, date(2024, 2, 6)), complete=False) == expected


def test_what_is_refused_because_it_is_not_there_is_not_answered_by_its_absence() -> None:
    """A list names a page that the upstream does not have: that it is still not there is no answer."""
    gone = Judgement()
    gone.take((), (), (URL,))
    assert answers(gone, refusal(), Window(DAY, DAY))
    gone.refuse(QuarantinedRecord("s", "r", "page", "the page that the main file lists", "404", None, URL))
    assert not answers(gone, refusal(), Window(DAY, DAY))


def test_of_what_moves_on_only_what_was_seen_again_is_answered() -> None:
    judgement = read(URL, accepted=(URL,))
    assert answers(judgement, refusal(), Window(DAY, DAY))
    assert not answers(judgement, refusal(), Window(DAY, DAY), moving=True)
    judgement.seen.add("r")
    assert answers(judgement, refusal(), Window(DAY, DAY), moving=True)
