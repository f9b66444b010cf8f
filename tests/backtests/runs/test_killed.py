"""Killed at any point of freezing and running: nothing is half there, and the same command ends in the same hashes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signaldelta_assets.backtests import check_manifest
from signaldelta_assets.backtests.folders import PREFIX
from signaldelta_assets.snapshots import open_snapshot
from signaldelta_assets.versioning import sha256_file
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests
from tests.paths import ROOT
from tests.snapshots.world import build_world

pytestmark = pytest.mark.postgres
# In the run's own process, beside the calls of the one that started it.
STEPS = ("compiling", "deriving available times", "scoring 4", "scoring again", "evaluating", "computed")
CALLS = 8


def _start(url: str, folder: Path, when: str) -> subprocess.CompletedProcess[str]:
    (folder / "tmp").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.backtests.runs.killed", url, str(folder / "store"), when]
    environment = os.environ | {"TMPDIR": str(folder / "tmp")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _nothing_is_half_there(warehouse: Warehouse, store: ArtifactStore) -> int:
    """Every file is what its name says, every row complete; return how many runs there are."""
    for path in store.root.rglob("*"):
        if path.is_file() and not path.name.startswith(".incoming-"):
            assert sha256_file(path) == path.stem, f"{path} is not what its name says"
    with warehouse.read() as connection:
        rows: dict[str, list[dict[str, Any]]] = {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("backtest_snapshots", "backtest_runs", "backtest_metrics", "backtest_alerts",
                          "backtest_artifacts", "hypothesis_trials")
        }  # fmt: skip
    for snapshot in rows["backtest_snapshots"]:
        assert open_snapshot(store, snapshot["manifest"]).tables()["signal_events"].num_rows > 0
    runs = {row["run_id"]: row for row in rows["backtest_runs"]}
    for table in ("backtest_metrics", "backtest_alerts", "backtest_artifacts"):
        assert {row["run_id"] for row in rows[table]} == set(runs)
    assert {(row["run_hash"], row["trial_number"]) for row in rows["hypothesis_trials"]} == {
        (row["run_hash"], row["trial_number"]) for row in runs.values()
    }
    assert sorted(row["trial_number"] for row in rows["hypothesis_trials"]) == list(range(1, len(runs) + 1))
    for run_id, row in runs.items():
        outputs = {output.name: output for output in check_manifest(row["manifest"]).outputs}
        artifacts = backtests.read_artifacts(warehouse, run_id)
        assert {item["name"]: item["file_hash"] for item in artifacts} == {
            name: output.file_hash for name, output in outputs.items()
        }
        for item in artifacts:
            store.verify(item["file_hash"], {"application/json": ".json"}.get(item["media_type"], ".parquet"))
        alerts = [alert for alert in rows["backtest_alerts"] if alert["run_id"] == run_id]
        assert len(alerts) == outputs["alerts"].rows > 0
    return len(runs)


# A score of starts of the whole platform: no limit would say anything.
@pytest.mark.timeout(0)
def test_killed_anywhere_it_leaves_nothing_half_done_and_finishes_the_same(
    make_postgres_url: Callable[[], str], tmp_path: Path
) -> None:
    folders = [tmp_path / "undisturbed", tmp_path / "killed"]
    urls = []
    for folder in folders:
        folder.mkdir()
        urls.append(make_postgres_url())
        with Warehouse(urls[-1]) as warehouse:
            build_world(warehouse, ArtifactStore(folder / "store"))
    done = _start(urls[0], folders[0], "never")
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout)
    calls = expected.pop("calls")
    assert calls > 5 * CALLS

    spread = [1 + (calls - 1) * number // (CALLS - 1) for number in range(CALLS)]
    seeded = random.Random(7).sample(range(2, calls), 2)
    # The last calls come last: they are after the commit.
    points = [f"step {text}" for text in STEPS[::2]] + [f"child {text}" for text in STEPS[1::2]]
    points += [f"call {number}" for number in sorted({*spread, *seeded})]
    url, folder = urls[1], folders[1]
    killed = 0
    with Warehouse(url) as warehouse:
        store = ArtifactStore(folder / "store")
        for point in points:
            attempt = _start(url, folder, point)
            if attempt.returncode == 0:
                # Stored by an attempt that was killed after its commit: then there is nothing left to kill.
                break
            assert attempt.returncode == (1 if point.startswith("child") else -signal.SIGKILL), attempt.stderr
            if point.startswith("child"):
                assert "without a word" in attempt.stderr
            killed += 1
            assert _nothing_is_half_there(warehouse, store) <= 1
        assert killed >= 12
        finished = _start(url, folder, "never")
        assert finished.returncode == 0, finished.stderr
        found = json.loads(finished.stdout)
        del found["calls"]
        assert found == expected
        assert _nothing_is_half_there(warehouse, store) == 1
        assert list((folder / "tmp").glob(f"{PREFIX}*")) == []
        store.sweep()
        names = {path.name for path in store.root.rglob("*") if path.is_file()}
    assert names == {path.name for path in (folders[0] / "store").rglob("*") if path.is_file()}
