"""Freezes and runs a spec as any caller does, and kills itself on the way.

Run as ``python -m tests.backtests.runs.killed URL ROOT WHEN``, or without arguments for many attempts, one a line of
standard input, each in a fork (`forked`). WHEN is ``never``; ``call N``: at the Nth call that reaches a file, the
database or another process; ``step TEXT``: when the run says so; ``child TEXT``: the same, but it is the run's own
process that is killed; ``storing`` and ``stored``: just before and just after the commit that stores the run. Prints
what was made, and how many calls it took (``storing``: up to there, as an error).
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa

from signaldelta_assets.backtests import child, run_backtest, sandbox
from signaldelta_assets.backtests.manifest import manifest_hash
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests
from tests.backtests.runs.forked import Standby, serve
from tests.backtests.runs.study import PROTOCOL, make_spec
from tests.snapshots.world import World

_SEEN = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.listdir", "os.scandir",
         "subprocess.Popen", "shutil.rmtree", "shutil.copyfile", "tempfile.mkstemp", "tempfile.mkdtemp"}  # fmt: skip


class Counter:
    """Counts calls, and kills this process at the one that is given."""

    def __init__(self, last: int | None) -> None:
        self.calls, self._last = 0, last

    def count(self, *_: Any) -> None:
        self.calls += 1
        if self.calls == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        # Code and its versions are read too, and nothing could be half done there.
        if event in _SEEN and not (event == "open" and str(arguments[0]).endswith((".py", ".pyc", "METADATA"))):
            self.count()

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count()
            return call(*args, **kwargs)

        return counted


def main(url: str, root: str, when: str, popen: Callable[..., Any] = subprocess.Popen) -> None:
    kind, _, place = when.partition(" ")
    counter = Counter(int(place) if kind == "call" else None)
    for name in ("execute", "commit"):
        setattr(psycopg.Connection, name, counter.around(getattr(psycopg.Connection, name)))
    copy_new, put_run = counter.around(backtests.copy_new), backtests.put_run

    def copying(connection: Any, table: str, *args: Any) -> Any:
        copied = copy_new(connection, table, *args)
        if when == "storing" and table == "backtest_artifacts":
            os.write(2, str(counter.calls).encode())
            os.kill(os.getpid(), signal.SIGKILL)
        return copied

    def putting(*args: Any) -> Any:
        stored = put_run(*args)
        if when == "stored":
            os.kill(os.getpid(), signal.SIGKILL)
        return stored

    backtests.copy_new, backtests.put_run = copying, putting
    started: list[Any] = []

    def start(*args: Any, **kwargs: Any) -> Any:
        started.append(popen(*args, **kwargs))
        return started[-1]

    sandbox.subprocess.Popen = start  # type: ignore[misc, assignment]

    def progress(done: int, total: int, text: str) -> None:
        if text.startswith(place) and kind in ("step", "child"):
            os.kill(os.getpid() if kind == "step" else started[-1].pid, signal.SIGKILL)

    sys.addaudithook(counter.audit)
    with Warehouse(url) as warehouse:
        world = World(warehouse, ArtifactStore(Path(root)), [], [])
        spec = make_spec(world, family="killed")
        run = run_backtest(warehouse, world.store, spec, progress=progress)
    manifest = run.manifest
    print(json.dumps({
        "calls": counter.calls, "snapshot": spec.snapshot_hash, "run": run.run_hash, "trial": run.trial_number,
        "manifest": manifest_hash(manifest), "evaluation": run.evaluation_hash, "outputs": manifest["outputs"],
    }))  # fmt: skip


def forked(url: str, root: str, when: str) -> None:
    tempfile.tempdir = str(Path(root).with_name("tmp"))
    main(url, root, when, Standby(child.main))


if __name__ == "__main__":
    if sys.argv[1:]:
        main(*sys.argv[1:])
    else:
        # As the run's process does, so that a fork of it finds no threads of Arrow's.
        pa.set_cpu_count(1)
        child.warm_up(PROTOCOL["calibration"]["method"])
        serve(forked)
