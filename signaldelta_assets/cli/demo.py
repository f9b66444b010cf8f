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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console
from rich.table import Table

from signaldelta_assets.backtests import verify_run
from signaldelta_assets.backtests.reporting import run_verdict
from signaldelta_assets.catalogue import SignalDefinitions, load_definitions
from signaldelta_assets.defs.partitions import QUARTERS_IN_SNAPSHOT, RANGE_END, RANGE_START
from signaldelta_assets.scoring import default_model
from signaldelta_assets.settings import Settings, load_settings
from signaldelta_assets.warehouse import Warehouse

from . import tables
from .backtests import figures_table, opened, store_spec
from .environment import apply, prepare, replay_environment


@dataclass(frozen=True)
class Question:
    """One hypothesis of the demo: whose signals are scored, and which events they are held against."""

    hypothesis: str
    signals: tuple[str, ...]
    event_types: tuple[str, ...]
    horizon_days: int


# What the simulated archive has planted, and what it has not (plan.json of the archive says so too).
QUESTIONS = (
    Question("insider-buys-before-earnings", ("S001", "S003"), ("EARNINGS_SURPRISE",), 21),
    Question("market-move-before-deal", ("S059", "S064"), ("MNA_ANNOUNCEMENT",), 10),
    Question("noise-before-earnings", ("S018", "S033"), ("EARNINGS_SURPRISE",), 21),
    Question("all-signals", (), ("EARNINGS_SURPRISE", "MNA_ANNOUNCEMENT", "GOVERNANCE_COLLAPSE"), 21),
)


# The recorded archive holds few purchases and three deals: asked is what its bars, filings and results can answer.
RECORDED_QUESTIONS = (
    Question("market-move-before-earnings", ("S059", "S060", "S064"), ("EARNINGS_SURPRISE",), 21),
    Question("filings-before-earnings", ("S018", "S033", "S039"), ("EARNINGS_SURPRISE",), 21),
    Question("past-surprise-before-earnings", ("S028",), ("EARNINGS_SURPRISE",), 21),
    Question("all-signals", (), ("EARNINGS_SURPRISE", "MNA_ANNOUNCEMENT", "GOVERNANCE_COLLAPSE"), 21),
)


@dataclass(frozen=True)
class Plan:
    """The window of one archive: days to collect, quarters to label and freeze, and how far back inputs reach.

    A surprise is measured against eight quarters before it, so earnings are collected from `earnings_first`; accruals
    against three fiscal years at least, so facts, and the lists that date them, from `facts_first`.
    """

    first: date
    last: date
    earnings_first: date
    facts_first: date
    step_hours: int
    quarters: tuple[str, ...]
    questions: tuple[Question, ...] = QUESTIONS


# The recorded inputs are densest here: 8-K texts from 2023-11, ownership documents and prices throughout.
RECORDED = Plan(
    date(2023, 10, 1),
    date(2025, 9, 30),
    date(2021, 1, 1),
    date(2019, 1, 1),
    # Two thousand entities for a year, four times the reference size if hourly. Scores are the same on any grid.
    6,
    ("2023-10-01", "2024-01-01", "2024-04-01", "2024-07-01", "2024-10-01", "2025-01-01", "2025-04-01", "2025-07-01"),
    RECORDED_QUESTIONS,
)
SIMULATED = Plan(
    date(2024, 6, 30),
    date(2025, 6, 30),
    date(2022, 4, 1),
    date(2022, 1, 1),
    1,
    ("2024-07-01", "2024-10-01", "2025-01-01", "2025-04-01"),
)


def plan_of(archive: Path | None) -> Plan:
    """Return the window of the simulated archive, or of a recorded one."""
    return SIMULATED if archive is None else RECORDED


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
        self, title: str, keys: Sequence[dg.AssetKey], partition: str | None = None, span: tuple[str, str] | None = None
    ) -> None:
        """Materialize `keys` for one partition, a range, or none; raise SystemExit where the run fails."""
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
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
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


