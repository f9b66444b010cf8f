"""One id from a request through Dagster's run to collector and row; `signaldelta trace` prints the whole way."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from signaldelta_assets.correlation import correlated
from signaldelta_assets.observability.logfiles import files, lines_of
from signaldelta_assets.observability.tracing import trace
from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import routing
from tests.observability.jobs import put_job
from tests.paths import ROOT
from tests.platform.conftest import SMALL, MakeDeployment
from tests.platform.deployment import Deployment, wait_until
from tests.ports import free_port

pytestmark = [pytest.mark.platform, pytest.mark.postgres]
MINE, FAILED = "traced-request-1", "traced-request-2"
RAW = "raw/polygon/earnings"
SECRET = "s" * 43


@dataclass(frozen=True)
class Traced:
    """A deployment in which one request was made, and one run has come of it; another run has failed."""

    deployment: Deployment
    run: str
    failed_run: str
    made_request: str

    def trace(self, identifier: str) -> dict[str, Any]:
        """The way of an action, as the command tells it."""
        logs = self.deployment.home / "logs"
        return trace({"one": self.deployment.url}, "one", logs, identifier).to_document()


def layers(found: dict[str, Any]) -> Counter[str]:
    """How many entries there are of each layer."""
    return Counter(entry["layer"] for entry in found["entries"])


def words(found: dict[str, Any], layer: str) -> list[str]:
    """What the entries of a layer say, in their order."""
    return [entry["words"] for entry in found["entries"] if entry["layer"] == layer]


@pytest.fixture(scope="module")
def traced(deploy: MakeDeployment, small_replay: str) -> Iterator[Traced]:
    port = free_port()
    deployment = deploy(small_replay)
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.platform.traced", RAW, SMALL.start.isoformat(), SMALL.end.isoformat(), MINE,
         FAILED], cwd=ROOT, env=deployment.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    # What it prints is in its log file as well; nobody reads a pipe.
    api = deployment.start(
        "signaldelta", "api", "--port", str(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health").is_success
        except httpx.ConnectError:
            return False

    try:
        wait_until(answers, 60, "the API", api)
        url = f"http://127.0.0.1:{port}/api/v2/signals?apiKey=visible"
        shown = {"X-API-Key": f"sd_abcdefgh_{SECRET}"}
        answer = httpx.get(url, headers=shown | {"X-Request-ID": MINE})
        assert answer.status_code == 401 and answer.headers["X-Request-ID"] == MINE
        made = httpx.get(url, headers=shown).headers["X-Request-ID"]
        said, _ = run.communicate(timeout=180)
        runs = re.findall(r"^run (\S+)$", said, flags=re.MULTILINE)
        assert run.returncode == 0 and len(runs) == 2, said[-3000:]
        yield Traced(deployment, runs[0], runs[1], made)
    finally:
        for process in (api, run):
            process.terminate()
            process.wait(20)


def test_the_whole_way_of_a_request(traced: Traced) -> None:
    """In the order in which it went, from the API to the rows, told by the command itself."""
    found = json.loads(traced.deployment.run("signaldelta", "trace", MINE, "--json"))
    assert found["correlation_ids"] == [MINE] and set(found["kinds"]) == {"request", "correlation id of runs"}
    assert layers(found) == {"request": 2, "run": 3, "step": 2, "collector": 2, "rows": 2, "log": 1}
    refused, served = words(found, "request")
    assert refused == "request.refused GET /api/v2/signals 401 by nobody known: no key"
    assert re.fullmatch(r"GET /api/v2/signals 401 in [\d.]+ ms by nobody known", served)
    queued, started, ended = words(found, "run")
    assert f"run {traced.run} (__ASSET_JOB) queued" == queued and started.endswith("started")
    assert re.search(r"success in [\d.]+ s$", ended)
    began, finished = words(found, "collector")
    assert f"began: {SMALL.start} to {SMALL.end}, backfill" in began
    assert finished.endswith("complete: 1 documents by 1 requests")
    records = traced.deployment.count("raw_records")
    assert words(found, "rows") == [
        f"{records} to raw_records, 1 to raw_documents, 0 to quarantined_records; 0 records were known",
        f"{RAW}, {SMALL.start} to {SMALL.end}: documents_read 1, quarantined 0, rows_known 0, rows_written {records}",
    ]
    assert words(found, "log")[0].startswith("dagster-run info: polygon https://api.polygon.io/benzinga/v1/earnings?")
    moments = [entry["at"] for entry in found["entries"]]
    assert moments == sorted(moments) and found["notes"] == []


def test_whatever_id_of_it_is_known_leads_to_the_same(traced: Traced) -> None:
    whole = traced.trace(MINE)["entries"]
    [(collector_run,)] = traced.deployment.rows(
        "SELECT collector_run_id FROM collector_runs WHERE dagster_run_id = %(run)s", run=traced.run
    )
    [(record,)] = traced.deployment.rows("SELECT max(raw_record_id) FROM raw_records")
    for identifier, kind in ((traced.run, "dagster run"), (collector_run, "collector run"), (record, "raw record")):
        found = traced.trace(identifier)
        assert found["kinds"] == [kind] and found["correlation_ids"] == [MINE]
        more = [entry for entry in found["entries"] if entry not in whole]
        assert [entry for entry in whole if entry not in found["entries"]] == []
        assert [entry["layer"] for entry in more] == (["rows"] if kind == "raw record" else [])
    assert any(f"record {record} (" in said for said in words(traced.trace(record), "rows"))


def test_a_run_that_failed_says_why(traced: Traced) -> None:
    found = traced.trace(FAILED)
    assert found["kinds"] == ["correlation id of runs"]
    assert any("step raw__polygon__earnings failed" in text for text in words(found, "step"))
    said = " ".join(words(found, "step") + words(found, "run"))
    assert "SIGNALDELTA_POLYGON_API_KEY" in said and f"run {traced.failed_run} (__ASSET_JOB) failure" in said


def test_an_id_that_the_api_made_is_as_good(traced: Traced) -> None:
    found = traced.trace(traced.made_request)
    assert layers(found) == {"request": 2} and found["correlation_ids"] == [traced.made_request]


def test_models_and_refused_writes_belong_to_it(traced: Traced) -> None:
    identifier = "traced-request-3"
    usage = routing.Usage(new_ulid(), datetime.now(UTC), "explain_term", "route-1", "model-1", "one", None, identifier,
                          120, 30, Decimal("0.0015"), 812.0, "ok", None)  # fmt: skip
    with Warehouse(traced.deployment.url) as warehouse, correlated(identifier):
        routing.add_usage(warehouse, [usage])
        with warehouse.pulse() as connection:
            connection.execute(
                "INSERT INTO misrouted_writes (write_id, place, table_group, home, table_name, statement,"
                " correlation_id, reason) VALUES (%s, 'offsite', 'users', 'aws', 'users', 'x', %s, 'why')",
                (new_ulid(), identifier),
            )
    found = traced.trace(identifier)
    assert words(found, "model") == [
        "model-1 by route-1 for explain_term: ok, 120 + 30 tokens, 0.001500 dollars in 812 ms"
    ]
    [refused] = words(found, "refused")
    assert refused.startswith("write to users of users refused at offsite, kept as ")


def test_a_job_leads_to_its_run_and_a_request_to_its_job(traced: Traced) -> None:
    put_job(traced.deployment.url, "01TRACEDJOB", "failed", correlation_id=FAILED, dagster_run_id=traced.failed_run,
            reason="no key", submitted_at="2026-01-01T00:00:00Z", finished_at="2026-01-01T00:00:09Z")  # fmt: skip
    for identifier in ("01TRACEDJOB", FAILED, traced.failed_run):
        found = traced.trace(identifier)
        assert words(found, "job") == [
            "job 01TRACEDJOB (backtest) submitted by nobody known", "job 01TRACEDJOB (backtest) failed: no key"
        ]  # fmt: skip
        assert found["correlation_ids"] == [FAILED]
        assert any(f"run {traced.failed_run} (__ASSET_JOB) failure" in text for text in words(found, "run"))


def test_an_unknown_id_is_a_clear_error(traced: Traced) -> None:
    said = traced.deployment.run("signaldelta", "trace", "no-such-id", succeeds=False)
    assert said.strip() == (
        "error: trace: expected an id that something knows, found 'no-such-id': no request, job, run, record, event or"
        " label here has it"
    )


def test_at_one_of_two_places_it_says_where_else_to_look(traced: Traced) -> None:
    found = trace({"offsite": traced.deployment.url}, "offsite", traced.deployment.home / "none", MINE)
    assert found.notes == ("no request in this host's log: if it was served at 'aws', its lines are in the log there",)
    gone = {"offsite": traced.deployment.url, "aws": "postgresql://nobody@127.0.0.1:9/none"}
    notes = trace(gone, "offsite", traced.deployment.home / "none", MINE).notes
    assert notes[0].startswith("aws does not answer, what only it knows is missing: ")


def test_it_reads_as_a_page(traced: Traced) -> None:
    said = traced.trace(MINE)
    lines = trace({"one": traced.deployment.url}, "one", traced.deployment.home / "logs", MINE).lines()
    assert lines[0] == f"{MINE}: {', '.join(said['kinds'])}" and lines[1] == f"correlation id {MINE}"
    assert re.fullmatch(r"  \d\d:\d\d:\d\d\.\d{3}     \+0\.000 s  request   .+", lines[3])
    assert len(lines) == 3 + len(said["entries"])


def test_every_line_of_every_process_is_of_the_standard_and_holds_no_secret(traced: Traced) -> None:
    found = files(traced.deployment.home / "logs")
    assert {service for service, _, _ in found} == {"api", "dagster-run"}
    for _, _, path in found:
        text = path.read_text()
        assert SECRET not in text and "visible" not in text
        for line in text.splitlines():
            said = json.loads(line)
            assert list(said) == [
                "timestamp", "service", "correlation_id", "level", "message", "context", "logger", "process"
            ]  # fmt: skip
    # Every line of one action has its id: the API's and the run's.
    mine = list(lines_of(traced.deployment.home / "logs", [MINE]))
    assert {(line["service"], line["correlation_id"]) for line in mine} == {("api", MINE), ("dagster-run", MINE)}
