"""Runs: from a spec to stored rows, artifacts and a manifest, all at once or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from signaldelta_assets.snapshots import SnapshotFile, snapshot_files
from signaldelta_assets.versioning import hash_document, new_ulid
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests, documents

from .folders import run_folder
from .manifest import SCHEMA, check_manifest, manifest_hash
from .metrics import metric_rows
from .sandbox import BacktestFailedError, Output, Progress, Result, execute
from .spec import BacktestSpec, run_environment, run_hash

SUFFIXES = {"application/json": ".json", "application/vnd.apache.parquet": ".parquet"}
_BLOCK_BYTES = 1024 * 1024
_DOCUMENTS = {
    "scoring_model": "scoring_model_hash",
    "latency_model": "latency_model_hash",
    "evaluation_protocol": "protocol_hash",
}


@dataclass(frozen=True, slots=True)
class BacktestRun:
    """A stored run. `created` is False where it existed; `trial_number` counts it in its spec's hypothesis family."""

    run_id: str
    run_hash: str
    status: str
    trial_number: int
    evaluation: dict[str, Any]
    evaluation_hash: str
    manifest: dict[str, Any]
    created: bool


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a run reads, by value: the snapshot's row and verified files, the documents and their names."""

    snapshot: Mapping[str, Any]
    files: tuple[SnapshotFile, ...]
    documents: Mapping[str, dict[str, Any]]
    names: Mapping[str, str]

    @property
    def definitions_hash(self) -> str:
        """The hash of the signal definitions that the snapshot was made by."""
        return str(self.snapshot["definitions_hash"])


def load_inputs(warehouse: Warehouse, store: ArtifactStore, spec: BacktestSpec) -> Inputs:
    """Fetch what `spec` names; every part of the snapshot is verified. Raises where anything is missing or damaged."""
    snapshot = backtests.get_snapshot(warehouse, spec.snapshot_hash)
    found = {kind: documents.get_document(warehouse, getattr(spec, name), kind) for kind, name in _DOCUMENTS.items()}
    names = {kind: documents.document_name(warehouse, getattr(spec, name)) for kind, name in _DOCUMENTS.items()}
    definitions = documents.get_document(warehouse, snapshot["definitions_hash"], "signal_definitions")
    files = snapshot_files(store, snapshot["manifest"])
    return Inputs(snapshot, files, {**found, "signal_definitions": definitions}, names)


def run_backtest(
    warehouse: Warehouse,
    store: ArtifactStore,
    spec: BacktestSpec,
    dagster_run_id: str | None = None,
    progress: Progress | None = None,
) -> BacktestRun:
    """Compute the run of `spec` and store it; a run that exists is returned, and counted as a trial of its family.

    `progress(done, total, text)` is told how far it is. Status "complete", or "insufficient" below the protocol's
    minimum dataset: a warning with the counts and no metrics. Raises `BacktestFailedError` naming the call where the
    sandbox refused one, and the error of what is missing or damaged; then nothing is stored.
    """
    snapshot = backtests.get_snapshot(warehouse, spec.snapshot_hash)
    environment = run_environment()
    name = run_hash(spec, snapshot["definitions_hash"], hash_document(environment))
    existing = backtests.find_run(warehouse, name)
    if existing is not None:
        trial = backtests.count_trial(warehouse, spec.hypothesis_family, name)
        return _run(existing, trial, created=False)
    inputs = load_inputs(warehouse, store, spec)
    with run_folder() as folder:
        try:
            result = execute(folder, inputs.files, inputs.documents, progress)
        except BacktestFailedError as error:
            raise BacktestFailedError(f"backtest run {name}: {error}", error.violations) from error
        # Artifacts first: without the rows that name them they are unseen, and the next try finds them there.
        for output in result.outputs:
            _keep(store, output)
        stored, created = backtests.put_run(warehouse, *_rows(spec, inputs, environment, name, result, dagster_run_id))
    trial = stored["trial_number"] if created else backtests.count_trial(warehouse, spec.hypothesis_family, name)
    return _run(stored, trial, created=created)


