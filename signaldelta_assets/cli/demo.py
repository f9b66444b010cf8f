"""`signaldelta demo`: the main job end to end on an archive behind the replay server, with Dagster's own runs.

The steps are those a data engineer would launch: a daily range over collectors and signals, the quarters of the
labels, dataset and snapshot, one run per backtest spec, live scores, dbt. The second time each finds its work done.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console
from rich.table import Table

from signaldelta_assets.backtests import verify_run
from signaldelta_assets.backtests.reporting import run_verdict
from signaldelta_assets.catalogue import SignalDefinitions, load_definitions
from signaldelta_assets.defs.partitions import RANGE_END, RANGE_START
from signaldelta_assets.settings import Settings, load_settings
from signaldelta_assets.warehouse import Warehouse

from . import tables
from .backtests import figures_table, opened, store_spec
from .environment import apply, prepare, replay_environment
from .plans import Plan, Question, model_document, plan_of, protocol_document


@dataclass
class ReplayProcess:
    """A replay server in a process of its own."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def open_archive(archive: Path | None, settings: Settings, console: Console) -> Iterator[ReplayProcess]:
    """Serve an archive, simulating the default one first where none is named and none was made before."""
    if archive is None:
        from signaldelta_assets.replay import SimulationPlan, simulate

        archive = settings.home_dir / "simulated"
        if not (archive / "plan.json").exists():
            with console.status("simulating an archive"):
                simulate(SimulationPlan(), archive)
    ready = settings.home_dir / "replay.address"
    ready.unlink(missing_ok=True)
    ready.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "signaldelta_assets.replay", "--archive", str(archive.resolve()), "--port", "0",
         "--ready-file", str(ready)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the replay server of {archive} did not start")
            time.sleep(0.05)
        yield ReplayProcess(ready.read_text().strip(), process)
    finally:
        process.terminate()
        process.wait(20)


