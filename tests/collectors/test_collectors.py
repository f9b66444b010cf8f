"""Collectors and runner, against the replay server and a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from signaldelta_assets.collectors import (
    Batch,
    CollectContext,
    CollectionFailedError,
    Collector,
    Schedule,
    UniverseEntity,
    UpstreamError,
    Window,
    parse_universe,
    register_collector,
    registered_collectors,
    run_collector,
)
from signaldelta_assets.collectors.base import POLYGON
from signaldelta_assets.errors import DocumentError, RecordError
from signaldelta_assets.replay.server import ReplayServer
from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import collection, reference
from tests.collectors.conftest import OBSERVED, UNIVERSE, Run, rows_of, settings_for
from tests.paths import needs_data

pytestmark = [pytest.mark.postgres, pytest.mark.archive, needs_data]

DAY = timedelta(days=1)
RECORDS = "raw_record_id, source_type, natural_key, payload_hash, partition_date, observed_time"


@pytest.fixture
def warehouse(fresh_postgres_url: str) -> Iterator[Warehouse]:
    """Every test here starts from nothing."""
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


def records(warehouse: Warehouse, columns: str = RECORDS) -> list[dict[str, Any]]:
    return rows_of(warehouse, "raw_records", columns, "raw_record_id")


# --- what is collected ------------------------------------------------------------------------------------------


def test_every_collector_fills_its_window_and_nothing_else(run: Run, warehouse: Warehouse) -> None:
    start, end = date(2024, 1, 20), date(2024, 3, 5)
    for name in registered_collectors():
        report = run(name, start, end)
        assert report.records_written == sum(report.days.values()), name
    found = records(warehouse, "*")
    assert Counter(row["source_type"] for row in found).keys() == {
        "filing_index", "index_entry", "ownership", "form_8k", "xbrl_facts", "daily_bar", "earnings_actual",
        "hourly_bar",
    }  # fmt: skip
    for row in found:
        assert start <= row["partition_date"] <= end
        assert row["observed_time"] == OBSERVED
        assert row["source_url"].startswith(
            ("https://www.sec.gov/", "https://data.sec.gov/", "https://api.polygon.io/")
        )
        assert row["collector_version"] == registered_collectors()[row["collector"]].version
    # Headers and submissions give the same acceptance, in files of either clock.
    by_accession: dict[str, set[datetime]] = {}
    for row in found:
        if row["source_type"] in ("filing_index", "form_8k", "ownership", "xbrl_facts"):
            by_accession.setdefault(row["natural_key"], set()).add(row["event_time"])
    both = [
        key for key, n in Counter(r["natural_key"] for r in found if r["source_type"] != "daily_bar").items() if n > 1
    ]
    assert len(both) >= 5
    assert all(len(by_accession[key]) == 1 for key in both)
    clocks = {row["entity_id"]: row["clock"] for row in rows_of(warehouse, "clock_decisions", "*", "entity_id")}
    assert clocks == {"0000320193": "eastern", "0001045810": "utc", "0001318605": "utc"}
    securities = reference.read_securities(warehouse)
    assert (securities["0000320193"].primary_ticker, securities["0000320193"].sic) == ("AAPL", "3571")
    names = rows_of(warehouse, "security_identifiers", "*", "value")
    former = next(row for row in names if row["value"] == "APPLE COMPUTER INC")
    assert former["valid_to"] == date(2007, 1, 4)
    status = {row["collector"]: row for row in rows_of(warehouse, "collector_status", "*", "collector")}
    assert all(row["last_success_at"] and not row["consecutive_failures"] for row in status.values())
    assert status["edgar/form_8k"]["last_event_time"] == max(
        row["event_time"] for row in found if row["source_type"] == "form_8k"
    )


def test_the_same_again_adds_nothing(run: Run, warehouse: Warehouse) -> None:
    window = date(2024, 1, 25), date(2024, 2, 10)
    for name in registered_collectors():
        run(name, *window)
    before, documents = records(warehouse), rows_of(warehouse, "raw_documents", "body_hash", "body_hash")
    for name in registered_collectors():
        report = run(name, *window)
        assert (report.records_written, report.records_quarantined) == (0, 0), name
        assert report.counts["documents_archived"] == 0 or name.startswith("polygon"), name
    assert records(warehouse) == before
    assert rows_of(warehouse, "raw_documents", "body_hash", "body_hash") == documents


def test_days_together_are_the_range(run: Run, warehouse: Warehouse, make_postgres_url: Callable[[], str]) -> None:
    start, days = date(2024, 1, 29), 6
    for name in registered_collectors():
        run(name, start, start + (days - 1) * DAY)
    with Warehouse(make_postgres_url()) as other:
        for name in registered_collectors():
            for day in (start + n * DAY for n in range(days)):
                report = run(name, day, day, on=other)
                assert set(report.days) <= {day}
        assert records(other) == records(warehouse) != []


def test_what_has_no_clock_is_quarantined_row_by_row(
    run: Run, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from signaldelta_assets.collectors.edgar import submissions
    from signaldelta_assets.timeline import decide_clock

    # A file that tells nothing: no day leads.
    monkeypatch.setattr("signaldelta_assets.timeline.clock.MIN_LEAD_DAYS", 10**9)
    monkeypatch.setattr(submissions, "get_submission", lambda *_: None)
    assert decide_clock is submissions.decide_clock
    report = run("edgar/submissions", date(2024, 2, 1), date(2024, 2, 3), UNIVERSE[:1])
    refused = rows_of(warehouse, "quarantined_records", "*", "record")
    assert report.records_written == 0
    assert len(refused) == report.records_quarantined > 0
    assert {row["field"] for row in refused} == {"acceptanceDateTime"}
    assert all(row["body_hash"] and "undecided" in row["found"] for row in refused)
    assert all(date(2024, 2, 1) <= row["partition_date"] <= date(2024, 2, 3) for row in refused)
    (decision,) = rows_of(warehouse, "clock_decisions", "*", "entity_id")
    assert (decision["clock"], decision["grounds"]["reason"]) == ("undecided", "too few telling days")
    # Refusing the same again adds nothing.
    assert run("edgar/submissions", date(2024, 2, 1), date(2024, 2, 3), UNIVERSE[:1]).records_quarantined == 0


def test_headers_decide_where_the_calendar_does_not(
    run: Run, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaldelta_assets.timeline.clock.MIN_LEAD_DAYS", 10**9)
    # Few of the recorded filings have a header: let all of them be tried.
    monkeypatch.setattr("signaldelta_assets.collectors.edgar.submissions._NEWEST", 1000)
    monkeypatch.setattr("signaldelta_assets.collectors.edgar.submissions._HEADERS", 1000)
    run("edgar/submissions", date(2024, 1, 31), date(2024, 2, 8), UNIVERSE[:1])
    (decision,) = rows_of(warehouse, "clock_decisions", "*", "entity_id")
    assert (decision["clock"], decision["grounds"]["reason"]) == ("eastern", "headers")
    assert "0000320193-24-000005" in decision["grounds"]["header_accessions"]
    (result,) = [row for row in records(warehouse, "*") if row["natural_key"] == "0000320193-24-000005"]
    assert result["event_time"] == datetime(2024, 2, 1, 21, 30, 30, tzinfo=UTC)
    assert result["payload"]["accepted_raw"].startswith("2024-02-01T16:30:30")


def test_the_daily_index_finds_what_the_filing_index_does_not(run: Run, warehouse: Warehouse) -> None:
    """Without any filing-index record, the daily indexes alone lead to the documents."""
    index = run("edgar/daily_index", date(2024, 1, 31), date(2024, 2, 7), UNIVERSE[:1])
    assert index.records_written == len(records(warehouse)) > 0
    report = run("edgar/form_8k", date(2024, 2, 1), date(2024, 2, 1), UNIVERSE[:1])
    assert report.days == {date(2024, 2, 1): 1}
    assert report.counts["daily_indexes_unread"] == 0
    (row,) = [row for row in records(warehouse, "*") if row["source_type"] == "form_8k"]
    assert (row["natural_key"], row["form"]) == ("0000320193-24-000005", "8-K")
    assert row["payload"]["items"] == ["2.02", "9.01"]
    assert row["event_time"] == datetime(2024, 2, 1, 21, 30, 30, tzinfo=UTC)


@pytest.mark.parametrize("indexed", [False, True])
def test_ownership_xml_is_read_where_there_is_no_full_submission(
    run: Run, warehouse: Warehouse, clean_replay: ReplayServer, indexed: bool
) -> None:
    """The XML carries no acceptance time: the filing index gives it, or the record has none and a filing date."""
    httpx.post(f"{clean_replay.url}/__replay__/faults", json={"path": r"\.txt$", "kind": "status", "status": 404})
    window = date(2024, 2, 25), date(2024, 3, 5)
    run("edgar/daily_index", *window, UNIVERSE[:1])
    if indexed:
        run("edgar/submissions", *window, UNIVERSE[:1])
    report = run("edgar/ownership", *window, UNIVERSE[:1])
    found = [row for row in records(warehouse, "*") if row["source_type"] == "ownership"]
    assert len(found) == report.records_written > 0
    for row in found:
        assert row["source_url"].endswith(".xml")
        assert row["payload"]["acceptance_source"] == ("submissions" if indexed else None)
        assert (row["event_time"] is not None) == indexed
        if not indexed:
            assert row["partition_date"].isoformat() == row["payload"]["filing_date"]
    gorsky = next(row for row in found if row["natural_key"] == "0000320193-24-000034")
    assert gorsky["event_time"] == (datetime(2024, 3, 1, 23, 32, 45, tzinfo=UTC) if indexed else None)


def test_a_header_without_acceptance_leaves_the_filing_date(run: Run, warehouse: Warehouse) -> None:
    """Recorded documents whose header was not recorded whole: no time is invented for them."""
    joby = UniverseEntity("0001819848", "Joby Aviation, Inc.", ())
    run("edgar/daily_index", date(2021, 8, 1), date(2021, 10, 31), (joby,))
    run("edgar/ownership", date(2021, 8, 1), date(2021, 10, 31), (joby,))
    found = [row for row in records(warehouse, "*") if row["source_type"] == "ownership"]
    assert found
    for row in found:
        assert (row["event_time"], row["payload"]["accepted_at"]) == (None, None)
        assert row["partition_date"].isoformat() == row["payload"]["filing_date"]


# --- faults -----------------------------------------------------------------------------------------------------


def test_one_broken_document_stops_no_other(
    run: Run, warehouse: Warehouse, clean_replay: ReplayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from signaldelta_assets.collectors.edgar import form_8k

    def picky(submission: Any) -> Any:
        if submission.accession == "0000320193-24-000005":
            raise RecordError(submission.accession, "items", "something else", "2.02")
        return original(submission)

    original = form_8k.form_8k_payload
    monkeypatch.setattr(form_8k, "form_8k_payload", picky)
    run("edgar/daily_index", date(2024, 1, 20), date(2024, 3, 1))
    report = run("edgar/form_8k", date(2024, 1, 20), date(2024, 3, 1))
    assert report.records_written >= 1
    (refused,) = rows_of(warehouse, "quarantined_records", "*", "record")
    assert (refused["record"], refused["field"], refused["expected"], refused["found"]) == (
        "0000320193-24-000005", "items", "something else", "2.02",
    )  # fmt: skip
    assert refused["partition_date"] == date(2024, 2, 1)


def test_a_refusing_upstream_fails_the_run_after_the_rest(
    run: Run, warehouse: Warehouse, clean_replay: ReplayServer
) -> None:
    fault = {"path": "CIK0000320193", "kind": "status", "status": 403}
    httpx.post(f"{clean_replay.url}/__replay__/faults", json=fault)
    with pytest.raises(CollectionFailedError, match="CIK0000320193") as caught:
        run("edgar/submissions", date(2024, 1, 1), date(2024, 1, 31))
    assert caught.value.report.records_written > 0
    assert {row["entity_id"] for row in records(warehouse, "raw_record_id, entity_id")} == {"0001045810", "0001318605"}
    (row,) = rows_of(warehouse, "collector_runs", "*", "started_at")
    assert row["status"] == "failed" and "403" in row["error"]
    (status,) = rows_of(warehouse, "collector_status", "*", "collector")
    assert (status["consecutive_failures"], status["last_success_at"]) == (1, None)
    # With the upstream back, the next run completes to what an undisturbed one gives.
    httpx.delete(f"{clean_replay.url}/__replay__/faults")
    report = run("edgar/submissions", date(2024, 1, 1), date(2024, 1, 31))
    assert report.records_known == caught.value.report.records_written
    assert report.records_written > 0
    (status,) = rows_of(warehouse, "collector_status", "*", "collector")
    assert status["consecutive_failures"] == 0


def test_an_upstream_that_is_down_is_given_up(run: Run, warehouse: Warehouse, clean_replay: ReplayServer) -> None:
    httpx.post(
        f"{clean_replay.url}/__replay__/faults", json={"path": "/data.sec.gov/", "kind": "status", "status": 500}
    )
    many = tuple(UniverseEntity(f"{n:010d}", f"No. {n}") for n in range(1, 21))
    with pytest.raises(UpstreamError, match="500"):
        run("edgar/submissions", date(2024, 1, 1), date(2024, 1, 31), many)
    log = httpx.get(f"{clean_replay.url}/__replay__/log").json()
    assert log["requests"] == 5 * 3


CHILD = """
import sys, time
from datetime import date
from pathlib import Path
from signaldelta_assets.collectors import Window, limiter, registered_collectors, run_collector
from signaldelta_assets.collectors.edgar import filings
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.collectors.conftest import UNIVERSE, settings_for
url, database, archive, pause = sys.argv[1:]
limiter.SharedLimiter.acquire = lambda self: None
filings._BATCH = 5
collector = registered_collectors()["edgar/ownership"]
collector.daily_index = False
with Warehouse(database) as warehouse:
    run_collector(
        collector, warehouse, ArtifactStore(Path(archive)), settings_for(url),
        Window(date(2024, 1, 1), date(2024, 6, 30)), universe=UNIVERSE[:1],
        progress=lambda done, total, text: time.sleep(float(pause)),
    )
