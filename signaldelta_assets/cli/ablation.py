"""Ablations from the command line: start the runs that are missing, show what each part left out is worth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from signaldelta_assets.backtests import (
    AblationPlan,
    By,
    ablation_table,
    base_spec,
    count_trials,
    missing_runs,
    plan_ablation,
    store_plan,
)
from signaldelta_assets.defs.ablation import (
    ABLATION_KEY,
    SUFFIX,
    TABLE_HASH,
    add_partitions,
    request_backfill,
    shown_figures,
)
from signaldelta_assets.defs.backtests import RUN_KEY
from signaldelta_assets.settings import load_settings
from signaldelta_assets.versioning import canonical_json
from signaldelta_assets.warehouse import ArtifactStore, Warehouse

from .backtests import opened
from .environment import apply, prepare


def ablate(console: Console, name: str, by: By, *, now: bool) -> None:
    """Start the missing runs of an ablation: by a backfill of the daemon, or `now`, in this process.

    `name`: a spec's hash, a run's id or hash. Where no run is missing, only the table is printed.
    """
    settings = apply(prepare(load_settings()))
    instance = dg.DagsterInstance.get()
    with opened() as (warehouse, artifacts):
        plan = plan_ablation(warehouse, base_spec(warehouse, name), by)
        store_plan(warehouse, plan)
        base, specs = plan.base.spec.hash, [planned.spec.hash for planned in plan.runs]
        add_partitions(instance, base, specs)
        missing = missing_runs(warehouse, plan)
        count_trials(warehouse, plan)
        console.print(f"{len(specs)} runs, the base among them; {len(specs) - len(missing)} are there", highlight=False)
        if missing and not now:
            wanted = [planned.spec.hash for planned in missing]
            backfill = request_backfill(instance, base, wanted, datetime.now(UTC))
            console.print(f"backfill {backfill}: {len(missing)} runs, then the table", highlight=False)
            console.print("The daemon (signaldelta up) runs it; without one: --now. Then: --show", highlight=False)
            return
        if missing:
            # Only here: the demo's launcher loads every definition.
            from .demo import Launcher

            launcher = Launcher(console, settings.home_dir / "ablation.log")
            for planned in missing:
                title = "backtest" if planned.part is None else f"backtest without {planned.part.name}"
                launcher.run(title, [RUN_KEY], partition=planned.spec.hash)
            launcher.run("ablation", [ABLATION_KEY], partition=base)
        print_table(console, table_document(console, instance, warehouse, artifacts, plan))


def show(console: Console, name: str, *, as_json: bool) -> None:
    """Print the table of an ablation, as far as its runs are there."""
    apply(prepare(load_settings()))
    with opened() as (warehouse, artifacts):
        plan = plan_ablation(warehouse, base_spec(warehouse, name), "both", possible=True)
        told = Console(stderr=True) if as_json else console
        document = table_document(told, dg.DagsterInstance.get(), warehouse, artifacts, plan)
    if as_json:
        sys.stdout.buffer.write(canonical_json(document) + b"\n")
        sys.stdout.buffer.flush()
    else:
        print_table(console, document)


def table_document(
    console: Console, instance: dg.DagsterInstance, warehouse: Warehouse, artifacts: ArtifactStore, plan: AblationPlan
) -> dict[str, Any]:
    """Return the table as the asset last stored it, made again where runs have come since."""
    there = {planned.run_hash for planned in plan.runs} - {
        planned.run_hash for planned in missing_runs(warehouse, plan)
    }
    chosen = dg.AssetRecordsFilter(asset_key=ABLATION_KEY, asset_partitions=[plan.base.spec.hash])
    for record in instance.fetch_materializations(chosen, limit=1).records:
        made = record.asset_materialization
        if made is not None and TABLE_HASH in made.metadata:
            stored: dict[str, Any] = orjson.loads(artifacts.read_bytes(str(made.metadata[TABLE_HASH].value), SUFFIX))
            if there <= {stored["base"]["run_hash"], *(part["run_hash"] for part in stored["parts"])}:
                return stored
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("comparing")
        return ablation_table(
            warehouse,
            artifacts,
            plan,
            progress=lambda done, total, text: bar.update(task, completed=done, total=total, description=text),
        )


def print_table(console: Console, document: Mapping[str, Any]) -> None:
    """Print what each part is worth, the greatest loss of the primary figure first; what changes nothing in a line."""
    figures = shown_figures(document)
    family = document["base"]["hypothesis_family"]
    title = f"{family}: figures without each part, the greatest loss of {figures[0]} first"
    shown = Table("left out", "evidence", *figures, title=Text(title))
    # Every part has the base's figures beside its own.
    _add(shown, "nothing", document["parts"][0], _base, figures)
    idle = []
    for part in document["parts"]:
        pairs = [pair for found in part["figures"].values() for pair in found.values()]
        # Where no figure exists nothing was compared, and nothing is known to be without effect.
        if all(pair["without"] == pair["base"] for pair in pairs) and any(pair["base"] is not None for pair in pairs):
            idle.append(part["name"])
        else:
            _add(shown, f"{part['name']} {part['title'] or ''}", part, _cell, figures)
    console.print(shown, markup=False)
    level = f"{document['level']:.0%}"
    notes = [f"In brackets: the difference to the base, and its {level} interval from paired replicates. Each is for "
             "itself: a diagnosis, not a test of many."]  # fmt: skip
    for said, names in (
        ("leaving out changes nothing: ", idle),
        ("not run: ", [part["name"] for part in document["not_run"]]),
    ):
        if names:
            notes.append(said + ", ".join(names))
    for note in notes:
        console.print(note, soft_wrap=True, highlight=False, markup=False)


def _add(
    shown: Table, label: str, part: Mapping[str, Any], cell: Callable[[Mapping[str, Any]], str], figures: list[str]
) -> None:
    for evidence, pairs in part["figures"].items():
        shown.add_row(label, str(evidence).replace("_", " "), *(cell(pairs[figure]) for figure in figures))
        label = ""


def _base(pair: Mapping[str, Any]) -> str:
    return str(pair["reason"]) if pair["base"] is None else _number(pair["base"])


def _cell(pair: Mapping[str, Any]) -> str:
    if pair["difference"] is None:
        return str(pair["reason"])
    interval = pair["interval"]
    spread = f" [{interval['lo']:+.4f}, {interval['hi']:+.4f}]" if interval else ""
    return f"{_number(pair['without'])} ({pair['difference']:+.4f}{spread})"


def _number(value: float) -> str:
    return f"{value:.4f}"
