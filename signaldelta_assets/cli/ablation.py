"""Ablations from the command line: start the runs that are missing, show what each part left out is worth."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

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
    shown_rows,
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
    """Print what each part is worth, the greatest loss of the primary figure first."""
    base, level = document["base"], document["level"]
    title = f"{base['hypothesis_family']}: what is lost without each part, by {document['primary_figure']}"
    shown = Table("left out", "evidence", "figure", "base", "without", f"difference [{level:.0%}]", title=title)
    last = None
    for row in shown_rows(document):
        name = row["left_out"]
        interval = "" if row["low"] is None else f" [{row['low']:+.4f}, {row['high']:+.4f}]"
        change = row["reason"] or "" if row["difference"] is None else f"{row['difference']:+.4f}{interval}"
        label = "" if name == last else f"{name} {row['title'] or ''}".strip()
        evidence = str(row["evidence"]).replace("_", " ")
        shown.add_row(label, evidence, row["figure"], _number(row["base"]), _number(row["without"]), change)
        last = name
    console.print(shown, markup=False)
    console.print("Intervals are of each difference alone, from paired replicates: a diagnosis, not a test of many.")
    if document["not_run"]:
        absent = ", ".join(part["name"] for part in document["not_run"])
        console.print(f"not run yet: {absent}", highlight=False)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
