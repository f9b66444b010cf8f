"""Explaining a stored run: its inputs opened by hash and checked, its files read, raw records looked up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from io import BytesIO
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.snapshots import open_snapshot
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import ArtifactStore, IntegrityError, Warehouse
from signaldelta_assets.warehouse.stores import backtests, documents, raw

from .evaluation import EvaluationProtocol
from .explanation import Explanation, Stored, StoredScoreError, explain
from .manifest import RunManifest, check_manifest
from .provenance import source_document
from .runs import SUFFIXES
from .spec import BacktestSpec, run_environment, run_hash


def explain_run(
    warehouse: Warehouse, store: ArtifactStore, run: str, entity_id: str, at: datetime, *, top: int = 10
) -> dict[str, Any]:
    """Return why the run of this id or hash scored `entity_id` at `at` (with a zone) as it did: a document for JSON.

    Raises `UnknownRunError`, `ExplanationError` for what the run did not score, and where stored bytes are not what
    their names say `IntegrityError`, where figures are not what the kernel gives `StoredScoreError`.
    """
    row = backtests.get_run(warehouse, run)
    manifest = check_manifest(row["manifest"])
    try:
        found = explain(load_stored(warehouse, store, manifest, entity_id), entity_id, at, top=top)
    except StoredScoreError as error:
        if hash_document(run_environment()) == manifest.environment_hash:
            raise
        # Then it may be the kernel that has changed, and no file.
        raise StoredScoreError(f"{error}; the run was made in another environment or by other code") from error
    return {
        **_with_sources(found, raw.read_provenance(warehouse, found.raw_record_ids)),
        "run": {
            "run_id": manifest.run_id,
            "run_hash": manifest.run_hash,
            "hypothesis_family": manifest.hypothesis.family,
            "snapshot_hash": manifest.snapshot.hash,
            "scoring_model_hash": manifest.scoring_model.hash,
            "latency_model_hash": manifest.latency_model.hash,
            "protocol_hash": manifest.evaluation_protocol.hash,
            "signal_definitions_hash": manifest.signal_definitions_hash,
            "environment_hash": manifest.environment_hash,
        },
    }


def load_stored(warehouse: Warehouse, store: ArtifactStore, manifest: RunManifest, entity_id: str) -> Stored:
    """Read what the run of `manifest` read and left, each part checked against the hash that names it."""
    spec = BacktestSpec.from_dict(manifest.spec)
    named = run_hash(spec, manifest.signal_definitions_hash, manifest.environment_hash)
    _expect("run", manifest.run_hash, named)
    model = ScoringModel.from_dict(documents.get_document(warehouse, spec.scoring_model_hash, "scoring_model"))
    latency = LatencyModel.from_dict(documents.get_document(warehouse, spec.latency_model_hash, "latency_model"))
    protocol = EvaluationProtocol.from_dict(
        documents.get_document(warehouse, spec.protocol_hash, "evaluation_protocol")
    )
    for name, expected, found in (
        ("scoring model", spec.scoring_model_hash, model.hash),
        ("latency model", spec.latency_model_hash, latency.hash),
        ("evaluation protocol", spec.protocol_hash, protocol.hash),
    ):
        _expect(name, expected, found)
    snapshot = open_snapshot(store, backtests.get_snapshot(warehouse, spec.snapshot_hash)["manifest"])
    _expect("snapshot", spec.snapshot_hash, snapshot.snapshot_hash)
    definitions = orjson.loads(str(snapshot.table("definitions")["document"].to_pylist()[0]))
    _expect("signal definitions", manifest.signal_definitions_hash, hash_document(definitions))
    return Stored(
        events=snapshot.table("signal_events"),
        frontier=snapshot.table("signal_frontier"),
        labels=snapshot.table("labeled_events"),
        scores=_output(store, manifest, "scores", entity_id),
        alerts=_output(store, manifest, "alerts", entity_id),
        model=model,
        latency=latency,
        protocol=protocol,
        definitions=definitions,
    )


def _expect(what: str, expected: str, found: str) -> None:
    if found != expected:
        raise IntegrityError(f"{what}: expected {expected} as the run's manifest says, found {found}")


def _output(store: ArtifactStore, manifest: RunManifest, name: str, entity_id: str) -> pa.Table:
    """The entity's rows of a file that the run left, read from bytes that were checked."""
    output = next((output for output in manifest.outputs if output.name == name), None)
    if output is None:
        raise IntegrityError(f"run {manifest.run_id}: its manifest names no output {name!r}")
    data = BytesIO(store.read_bytes(output.file_hash, SUFFIXES[output.media_type]))
    return pq.read_table(data, filters=[("entity_id", "=", entity_id)])


def _with_sources(found: Explanation, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The document with the sources of every raw record it names, by id."""
    sources = {name: source_document(name, rows.get(name)) for name in found.raw_record_ids}
    return {**found.to_document(), "sources": sources}