class Launcher:
    """Runs assets in this process on the deployment's Dagster instance, as `dagster asset materialize` does."""

    def __init__(self, console: Console, log: Path) -> None:
        from signaldelta_assets.definitions import defs

        # dagster-dbt remarks on every source test that it stores it as an observation.
        logging.getLogger("dagster.builtin").setLevel(logging.ERROR)
        self._repository = defs().get_repository_def()
        self._instance = dg.DagsterInstance.get()
        self._console = console
        self._log = log
        self.seconds: dict[str, float] = {}

    def add_partitions(self, name: str, keys: Sequence[str]) -> None:
        """Add dynamic partitions."""
        self._instance.add_dynamic_partitions(name, list(keys))

    def run(
        self,
        title: str,
        keys: Sequence[dg.AssetKey],
        partition: str | None = None,
        span: tuple[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Materialize `keys` for one partition, a range, or none; raise SystemExit where the run fails.

        config: of the operations, by their names.
        """
        job = self._repository.get_implicit_job_def_for_assets(keys)
        assert job is not None, f"{title}: the assets share no partitions definition"
        tags = {RANGE_START: span[0], RANGE_END: span[1]} if span else {}
        began = time.perf_counter()
        status = self._console.status(f"{title} {partition or (span and ' to '.join(span)) or ''}")
        # dbt speaks to standard output, a line per test: that goes to a file.
        with status, self._log.open("a") as log, contextlib.redirect_stdout(log):
            result = job.execute_in_process(
                instance=self._instance,
                partition_key=partition,
                tags=tags,
                asset_selection=list(keys),
                raise_on_error=False,
                # What each step did is in Dagster's event log; here a line per run is enough.
                run_config={
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                    "ops": dict(config or {}),
                },
            )
        elapsed = time.perf_counter() - began
        self.seconds[title] = self.seconds.get(title, 0.0) + elapsed
        mark = "done" if result.success else "FAILED"
        self._console.print(f"{mark:6} {title} {partition or ''} [dim]{elapsed:.1f} s[/dim]", highlight=False)
        if not result.success:
            for event in result.all_events:
                if event.is_failure:
                    self._console.print(event.message, markup=False)
            raise SystemExit(f"{title} failed; Dagster's run {result.run_id} has the details")

    def keys(self, *layers: str) -> list[dg.AssetKey]:
        """Return the keys of the assets of `layers`."""
        return [key for key in self._repository.asset_graph.executable_asset_keys if key.path[0] in layers]

    def resting_on(self, parents: Sequence[dg.AssetKey], layer: str) -> list[dg.AssetKey]:
        """Return the assets of a layer all of whose raw parents are among `parents`."""
        graph, known = self._repository.asset_graph, set(parents)
        return [key for key in self.keys(layer) if graph.get(key).parent_keys <= known]


def run_demo(archive: Path | None, name: str, console: Console) -> None:
    """Run everything on `archive` and print what came of it."""
    began = time.perf_counter()
    # Bound now: runs redirect standard output.
    console.file = sys.stdout
    plan = plan_of(archive is None, name)
    settings = load_settings()
    settings.home_dir.mkdir(parents=True, exist_ok=True)
    first_day = min([plan.first, *(day for _, day in plan.histories)])
    settings = apply({"SIGNALDELTA_FIRST_DAY": first_day.isoformat(), **prepare(settings)})
    with open_archive(archive, settings, console) as server:
        moment = datetime.combine(plan.observed, clock_time(), UTC)
        environment = replay_environment(settings, server.url, plan.feeds)
        settings = apply(environment | {"SIGNALDELTA_FIXED_CLOCK": moment.isoformat()})
        runs = _launch(Launcher(console, settings.home_dir / "demo.log"), plan)
        with opened() as (warehouse, artifacts):
            _report(warehouse, console, definitions=load_definitions(), runs=runs)
            with console.status("verify"):
                report = verify_run(warehouse, artifacts, runs[-1])
            word = "identical to the byte" if report.equal else "DIFFERENT"
            console.print(f"verify {runs[-1]}: run again from its manifest, {word}", highlight=False)
    console.print(f"all of it took {time.perf_counter() - began:.0f} s", highlight=False)
    if not report.equal:
        raise SystemExit(1)


def _launch(launcher: Launcher, plan: Plan) -> list[str]:
    """Do all that the plan says; return the runs of its questions."""
    span = (plan.first.isoformat(), plan.last.isoformat())
    eve = (plan.first - timedelta(days=1)).isoformat()
    collectors = [key for key in launcher.keys("raw") if not plan.upstreams or key.path[1] in plan.upstreams]
    for names, first in plan.histories:
        keys = [key for key in collectors if "/".join(key.path[1:]) in names]
        launcher.run(f"collect earlier {names[-1]}", keys, span=(first.isoformat(), eve))
    launcher.run("collect", collectors, span=span)
    launcher.run("extract", launcher.resting_on(collectors, "signals"), span=span)
    types = [key for key in launcher.resting_on(collectors, "labels") if key.path[-1] != "dataset"]
    for quarter in plan.quarters:
        launcher.run("label", types, partition=quarter)
        launcher.run("evidence", [dg.AssetKey(["snapshots", "evidence"])], partition=quarter)
    frozen = {"config": {"quarters": plan.frozen, "include_interpolated": plan.interpolated}}
    newest = plan.quarters[-1]
    for title, layer in (("dataset", "labels"), ("snapshot", "snapshots")):
        launcher.run(title, [dg.AssetKey([layer, title])], partition=newest, config={f"{layer}__{title}": frozen})
    launcher.run("live scores", [dg.AssetKey(["scores", "live"])])
    runs = _backtests(launcher, plan)
    launcher.run("dbt", launcher.keys("staging", "marts"))
    return runs


def _backtests(launcher: Launcher, plan: Plan) -> list[str]:
    definitions = load_definitions()
    specs: dict[str, Question] = {}
    with opened() as (warehouse, _):
        snapshot = tables.newest_snapshot(warehouse)
        for question in plan.questions:
            spec = store_spec(
                warehouse,
                snapshot["snapshot_hash"],
                model_document(question, definitions),
                protocol_document(question, plan),
                dict(definitions.availability_basis),
                question.hypothesis,
            )
            specs[spec] = question
    launcher.add_partitions("backtest_specs", list(specs))
    for spec in specs:
        launcher.run("backtest", [dg.AssetKey(["backtests", "run"])], partition=spec)
    with opened() as (warehouse, _):
        return [tables.run_of_spec(warehouse, spec) for spec in specs]


def _report(warehouse: Warehouse, console: Console, *, definitions: SignalDefinitions, runs: list[str]) -> None:
    for title, columns, rows in tables.overview(warehouse, definitions):
        shown = Table(*columns, title=title)
        for row in rows:
            shown.add_row(*(str(value) for value in row))
        console.print(shown)
    found, metrics = tables.run_figures(warehouse, runs[-1])
    console.print(figures_table(f"{found['hypothesis_family']} ({found['status']})", metrics))
    title, columns, rows = tables.answers([tables.run_figures(warehouse, run)[0] for run in runs])
    shown = Table(*columns, title=title)
    for row in rows:
        shown.add_row(*map(str, row))
    console.print(shown)
    for run in runs:
        console.print(f"- {run_verdict(warehouse, run).headline}", markup=False, highlight=False)
    console.print(f"a report of each: {load_settings().reports_dir}", highlight=False, soft_wrap=True)
    manifest = {key: value for key, value in found["manifest"].items() if key not in ("inputs", "outputs", "spec")}
    console.print(f"manifest of {found['hypothesis_family']}, without its lists of parts", highlight=False)
    console.print_json(json.dumps(manifest))
    console.print(f"all of it, and every figure: signaldelta backtest show {runs[-1]}", highlight=False)
