"""The sandbox: what is refused, how the run fails, and that a killed run leaves nothing."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from signaldelta_assets.backtests import BacktestFailedError, run_backtest, runs, verify_run
from signaldelta_assets.backtests.sandbox import execute
from tests.backtests.runs.study import MODEL, changed, make_spec
from tests.paths import ROOT
from tests.snapshots.world import World

HOOKS = "tests.backtests.runs.hooks"


def test_everything_but_computing_is_refused_by_name(tmp_path: Path) -> None:
    folder, outside, readable = tmp_path / "run", tmp_path / "other" / "secret", tmp_path / "part"
    folder.mkdir()
    outside.parent.mkdir()
    outside.write_text("1,2")
    readable.write_text("part")
    command = [sys.executable, "-m", "tests.backtests.runs.tries", str(folder), str(readable), str(outside)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "found.json").read_text())
    let_through = [name for name, outcome in found["refused"].items() if "may not call" not in outcome]
    assert let_through == []
    assert {name: outcome for name, outcome in found["allowed"].items() if outcome != "let through"} == {}
    for name, part in (("socket", "socket.__new__"), ("dns", "socket.getaddrinfo"), ("read outside", "secret"),
                       ("subprocess", "subprocess.Popen"), ("time_ns imported", "time.time_ns"),
                       ("datetime.now", "datetime.datetime.now"), ("urandom", "os.urandom")):  # fmt: skip
        assert part in found["refused"][name]
    # Each refusal is told to the parent as well, whatever was caught here.
    assert done.stdout.count("!") >= len(found["refused"])
    assert outside.read_text() == "1,2" and readable.read_text() == "part"


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("hook", "call"),
    [
        ("open_socket", "socket.getaddrinfo"),
        ("look_up_a_name", "socket.gethostbyname"),
        ("read_a_file", r"open\(.*hooks.py'\) for reading"),
        ("write_a_file", r"open\(.*hooks.py.new'\) for writing"),
        ("read_a_file_by_arrow", r"open(at)?\(.*hooks.py'\) for reading"),
        ("map_a_file_by_arrow", r"open(at)?\(.*hooks.py'\) for reading"),
        ("ask_the_clock_and_say_nothing", "time.time"),
        ("ask_for_today", "datetime.datetime.today"),
        ("start_a_process", "subprocess.Popen"),
        ("fork", "os.fork"),
        ("fork_in_c", "clone"),
        ("start_processes", "os.fork"),
        ("draw_without_a_seed", "os.urandom"),
        ("load_a_library", "ctypes.dlopen"),
    ],
)
def test_the_run_fails_naming_the_call_and_leaves_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: str, call: str
) -> None:
    spec, before, files = make_spec(world, family="refused"), _visible(world), set(world.store.root.rglob("*"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    refused = functools.partial(execute, hook=f"{HOOKS}:{hook}", hook_path=ROOT)
    monkeypatch.setattr(runs, "execute", refused)
    with pytest.raises(BacktestFailedError, match=f"may not call {call}") as failed:
        run_backtest(world.warehouse, world.store, spec)
    assert len(failed.value.violations) == 1
    assert _visible(world) == before and set(world.store.root.rglob("*")) == files
    assert list(tmp_path.iterdir()) == []
    assert not Path(f"{ROOT}/tests/backtests/runs/hooks.py.new").exists()


# A process that runs the spec as any caller does, stopped either inside the computation or inside the transaction.
_DRIVER = """
import functools, sys, time
from pathlib import Path
from signaldelta_assets.backtests import BacktestSpec, run_backtest, runs
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests, documents
url, root, spec_hash, place, repository = sys.argv[1:]
def stop(*_):
    print("waiting", flush=True)
    time.sleep(600)
if place == "computing":
    runs.execute = functools.partial(
        runs.execute, hook="tests.backtests.runs.hooks:wait_for_the_end", hook_path=Path(repository)
    )
else:
    copy = backtests.copy_new
    def slow(connection, table, *rest):
        done = copy(connection, table, *rest)
        if table == "backtest_metrics":
            stop()
        return done
    backtests.copy_new = slow
with Warehouse(url) as warehouse:
    spec = BacktestSpec.from_dict(documents.get_document(warehouse, spec_hash, "backtest_spec"))
    run_backtest(warehouse, ArtifactStore(Path(root)), spec, progress=lambda d, t, text: print(text, flush=True))
"""


@pytest.mark.postgres
@pytest.mark.parametrize("place", ["computing", "storing"])
def test_a_killed_run_leaves_nothing_and_can_be_started_again(world: World, place: str) -> None:
    from signaldelta_assets.warehouse.stores import documents

    spec = make_spec(world, model=changed(MODEL, "magnitude.k", {"computing": 2.5, "storing": 3.0}[place]))
    name = documents.put_document(world.warehouse, "backtest_spec", "kill", spec.document)
    before = _visible(world)
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, world.warehouse.url, str(world.store.root), name, place, str(ROOT)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert driver.stdout is not None
    said = []
    for line in driver.stdout:
        said.append(line.strip())
        if line.strip() == "waiting":
            break
    assert said[-1:] == ["waiting"], said
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    # The sandbox holds the other end of this pipe's process group no longer than its parent lives: no one is left.
    assert driver.stdout.read() == ""
    assert _visible(world) == before

    run = run_backtest(world.warehouse, world.store, spec)
    assert run.created and run.status == "complete"
    assert _visible(world)["backtest_runs"] == before["backtest_runs"] + 1
    if place == "storing":
        report = verify_run(world.warehouse, world.store, run.run_hash)
        assert report.equal, report.differences


def _visible(world: World) -> dict[str, int]:
    tables = ("backtest_runs", "backtest_metrics", "backtest_alerts", "backtest_artifacts", "hypothesis_trials")
    with world.warehouse.read_pool().connection() as connection:
        return {
            table: connection.execute(f"SELECT count(*) AS n FROM {table}").fetchone()["n"]  # type: ignore[index]
            for table in tables
        }
