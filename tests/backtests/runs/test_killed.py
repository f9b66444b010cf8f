"""Killed at any point of freezing and running: nothing is half there, and the same command ends in the same hashes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from signaldelta_assets.backtests import check_manifest
from signaldelta_assets.backtests.folders import PREFIX, sweep
from signaldelta_assets.backtests.sandbox import sandbox_environment
from signaldelta_assets.snapshots import open_snapshot
from signaldelta_assets.versioning import sha256_file
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests
from tests.paths import ROOT
from tests.snapshots.world import build_world

pytestmark = pytest.mark.postgres
# In the run's own process, beside the calls of the one that started it.
STEPS = ("compiling", "deriving available times", "scoring 4", "scoring again", "evaluating", "computed")
CALLS = 5

_COMMAND = [sys.executable, "-m", "tests.backtests.runs.killed"]


def _start(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the whole of it, undisturbed and in new interpreters."""
    command = [*_COMMAND, url, str(folder / "store"), "never"]
    environment = os.environ | {"TMPDIR": str(folder / "tmp")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


class _Attempts:
    """Attempts that are killed on the way, each in a fork of a process that has started once."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> Self:
        # What is read from the environment variables at the start of an interpreter is as a run's process has it.
        environment = os.environ | sandbox_environment(self._home)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(_COMMAND, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(self, url: str, folder: Path, when: str) -> tuple[int, str]:
        """Start one; return its status and what it wrote as errors."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([url, str(folder / "store"), when]) + "\n")
        self._process.stdin.flush()
        status, _, errors = json.loads(self._process.stdout.readline())
        return status, errors


def _run_folders(folder: Path) -> list[Path]:
    return list((folder / "tmp").glob(f"{PREFIX}*"))


def _nothing_is_half_there(warehouse: Warehouse, store: ArtifactStore) -> int:
    """Every file is what its name says, every row complete; return how many runs there are."""
    for path in store.root.rglob("*"):
        if path.is_file() and not path.name.startswith(".incoming-"):
            assert sha256_file(path) == path.stem, f"{path} is not what its name says"
    with warehouse.read_pool().connection() as connection:
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


# Two starts of the whole platform and a score of forks: no limit would say anything.
@pytest.mark.timeout(0)
def test_killed_anywhere_it_leaves_nothing_half_done_and_finishes_the_same(
    make_postgres_url: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "undisturbed", tmp_path / "killed"]
    urls = []
    for folder in folders:
        (folder / "tmp").mkdir(parents=True)
        urls.append(make_postgres_url())
        with Warehouse(urls[-1]) as warehouse:
            build_world(warehouse, ArtifactStore(folder / "store"))
    done = _start(urls[0], folders[0])
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout)
    calls = expected.pop("calls")
    assert calls > 10 * CALLS

    url, folder = urls[1], folders[1]
    with Warehouse(url) as warehouse, _Attempts(tmp_path) as attempts:
        store = ArtifactStore(folder / "store")

        def killed(point: str, runs: int = 0) -> str:
            status, errors = attempts.start(url, folder, point)
            assert status == (1 if point.startswith("child") else -signal.SIGKILL), f"{point}: {status}: {errors}"
            assert _nothing_is_half_there(warehouse, store) == runs, point
            assert len(_run_folders(folder)) <= 1, f"{point}: the folder of an earlier attempt is still there"
            return errors

        # While nothing is frozen yet.
        for number in (1, calls // 6, calls // 3):
            killed(f"call {number}")
        for text in STEPS[::2]:
            killed(f"step {text}")
        for text in STEPS[1::2]:
            assert "without a word" in killed(f"child {text}")
        # Where the snapshot is there, over all calls up to the commit, and one after it.
        before = int(killed("storing"))
        spread = [1 + (before - 1) * number // CALLS for number in range(1, CALLS + 1)]
        for number in sorted({*spread, *random.Random(7).sample(range(2, before), 2)}):
            killed(f"call {number}")
        killed("stored", runs=1)
        finished = _start(url, folder)
        assert finished.returncode == 0, finished.stderr
        found = json.loads(finished.stdout)
        del found["calls"]
        assert found == expected
        assert _nothing_is_half_there(warehouse, store) == 1
        # The attempt that was killed after its commit left its folder to the next run, and no run was left to do.
        monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        assert (sweep(), _run_folders(folder)) == (1, [])
        store.sweep()
        names = {path.name for path in store.root.rglob("*") if path.is_file()}
    assert names == {path.name for path in (folders[0] / "store").rglob("*") if path.is_file()}
