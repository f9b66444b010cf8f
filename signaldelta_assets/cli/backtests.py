"""Backtests from the command line: add a spec, run it, list, show, verify, compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console
from rich.table import Table

from signaldelta_assets.backtests import BacktestSpec, EvaluationProtocol, diff_runs, verify_run
from signaldelta_assets.backtests import run_backtest as run_pure
from signaldelta_assets.backtests.reporting import run_verdict, write_report
from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.defs.partitions import backtest_specs
from signaldelta_assets.errors import DocumentError
from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.settings import load_settings
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.warehouse import ArtifactStore, Warehouse, open_warehouse
from signaldelta_assets.warehouse.stores import backtests as store
from signaldelta_assets.warehouse.stores import documents

from .environment import apply, prepare


@contextmanager
def opened() -> Iterator[tuple[Warehouse, ArtifactStore]]:
    """The warehouse and artifact store of this deployment."""
    settings = load_settings()
    with open_warehouse(settings) as warehouse:
        yield warehouse, ArtifactStore(settings.artifacts_dir)


def store_spec(
    warehouse: Warehouse,
    snapshot_hash: str,
    model: dict[str, Any],
    protocol: dict[str, Any],
    latency: dict[str, Any],
    hypothesis: str,
) -> str:
    """Validate and store a spec with its documents; return its hash: the key of its partition."""
    scoring = ScoringModel.from_dict(model)
    spec = BacktestSpec.from_dict(
        {
            "schema": "signaldelta.backtest_spec/1",
            "snapshot_hash": snapshot_hash,
            "scoring_model_hash": documents.put_document(warehouse, "scoring_model", hypothesis, scoring.document),
            "latency_model_hash": documents.put_document(
                warehouse, "latency_model", hypothesis, LatencyModel.from_dict(latency).document
            ),
            "protocol_hash": documents.put_document(
                warehouse, "evaluation_protocol", hypothesis, EvaluationProtocol.from_dict(protocol).document
            ),
            "hypothesis_family": hypothesis,
        }
    )
    return documents.put_document(warehouse, "backtest_spec", hypothesis, spec.document)


def add_spec(
    console: Console, snapshot: str, model: Path, protocol: Path, latency: Path | None, hypothesis: str
) -> None:
    """Store the spec of the given files and add its partition to Dagster."""
    apply(prepare(load_settings()))
    basis = dict(load_definitions().availability_basis)
    with opened() as (warehouse, _):
        found = store.get_snapshot(warehouse, snapshot)
        spec_hash = store_spec(
            warehouse,
            found["snapshot_hash"],
            _document(model, ScoringModel.from_dict),
            _document(protocol, EvaluationProtocol.from_dict),
            _document(latency, LatencyModel.from_dict) if latency else basis,
            hypothesis,
        )
    dg.DagsterInstance.get().add_dynamic_partitions(str(backtest_specs.name), [spec_hash])
    console.print(spec_hash)


def _document(path: Path, read: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The JSON object in `path`, once `read` accepts it. Raises `DocumentError` naming the file and the field."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DocumentError(str(path), "a readable file of JSON", error) from error
    if not isinstance(found, dict):
        raise DocumentError(str(path), "a JSON object", type(found).__name__)
    try:
        read(found)
    except DocumentError as error:
        raise DocumentError(f"{path}: {error.field}", error.expected, error.found) from error
    return found


def run_spec(console: Console, spec_hash: str) -> None:
    """Run a stored spec in this process."""
    with opened() as (warehouse, artifacts):
        spec = BacktestSpec.from_dict(documents.get_document(warehouse, spec_hash, "backtest_spec"))
        run = run_pure(
            warehouse, artifacts, spec, progress=lambda done, total, text: console.print(f"{done}/{total} {text}")
        )
    console.print(f"run {run.run_id}  run_hash {run.run_hash}  {run.status}")


def list_runs(console: Console) -> None:
    """Print the runs, newest first."""
    with opened() as (warehouse, _), warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT run_id, hypothesis_family, trial_number, status, snapshot_id, run_hash FROM backtest_runs "
            "ORDER BY ingest_time DESC"
        ).fetchall()
    shown = Table("run", "hypothesis", "trial", "status", "snapshot", "run_hash")
    for row in rows:
        shown.add_row(row["run_id"], row["hypothesis_family"], str(row["trial_number"]), row["status"],
                      row["snapshot_id"], row["run_hash"][:16])  # fmt: skip
    console.print(shown)


def show_run(console: Console, name: str) -> None:
    """Print a run's verdict, its figures and its manifest."""
    with opened() as (warehouse, _):
        run = store.get_run(warehouse, name)
        metrics = store.read_metrics(warehouse, run["run_id"])
        verdict = run_verdict(warehouse, run["run_id"])
    for sentence in (verdict.headline, *verdict.sentences):
        console.print(sentence, markup=False, highlight=False)
    console.print(figures_table(run["hypothesis_family"], metrics))
    console.print_json(json.dumps(run["manifest"]))


def report(console: Console, name: str, output: Path | None) -> None:
    """Write a run's report and print its verdict, its path and its hash."""
    with opened() as (warehouse, artifacts):
        written = write_report(warehouse, artifacts, name, output or load_settings().reports_dir)
    console.print(written.markdown.partition("\n")[0].strip("*"), markup=False, highlight=False)
    console.print(f"{written.path}  sha256 {written.content_hash}", markup=False, highlight=False, soft_wrap=True)


def figures_table(title: str, metrics: list[dict[str, Any]], evidence: tuple[str, ...] = ()) -> Table:
    """Return the overall figures of a run: each with interval and null, or with the reason for its absence."""
    shown = Table("evidence", "figure", "value", "interval", "null", title=title)
    for row in metrics:
        if row["slice_kind"] != "all" or (evidence and row["evidence"] not in evidence):
            continue
        value = row["reason"] or "" if row["value"] is None else f"{row['value']:.4g}"
        interval = "" if row["low"] is None else f"{row['low']:.4g} .. {row['high']:.4g}"
        null = "" if row["null_value"] is None else f"{row['null_value']:.4g}"
        shown.add_row(row["evidence"], row["metric"], value, interval, null)
    return shown


def verify(console: Console, name: str) -> bool:
    """Run again from the manifest, compare every byte, print the outcome."""
    with opened() as (warehouse, artifacts):
        report = verify_run(warehouse, artifacts, name)
    console.print_json(json.dumps(asdict(report)))
    return report.equal


def diff(console: Console, first: str, second: str) -> None:
    """Print which inputs differ and which figures moved."""
    with opened() as (warehouse, _):
        console.print_json(json.dumps(asdict(diff_runs(warehouse, first, second))))