def protocol_document(question: Question, plan: Plan) -> dict[str, Any]:
    """Return the evaluation protocol of a question over the snapshot's window, with the requirement's minimum."""
    start = datetime.fromisoformat(plan.quarters[-QUARTERS_IN_SNAPSHOT]).replace(tzinfo=UTC)
    end = datetime(plan.last.year, plan.last.month, plan.last.day, tzinfo=UTC)
    several = len(question.event_types) > 1
    return {
        "schema": "signaldelta.evaluation_protocol/1",
        "name": question.hypothesis,
        "grid": {"start": int(start.timestamp()), "end": int(end.timestamp()), "step_seconds": 3600 * plan.step_hours},
        "horizon_hours": 24 * question.horizon_days,
        # A fresh full-strength tier-1 event alone gives about 0.2; half a half-life of a weaker one still stands above.
        "alert": {"threshold": 0.02, "rearm_below": 0.012, "refractory_hours": 24},
        "event_types": list(question.event_types),
        "embargo_hours": 24 * question.horizon_days,
        "folds": 4,
        "calibration": {"method": "platt"},
        "bootstrap": {"cluster_hours": 168, "level": 0.95, "replicates": 400, "seed": 20250701},
        # All entities together: announcements come in seasons, and a null that breaks these up would call them skill.
        "nulls": {"draws": 200, "seed": 20250702, "shift": "common"},
        # The meta-plan's minimum speaks of a dataset over several types; a question about one type asks the rest of it.
        "minimum_dataset": {
            "entities": 100 if several else 20,
            "event_types": 3 if several else 1,
            "events": 200 if several else 30,
            "events_of_commonest_type": 50 if several else 30,
            "months": 6,
        },
    }


def model_document(question: Question, definitions: SignalDefinitions) -> dict[str, Any]:
    """Return the default model; where a question has its own signals, all others are named with weight 0."""
    model = default_model(definitions.document)
    for name, signal in model["signals"].items():
        if question.signals and name not in question.signals:
            signal["weight"] = 0.0
    return model


def run_demo(archive: Path | None, console: Console) -> None:
    """Run everything on `archive` and print what came of it."""
    began = time.perf_counter()
    # Bound now: runs redirect standard output.
    console.file = sys.stdout
    plan = plan_of(archive)
    settings = load_settings()
    settings.home_dir.mkdir(parents=True, exist_ok=True)
    settings = apply(prepare(settings))
    with open_archive(archive, settings, console) as server:
        # The archive was recorded before now: the moment of observation is the same for whoever replays it.
        moment = datetime(plan.last.year, plan.last.month, plan.last.day, tzinfo=UTC) + timedelta(days=1)
        settings = apply(replay_environment(settings, server.url) | {"SIGNALDELTA_FIXED_CLOCK": moment.isoformat()})
        launcher = Launcher(console, settings.home_dir / "demo.log")
        span = (plan.first.isoformat(), plan.last.isoformat())
        eve = (plan.first - timedelta(days=1)).isoformat()
        earnings = [dg.AssetKey(["raw", "polygon", "earnings"])]
        launcher.run("collect earlier earnings", earnings, span=(plan.earnings_first.isoformat(), eve))
        facts = [dg.AssetKey(["raw", "edgar", name]) for name in ("submissions", "companyfacts")]
        launcher.run("collect earlier facts", facts, span=(plan.facts_first.isoformat(), eve))
        launcher.run("collect", launcher.keys("raw"), span=span)
        launcher.run("extract", launcher.keys("signals"), span=span)
        types = [key for key in launcher.keys("labels") if key.path[-1] != "dataset"]
        for quarter in plan.quarters:
            launcher.run("label", types, partition=quarter)
            launcher.run("evidence", [dg.AssetKey(["snapshots", "evidence"])], partition=quarter)
        newest = plan.quarters[-1]
        launcher.run("dataset", [dg.AssetKey(["labels", "dataset"])], partition=newest)
        launcher.run("snapshot", [dg.AssetKey(["snapshots", "snapshot"])], partition=newest)
        launcher.run("live scores", [dg.AssetKey(["scores", "live"])])
        runs = _backtests(launcher, plan)
        launcher.run("dbt", launcher.keys("staging", "marts"))
        with opened() as (warehouse, artifacts):
            _report(warehouse, console, definitions=load_definitions(), runs=runs)
            with console.status("verify"):
                report = verify_run(warehouse, artifacts, runs[-1])
            word = "identical to the byte" if report.equal else "DIFFERENT"
            console.print(f"verify {runs[-1]}: run again from its manifest, {word}", highlight=False)
    console.print(f"all of it took {time.perf_counter() - began:.0f} s", highlight=False)
    if not report.equal:
        raise SystemExit(1)


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
    for title, columns, rows in (
        tables.documents(warehouse),
        tables.quarantine(warehouse),
        tables.clocks(warehouse),
        tables.events_by_year(warehouse, definitions.signal_hashes().values()),
        tables.labels_by_year(warehouse, definitions.label_hashes().values()),
        tables.rejections(warehouse),
    ):
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
