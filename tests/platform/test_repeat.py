"""Whoever repeats it gets the same bytes: two deployments, one of them killed twice on its way.

Both have a database, an archive and a replay server of their own; the archives are simulated from one seed. The
undisturbed one goes through the rooms, the disturbed one through Dagster's command line where it is killed.
"""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.cli.plans import QUESTIONS, model_document
from signaldelta_assets.replay import simulate
from signaldelta_assets.warehouse import ArtifactStore
from tests.platform import pipeline
from tests.platform.conftest import SMALL, MakeDeployment
from tests.platform.deployment import Deployment, kill, materialize_arguments, serving, wait_until

pytestmark = [pytest.mark.platform, pytest.mark.postgres]

FIRST, LAST = SMALL.start, SMALL.end
QUESTION = QUESTIONS[0]
# A fortnight in the season of announcements: enough for the kill to fall between two batches.
KILLED = (date(2025, 1, 20), date(2025, 2, 2))
# Not compared: body and URL of prices, which came in one answer for the days that were asked for.
RECORDS = (
    "SELECT raw_record_id, payload_hash, observed_time, partition_date FROM raw_records"
    " WHERE partition_date BETWEEN %(first)s AND %(last)s ORDER BY 1"
)


def _pipeline(deployment: Deployment, *hypotheses: str) -> dict[str, Any]:
    said = deployment.run("python", "-m", "tests.platform.pipeline", FIRST.isoformat(), LAST.isoformat(), *hypotheses)
    return json.loads(said.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def undisturbed(deploy: MakeDeployment, small_replay: str) -> tuple[Deployment, dict[str, Any]]:
    deployment = deploy(small_replay)
    return deployment, _pipeline(deployment, QUESTION.hypothesis)


@pytest.fixture(scope="module")
def disturbed(deploy: MakeDeployment, folder: Path) -> Any:
    simulate(SMALL, folder / "again")
    with serving(folder / "again", folder) as url:
        yield deploy(url)


def test_a_killed_collection_started_again_comes_to_the_same_records(
    undisturbed: tuple[Deployment, dict[str, Any]], disturbed: Deployment
) -> None:
    window = {"first": KILLED[0], "last": KILLED[1]}
    expected = undisturbed[0].rows(RECORDS, **window)
    span = f"{KILLED[0]}...{KILLED[1]}"
    process = disturbed.start("dagster", *materialize_arguments("group:raw", span), stdout=subprocess.DEVNULL)

    def amid() -> bool:
        """True once the process stands still with a collector at work and its or others' first records written."""
        process.send_signal(signal.SIGSTOP)
        if disturbed.count("collector_runs", "status = 'running'") == 1 and disturbed.count("raw_records") > 0:
            return True
        process.send_signal(signal.SIGCONT)
        return False

    wait_until(amid, 120, "the first records", process)
    kill(process)
    # It fell where it should: a collector was at work, and not all is there.
    assert disturbed.count("collector_runs", "status = 'running'") == 1
    assert 0 < disturbed.count("raw_records") < len(expected)
    disturbed.materialize("group:raw", span)
    assert disturbed.rows(RECORDS, **window) == expected
    assert disturbed.count("collector_runs", "status = 'running'") == 0
    failed = disturbed.rows("SELECT error FROM collector_runs WHERE status = 'failed'")
    assert len(failed) == 1 and failed[0][0]
    # Every archived body has its row, every row its body.
    store = ArtifactStore(disturbed.home / "archive")
    bodies = {name for (name,) in disturbed.rows("SELECT body_hash FROM raw_documents")}
    store.sweep()
    assert _stored(store) == bodies


def _stored(store: ArtifactStore) -> set[str]:
    return {path.name.partition(".")[0] for path in store.root.rglob("*") if path.is_file()}


def test_a_killed_backtest_started_again_comes_to_the_same_run(
    undisturbed: tuple[Deployment, dict[str, Any]], disturbed: Deployment, tmp_path: Path
) -> None:
    other, expected = undisturbed
    # The rest of the window; what was collected above is found there.
    found = _pipeline(disturbed)
    assert found["snapshot_hash"] == expected["snapshot_hash"]
    files = {
        "model": model_document(QUESTION, load_definitions()),
        "protocol": pipeline.protocol(QUESTION, FIRST, LAST),
    }
    for name, document in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    said = disturbed.run(
        "signaldelta", "backtest", "add", "--snapshot", found["snapshot_hash"], "--hypothesis", QUESTION.hypothesis,
        "--model", str(tmp_path / "model.json"), "--protocol", str(tmp_path / "protocol.json"),
    )  # fmt: skip
    spec = said.split()[-1]
    assert spec == expected["specs"][QUESTION.hypothesis]

    arguments = materialize_arguments("key:backtests/run", spec)
    process = disturbed.start("dagster", *arguments, stdout=subprocess.DEVNULL)
    started = disturbed.home / "tmp"
    wait_until(lambda: any(started.glob("signaldelta-sandbox-*/*")), 120, "the sandbox", process)
    kill(process)
    # The sandbox has a session of its own and ends by itself when its parent does.
    wait_until(lambda: not disturbed.processes(), 30, "the end of the sandbox")
    tables = ("backtest_runs", "backtest_metrics", "backtest_alerts", "backtest_artifacts", "hypothesis_trials")
    assert {table: disturbed.count(table) for table in tables} == dict.fromkeys(tables, 0)
    disturbed.run("dagster", *arguments)

    environment = "SELECT environment_hash FROM backtest_runs"
    same = disturbed.rows(environment) == other.rows(environment)
    assert same, "the code or a package was changed while this test ran: its two runs cannot be compared"
    run = expected["runs"][QUESTION.hypothesis]
    assert disturbed.rows("SELECT run_hash, status FROM backtest_runs") == [(run, "complete")]
    for query in (
        "SELECT run_hash, spec_hash, evaluation_hash, evaluation::text, environment_hash FROM backtest_runs",
        "SELECT evidence, slice_kind, slice_value, metric, value, low, high, null_value, reason"
        " FROM backtest_metrics ORDER BY 1, 2, 3, 4",
        "SELECT entity_id, alert_at, alert_score, matched_event_time FROM backtest_alerts ORDER BY 1, 2",
        # Scores, alerts, matches, and the samples: whole vectors with their top contributors.
        "SELECT name, file_hash, content_hash FROM backtest_artifacts ORDER BY 1",
        "SELECT hypothesis_family, run_hash FROM hypothesis_trials",
    ):
        assert disturbed.rows(query) == other.rows(query) != []
    _has_sample_vectors(disturbed)
    _has_no_orphans(disturbed)


def _has_sample_vectors(deployment: Deployment) -> None:
    """The equal bytes do hold what was to be compared: vectors of scores, and whose evidence they rest on."""
    ((name,),) = deployment.rows("SELECT file_hash FROM backtest_artifacts WHERE name = 'samples'")
    samples = json.loads(ArtifactStore(deployment.home / "artifacts").read_bytes(name, ".json"))
    text = json.dumps(samples)
    assert "contributors" in text and "magnitude" in text


def _has_no_orphans(deployment: Deployment) -> None:
    store = ArtifactStore(deployment.home / "artifacts")
    store.sweep()
    named = {name for (name,) in deployment.rows("SELECT file_hash FROM backtest_artifacts")}
    ((manifest,),) = deployment.rows("SELECT manifest FROM backtest_snapshots")
    named |= {part["file_hash"] for part in manifest["parts"]}
    assert _stored(store) == named


def test_no_name_of_this_machine_is_in_what_is_hashed(undisturbed: tuple[Deployment, dict[str, Any]]) -> None:
    deployment, _ = undisturbed
    urls = [url for (url,) in deployment.rows("SELECT DISTINCT source_url FROM raw_records")]
    # A node is named by its chain.
    sources = {url.split("/")[2] if "://" in url else url.partition("/")[0] for url in urls}
    assert sources == {"www.sec.gov", "data.sec.gov", "api.polygon.io", "ethereum:1"}
    observed = deployment.rows("SELECT DISTINCT observed_time FROM raw_records")
    assert [str(moment) for (moment,) in observed] == ["2025-07-01 00:00:00+00:00"]