def _run(row: Mapping[str, Any], trial_number: int, *, created: bool) -> BacktestRun:
    names = ("run_id", "run_hash", "status", "evaluation", "evaluation_hash", "manifest")
    return BacktestRun(**{name: row[name] for name in names}, trial_number=trial_number, created=created)


def _keep(store: ArtifactStore, output: Output) -> None:
    with output.path.open("rb") as source:
        kept = store.put_file(lambda file: shutil.copyfileobj(source, file, _BLOCK_BYTES), SUFFIXES[output.media_type])
    if kept != output.file_hash:
        raise BacktestFailedError(f"artifact {output.name}: expected the bytes {output.file_hash}, found {kept}")


def _rows(
    spec: BacktestSpec,
    inputs: Inputs,
    environment: Mapping[str, Any],
    name: str,
    result: Result,
    dagster_run_id: str | None,
) -> tuple[str, backtests.RunRows, Any]:
    run_id = new_ulid()
    evaluation_hash = result.output("evaluation").file_hash
    environment_hash = hash_document(environment)

    def manifest(trial_number: int) -> tuple[dict[str, Any], str]:
        document = {
            "schema": SCHEMA,
            "run_id": run_id,
            "run_hash": name,
            "spec_hash": spec.hash,
            "spec": spec.document,
            "status": result.status,
            "hypothesis": {"family": spec.hypothesis_family, "trial_number": trial_number},
            "snapshot": {"id": inputs.snapshot["snapshot_id"], "hash": spec.snapshot_hash},
            "dataset": {
                "id": inputs.snapshot["dataset_id"],
                "hash": inputs.snapshot["manifest"]["dataset_hash"],
            },
            **{kind: {"id": inputs.names[kind], "hash": getattr(spec, field)} for kind, field in _DOCUMENTS.items()},
            "signal_definitions_hash": inputs.definitions_hash,
            "environment_hash": environment_hash,
            "inputs": list(_inputs(inputs.snapshot["manifest"]["parts"])),
            "outputs": [output.to_document() for output in result.outputs],
            "evaluation_hash": evaluation_hash,
            "sandbox": {"fence": result.fence},
        }
        check_manifest(document)
        return document, manifest_hash(document)

    columns = {
        "run_hash": name,
        "spec_hash": spec.hash,
        "snapshot_id": inputs.snapshot["snapshot_id"],
        "scoring_model_hash": spec.scoring_model_hash,
        "latency_model_hash": spec.latency_model_hash,
        "protocol_hash": spec.protocol_hash,
        "definitions_hash": inputs.definitions_hash,
        "environment_hash": environment_hash,
        "hypothesis_family": spec.hypothesis_family,
        "status": result.status,
        "evaluation": result.output("evaluation").path.read_text(),
        "evaluation_hash": evaluation_hash,
        "dagster_run_id": dagster_run_id,
    }
    rows = backtests.RunRows(
        columns,
        [("environment", f"environment of {environment['python']}", environment),
         ("backtest_spec", spec.hypothesis_family, spec.document)],
        list(metric_rows(result.evaluation)),
        list(alert_rows(result.output("alerts").path)),
        [(o.name, o.file_hash, o.content_hash, o.media_type, o.rows, o.size_bytes) for o in result.outputs],
    )  # fmt: skip
    return run_id, rows, manifest


def _inputs(parts: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for part in parts:
        kept = {name: part[name] for name in ("kind", "rows", "file_hash", "content_hash")}
        yield {**kept, "partition": part["stretch"]}


def alert_rows(file: Path) -> Iterator[tuple[Any, ...]]:
    """Yield the alerts of a run's file in the order of the table's columns (`backtests.ALERTS`)."""
    table = pq.read_table(file)
    yield from zip(*(table[name].to_pylist() for name in backtests.ALERTS), strict=True)
