"""The work of a deployment as processes that can be killed: collect, freeze, backtest, as the assets call it.

Forked from a server that has everything imported: a process costs a tenth of a second instead of several.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from signaldelta_assets.backtests import BacktestSpec, run_backtest
from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.cli.backtests import opened, store_spec
from signaldelta_assets.cli.plans import QUESTIONS, model_document
from signaldelta_assets.warehouse import misrouted
from signaldelta_assets.warehouse.stores import documents
from tests.platform import pipeline

QUESTION = QUESTIONS[0]
SPECS = 4
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.homes.work"])


def history(first: str, _: str) -> None:
    """The earnings that surprises are measured against."""
    start = date.fromisoformat(first)
    with opened() as (warehouse, _store):
        pipeline.collect(warehouse, start - pipeline.HISTORY, start - timedelta(days=1), ["polygon/earnings"])


def collect(first: str, last: str) -> None:
    """Every feed for some days."""
    with opened() as (warehouse, _):
        pipeline.collect(warehouse, date.fromisoformat(first), date.fromisoformat(last))


def freeze(first: str, last: str) -> dict[str, Any]:
    """Signals, labels, dataset, snapshot, and the specs of questions about it."""
    days = date.fromisoformat(first), date.fromisoformat(last)
    with opened() as (warehouse, store):
        snapshot = pipeline.freeze(warehouse, store, *days)
        definitions = load_definitions()
        protocol = pipeline.protocol(QUESTION, *days)
        protocol["bootstrap"]["replicates"] = 50
        protocol["nulls"]["draws"] = 20
        # Few events: what is shown here is that the same figures come out, not what they are worth.
        protocol["minimum_dataset"] = {
            "entities": 2, "event_types": 1, "events": 2, "events_of_commonest_type": 2, "events_per_type": 2,
            "months": 1,
        }  # fmt: skip
        # The same question asked by several: runs of their own, each of which can be disturbed once.
        specs = [
            store_spec(
                warehouse, snapshot, model_document(QUESTION, definitions), _seeded(protocol, place),
                dict(definitions.availability_basis), QUESTION.hypothesis,
            )
            for place in range(SPECS)
        ]  # fmt: skip
    return {"snapshot": snapshot, "specs": specs}


def _seeded(protocol: dict[str, Any], place: int) -> dict[str, Any]:
    return protocol | {"bootstrap": protocol["bootstrap"] | {"seed": protocol["bootstrap"]["seed"] + place}}


def backtest(spec: str) -> dict[str, Any]:
    """The run of a spec."""
    with opened() as (warehouse, store):
        document = documents.get_document(warehouse, spec, "backtest_spec")
        run = run_backtest(warehouse, store, BacktestSpec.from_dict(document))
    return {"run": run.run_hash, "status": run.status, "trial": run.trial_number, "created": run.created}


def recover(url: str, peer: str, place: str) -> list[str]:
    """Deliver refused writes; what became of each."""
    return [delivery.outcome for delivery in misrouted.recover(url, peer, place)]  # type: ignore[arg-type]


def _child(name: str, arguments: tuple[Any, ...], variables: Mapping[str, str], said: str) -> None:
    os.setsid()
    for key in [key for key in os.environ if key.startswith(("SIGNALDELTA_", "DAGSTER_"))]:
        del os.environ[key]
    os.environ.update(variables)
    tempfile.tempdir = None
    target = Path(said)
    with target.with_suffix(".log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            found = {"result": globals()[name](*arguments)}
        except BaseException as error:  # noqa: BLE001
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.flush()
    part = target.with_suffix(".part")
    part.write_text(json.dumps(found))
    part.replace(target)


class Job:
    """A piece of work in a process of its own."""

    def __init__(self, name: str, arguments: tuple[Any, ...], variables: Mapping[str, str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        handle, raw = tempfile.mkstemp(prefix=f"{name}-", suffix=".json", dir=folder)
        os.close(handle)
        self._said = Path(raw)
        self._said.unlink()
        self.process = _context.Process(target=_child, args=(name, arguments, dict(variables), raw))
        self.process.start()

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def when(self, amid: Callable[[], bool], seconds: float = 60.0) -> None:
        """Return with the process standing still at a moment when `amid` is true; fails where it ends before."""
        import time

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.is_alive(), f"it ended before it could be disturbed: {self.found()}"
            self.signal(signal.SIGSTOP)
            if amid():
                return
            self.signal(signal.SIGCONT)
            time.sleep(0.02)
        raise AssertionError("the moment to disturb it did not come")

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.join(20)

    def found(self, seconds: float = 120.0) -> dict[str, Any]:
        """Wait for its end; return {"result": ...}, {"error": words}, or {} where it was killed."""
        self.process.join(seconds)
        assert not self.process.is_alive(), "it does not end"
        return json.loads(self._said.read_text()) if self._said.exists() else {}

    def result(self) -> Any:
        """Wait for its end and return what came of it; fails with its error."""
        found = self.found()
        assert "result" in found, found or "it was killed"
        return found["result"]
