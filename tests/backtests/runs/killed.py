"""Freezes and runs a spec as any caller does, and kills itself on the way.

Run as ``python -m tests.backtests.runs.killed URL ROOT WHEN``. WHEN is ``never``; ``call N``: at the Nth call that
reaches a file, the database or another process; ``step TEXT``: when the run says so; ``child TEXT``: the same, but it
is the run's own process that is killed. Prints what was made, and how many calls it took.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from signaldelta_assets.backtests import run_backtest, sandbox
from signaldelta_assets.backtests.manifest import manifest_hash
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests
from tests.backtests.runs.study import make_spec
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
        # Imports open files too, and do nothing that could be half done.
        if event in _SEEN and not (event == "open" and str(arguments[0]).endswith((".py", ".pyc"))):
            self.count()

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count()
            return call(*args, **kwargs)

        return counted


def main(url: str, root: str, when: str) -> None:
    kind, _, place = when.partition(" ")
    counter = Counter(int(place) if kind == "call" else None)
    for name in ("execute", "commit"):
        setattr(psycopg.Connection, name, counter.around(getattr(psycopg.Connection, name)))
    backtests.copy_new = counter.around(backtests.copy_new)
    started: list[Any] = []
    popen = sandbox.subprocess.Popen

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


if __name__ == "__main__":
    main(*sys.argv[1:])