"""


def test_a_killed_run_completes_to_the_same_rows(
    run: Run,
    warehouse: Warehouse,
    replay: ReplayServer,
    tmp_path: Path,
    make_postgres_url: Callable[[], str],
) -> None:
    window = date(2024, 1, 1), date(2024, 6, 30)
    run("edgar/submissions", *window, UNIVERSE[:1])

    def command(database: str, archive: str, pause: str) -> list[str]:
        return [sys.executable, "-c", CHILD, replay.url, database, str(tmp_path / archive), pause]

    # Killed when some batches are written and more are to come; `pause` holds it between two of them.
    killed = subprocess.Popen(command(warehouse.url, "killed", "0.5"))
    deadline = time.monotonic() + 60
    while len(records(warehouse)) == 0 or not _ownership(warehouse):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    partial = _ownership(warehouse)
    (dead,) = [
        r for r in rows_of(warehouse, "collector_runs", "*", "started_at") if r["collector"] == "edgar/ownership"
    ]
    assert dead["status"] == "running"

    assert subprocess.run(command(warehouse.url, "killed", "0"), check=False).returncode == 0
    runs = [r for r in rows_of(warehouse, "collector_runs", "*", "started_at") if r["collector"] == "edgar/ownership"]
    assert [row["status"] for row in runs] == ["failed", "complete"]
    assert "superseded" in runs[0]["error"]

    with Warehouse(make_postgres_url()) as other:
        run("edgar/submissions", *window, UNIVERSE[:1], on=other)
        assert subprocess.run(command(other.url, "whole", "0"), check=False).returncode == 0
        assert _ownership(other) == _ownership(warehouse)
        assert 0 < len(partial) < len(_ownership(other))
        columns = "body_hash, size_bytes, source_url, observed_time"
        assert rows_of(other, "raw_documents", columns, "body_hash") == rows_of(
            warehouse, "raw_documents", columns, "body_hash"
        )


def _ownership(warehouse: Warehouse) -> list[dict[str, Any]]:
    return [row for row in records(warehouse) if row["source_type"] == "ownership"]


# --- runner, registry, settings ---------------------------------------------------------------------------------


class Probe(Collector):
    """A collector for tests: does what it is told."""

    name = "test/probe"
    source_types = ("filing_index",)
    schema_version = "probe/1"
    schedule = Schedule("0 0 * * *", "UTC")
    upstream = POLYGON
    modules: ClassVar[tuple[str, ...]] = ()
    steps: ClassVar[list[Any]] = []

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            yield step(context) if callable(step) else step


def probe(warehouse: Warehouse, archive: ArtifactStore, *steps: Any, **more: Any) -> Any:
    collector = Probe()
    collector.steps = list(steps)  # type: ignore[misc]
    day = Window(date(2024, 1, 1), date(2024, 1, 1))
    settings = settings_for("http://127.0.0.1:1", **more)
    return run_collector(collector, warehouse, archive, settings, day, "dagster-1", universe=UNIVERSE)


def test_any_error_marks_the_run_and_is_raised_again(warehouse: Warehouse, archive: ArtifactStore) -> None:
    with pytest.raises(ZeroDivisionError):
        probe(warehouse, archive, Batch(), ZeroDivisionError("step 2"))
    (row,) = rows_of(warehouse, "collector_runs", "*", "started_at")
    assert (row["status"], row["error"], row["dagster_run_id"]) == ("failed", "ZeroDivisionError: step 2", "dagster-1")
    assert row["finished_at"] is not None


def test_a_batch_is_written_whole_or_not_at_all(warehouse: Warehouse, archive: ArtifactStore) -> None:
    def orphan(context: CollectContext) -> Batch:
        from signaldelta_assets.collectors import Fetched

        # Its body was never archived: the database refuses the record, and everything else of the batch with it.
        fetched = Fetched("https://x", 200, b"", "0" * 64, OBSERVED, None)
        record = context.record(
            fetched, source_type="filing_index", entity_id="e", natural_key="k", payload={}, event_time=None
        )
        refused = context.refuse(RecordError("r", "f", "x"), "filing_index", None, "https://x")
        return Batch(records=[record], quarantined=[refused])

    with pytest.raises(Exception, match="is not in raw_documents"):
        probe(warehouse, archive, orphan)
    assert records(warehouse) == []
    assert rows_of(warehouse, "quarantined_records", "*", "record") == []


def test_a_run_that_goes_on_elsewhere_is_not_superseded(warehouse: Warehouse, archive: ArtifactStore) -> None:
    other = {
        "collector_run_id": new_ulid(), "collector": Probe.name, "collector_version": "v", "dagster_run_id": None,
        "collection_mode": "backfill", "window_start": date(2024, 1, 1), "window_end": date(2024, 1, 1),
    }  # fmt: skip
    with collection.running(warehouse, other, ("filing_index",), "never"):
        probe(warehouse, archive)
        states = {r["collector_run_id"]: r["status"] for r in rows_of(warehouse, "collector_runs", "*", "started_at")}
        assert states[other["collector_run_id"]] == "running"
    probe(warehouse, archive)
    states = {r["collector_run_id"]: r["status"] for r in rows_of(warehouse, "collector_runs", "*", "started_at")}
    assert states[other["collector_run_id"]] == "failed"


def test_what_an_upstream_requires_is_asked_for_by_its_setting(
    warehouse: Warehouse, archive: ArtifactStore, collectors: dict[str, Collector]
) -> None:
    day = Window(date(2024, 1, 1), date(2024, 1, 1))
    for name, missing, variable in (
        ("edgar/submissions", {"edgar_contact": None}, "SIGNALDELTA_EDGAR_CONTACT"),
        ("polygon/earnings", {"polygon_api_key": None}, "SIGNALDELTA_POLYGON_API_KEY"),
    ):
        settings = settings_for("http://127.0.0.1:1", **missing)
        with pytest.raises(DocumentError, match=variable):
            run_collector(collectors[name], warehouse, archive, settings, day, universe=UNIVERSE)
    with pytest.raises(DocumentError, match="SIGNALDELTA_UNIVERSE"):
        run_collector(collectors["polygon/earnings"], warehouse, archive, settings_for("http://127.0.0.1:1"), day)
    assert rows_of(warehouse, "collector_runs", "*", "started_at") == []


def test_a_name_is_registered_once_and_order_follows_need() -> None:
    names = list(registered_collectors())
    assert names.index("edgar/submissions") < min(names.index("edgar/ownership"), names.index("edgar/form_8k"))

    class Twin(Probe):
        name = "edgar/submissions"

    with pytest.raises(ValueError, match="registered twice"):
        register_collector(Twin)


@pytest.mark.parametrize(
    ("document", "field"),
    [({}, "universe"), ([1], r"universe\[0\]"), ([{"cik": "x"}], r"universe\[0\].cik"), ([{"cik": None}], "cik"),
     ([{"cik": 1}, {"cik": "0000000001"}], "each CIK once"), ([{"cik": 1, "tickers": "A"}], "tickers")],
)  # fmt: skip
def test_a_wrong_universe_names_the_field(document: Any, field: str) -> None:
    with pytest.raises(DocumentError, match=field):
        parse_universe(document)


def test_a_universe_is_ordered_and_padded() -> None:
    rows = [{"cik": 20, "name": "B", "tickers": ["B", "B"]}, {"cik": "0000000003", "name": "A", "feeds": {}}]
    assert parse_universe(rows) == (UniverseEntity("0000000003", "A"), UniverseEntity("0000000020", "B", ("B",)))
