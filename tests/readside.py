"""A small world for the tests of dbt and the API: rows of every table, made by value and put there by COPY."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.types.json import Jsonb

from signaldelta_assets.contracts import CollectionMode, FrontierEntry, LabeledEvent, SignalEvent, TimePrecision
from signaldelta_assets.versioning import canonical_json, content_ulid, hash_document, sha256_hex
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.bulk import copy_new
from signaldelta_assets.warehouse.tables import SCHEMA, metadata

T0 = datetime(2024, 3, 1, 12, tzinfo=UTC)
INGESTED = datetime(2024, 9, 1, tzinfo=UTC)
ENTITIES = ("0000000001", "0000000002", "0000000003")
LATENCY = {
    "schema": "signaldelta.latency_model/1",
    "default": {"rule": "observed", "processing_seconds": 60},
    "sources": {
        "ownership": {"rule": "edgar_dissemination", "processing_seconds": 60},
        "daily_bar": {"rule": "lag", "lag_seconds": 900, "processing_seconds": 60},
    },
}
SLOW = {
    "schema": "signaldelta.latency_model/1",
    "default": {"rule": "lag", "lag_seconds": 864000, "processing_seconds": 0},
}
# Events carry the hash of their own rule, the definitions name the set of rules.
RULE, OLD_RULE = "51" * 32, "50" * 32
LABEL_RULES = {"EARNINGS_SURPRISE": "1a" * 32, "MNA_ANNOUNCEMENT": "1b" * 32}
DEFINITIONS = {
    "schema": "signaldelta.signal_definitions/1", "availability_basis": LATENCY,
    "signals": {"S001": {"rule_hash": RULE}}, "labels": {name: {"rule_hash": one} for name, one in LABEL_RULES.items()},
}  # fmt: skip
OLD_DEFINITIONS = DEFINITIONS | {"version": 0, "signals": {"S001": {"rule_hash": OLD_RULE}}}
HASH = hash_document(DEFINITIONS)


def insert(warehouse: Warehouse, table: str, rows: list[Mapping[str, Any]]) -> None:
    """COPY `rows` (column -> value; objects become JSON) into `table` of the shared schema."""
    if not rows:
        return
    registered = metadata.tables[f"{SCHEMA}.{table}"]
    columns = list(rows[0])
    as_json = {c.name for c in registered.columns if c.type.__class__.__name__ == "JSONB"}
    values = [[Jsonb(row[c]) if c in as_json else row[c] for c in columns] for row in rows]
    with warehouse.write_pool(registered.info["group"]).connection() as connection:
        _, inserted = copy_new(connection, table, columns, values)
    assert inserted == len(rows), table


def document_row(kind: str, name: str, document: dict[str, Any], ingest: datetime = INGESTED) -> dict[str, Any]:
    canonical = canonical_json(document)
    return {"document_hash": sha256_hex(canonical), "kind": kind, "name": name, "document": document,
            "canonical": canonical, "ingest_time": ingest}  # fmt: skip


def signal_event(
    number: int,
    event_time: datetime,
    frontier: tuple[FrontierEntry, ...],
    *,
    entity: str = ENTITIES[0],
    strength: float = 0.5,
    active: bool = True,
    signal_id: str = "S001",
    definitions: str = RULE,
) -> SignalEvent:
    return SignalEvent(
        signal_id=signal_id, entity_id=entity, key=(str(number),), event_time=event_time, strength_norm=strength,
        direction=1, reliability=0.9, family="F01", chain_affinity={"CT-01": 0.5}, frontier=frontier,
        raw_record_ids=(content_ulid(event_time, b"%d" % number),), definitions_hash=definitions,
        extractor_version="e" * 64, attributes={"number": number}, active=active,
    )  # fmt: skip


def entry(
    source: str, event_time: datetime | None, observed: datetime, mode: str = "backfill", form: str = ""
) -> FrontierEntry:
    return FrontierEntry(source, form, CollectionMode(mode), event_time, observed)


def signal_row(event: SignalEvent, revision: int = 1, ingest: datetime = INGESTED) -> dict[str, Any]:
    return {
        "event_id": event.event_id, "revision": revision, "event_key": event.event_key, "signal_id": event.signal_id,
        "family": event.family, "entity_id": event.entity_id, "event_time": event.event_time,
        "observed_time": event.observed_time, "ingest_time": ingest, "partition_date": event.event_time.date(),
        "strength_norm": event.strength_norm, "direction": event.direction, "reliability": event.reliability,
        "chain_affinity": dict(event.chain_affinity), "frontier": [item.to_document() for item in event.frontier],
        "raw_record_ids": list(event.raw_record_ids), "attributes": dict(event.attributes), "active": event.active,
        "definitions_hash": event.definitions_hash, "extractor_version": event.extractor_version,
        "content_hash": event.content_hash,
    }  # fmt: skip


def label_row(
    number: int,
    event_time: datetime,
    known_at: datetime,
    *,
    event_type: str = "EARNINGS_SURPRISE",
    entity: str = ENTITIES[0],
    revision: int = 1,
    active: bool = True,
    ingest: datetime = INGESTED,
    confidence: float = 0.9,
) -> dict[str, Any]:
    made = LabeledEvent(
        event_type=event_type, subtype="positive", entity_id=entity, key=(str(number),), event_time=event_time,
        time_precision=TimePrecision.SECOND, known_at=known_at, observed_time=INGESTED, confidence=confidence,
        raw_record_ids=(content_ulid(event_time, b"%d" % number),), source_url="https://www.sec.gov/x",
        classifier_version="c" * 64, definitions_hash=LABEL_RULES[event_type], attributes={}, active=active,
    )  # fmt: skip
    names = ("label_id", "label_key", "event_type", "subtype", "entity_id", "event_time", "known_at", "observed_time",
             "confidence", "source_url", "classifier_version", "definitions_hash", "attributes", "active",
             "content_hash")  # fmt: skip
    row = {name: getattr(made, name) for name in names}
    return row | {"revision": revision, "time_precision": "second", "ingest_time": ingest,
                  "raw_record_ids": list(made.raw_record_ids)}  # fmt: skip


def score_row(entity: str, at: datetime, magnitude: float = 0.5, ingest: datetime | None = None) -> dict[str, Any]:
    return {
        "entity_id": entity, "at": at, "scoring_model_hash": "1" * 64, "latency_model_hash": "2" * 64,
        "definitions_hash": HASH, "ingest_time": ingest or at + timedelta(seconds=5), "input_hash": "4" * 64,
        "evidence": 1.0, "effective_families": 1.0, "magnitude": magnitude, "lean": 0.2, "confidence": 0.5,
        "quality": 0.9, "diversity": 0.5, "ordering": 0.6, "n_events": 3, "legacy_score": 55.0, "verdict": "HOLD",
        "chain_probabilities": {"UNKNOWN": 1.0},
        "family_deltas": {"F01": {"magnitude": 0.1, "lean": 0, "confidence": 0}},
        "top_contributors": [{"event_id": "0" * 26, "delta_magnitude": 0.1}],
    }  # fmt: skip


def random_frontier(rng: random.Random, event_time: datetime) -> tuple[FrontierEntry, ...]:
    """The trigger, and perhaps an earlier input that was seen late or without a time of its own."""
    entries = [entry("ownership", event_time, event_time + timedelta(days=rng.randint(100, 160)), form="4")]
    if rng.random() < 0.4:
        earlier = event_time - timedelta(hours=rng.randint(1, 500))
        entries.append(entry("daily_bar", earlier, earlier + timedelta(hours=rng.randint(0, 300)), "live"))
    if rng.random() < 0.2:
        entries.append(entry("something_new", None, event_time + timedelta(days=rng.randint(0, 20))))
    return tuple(entries)


def run_manifest(
    named: dict[str, str], models: dict[str, str], snapshot_id: str, snapshot_hash: str, trial: int
) -> dict[str, Any]:
    """A manifest that names what the database asks of one."""
    file = {"kind": "entities", "rows": 3, "file_hash": HASH, "content_hash": HASH}
    kinds = {"scoring_model": "scoring_model_hash", "latency_model": "latency_model_hash",
             "evaluation_protocol": "protocol_hash"}  # fmt: skip
    return {
        "schema": "signaldelta.backtest_manifest/1", **named, "spec": {"snapshot_hash": snapshot_hash, **models},
        "hypothesis": {"family": "insider-buys", "trial_number": trial},
        "snapshot": {"id": snapshot_id, "hash": snapshot_hash}, "dataset": {"id": "dataset", "hash": HASH},
        **{kind: {"id": kind, "hash": models[name]} for kind, name in kinds.items()}, "signal_definitions_hash": HASH,
        "inputs": [file], "outputs": [file],
    }  # fmt: skip


def backtest_rows(store: ArtifactStore, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """A dataset, a snapshot with one part, and two runs of one hypothesis family; the files go into `store`."""
    part = store.put_file(lambda file: pq.write_table(pa.table({"entity_id": list(ENTITIES)}), file), ".parquet")
    dataset_id, snapshot_id = content_ulid(T0, b"dataset"), content_ulid(T0, b"snapshot")
    manifest = {"schema": "signaldelta.snapshot/1", "parts": [{"kind": "entities", "rows": 3, "file_hash": part}]}
    documents = [
        document_row(kind, kind, {"schema": f"test.{kind}/1"})
        for kind in ("scoring_model", "evaluation_protocol", "environment")
    ]
    hashes = [row["document_hash"] for row in documents]
    runs, metrics, artifacts, alerts, trials = [], [], [], [], []
    for number, auc in ((1, 0.6), (2, 0.7)):
        run_id, run_hash = content_ulid(T0, b"run%d" % number), sha256_hex(b"run%d" % number)
        named = {
            "run_id": run_id, "run_hash": run_hash, "spec_hash": sha256_hex(b"spec%d" % number), "status": "complete",
            "environment_hash": hashes[2], "evaluation_hash": hash_document({"auc": auc}),
        }  # fmt: skip
        models = {
            "scoring_model_hash": hashes[0], "latency_model_hash": hash_document(LATENCY), "protocol_hash": hashes[1],
        }  # fmt: skip
        document = run_manifest(named, models, snapshot_id, hash_document(manifest), number)
        runs.append({
            **named, **models, "snapshot_id": snapshot_id, "definitions_hash": HASH,
            "hypothesis_family": "insider-buys", "trial_number": number, "evaluation": {"auc": auc},
            "manifest": document, "manifest_canonical": canonical_json(document),
            "manifest_hash": hash_document(document), "dagster_run_id": None,
            "ingest_time": INGESTED + timedelta(minutes=number),
        })  # fmt: skip
        figure = {"run_id": run_id, "evidence": "all", "slice_kind": "all", "slice_value": "all"}
        nothing = {"value": None, "low": None, "high": None, "null_value": None, "reason": None}
        metrics += [
            {**figure, "metric": name, **nothing, **given}
            for name, given in {
                "auc": {"value": auc, "low": auc - 0.05, "high": auc + 0.05, "null_value": 0.5},
                "base_rate": {"value": 0.02},
                "brier": {"value": 0.1 * number, "low": 0.0, "high": 1.0, "null_value": 0.2},
                "precision": {"reason": "no alert"},
            }.items()
        ]
        table = pa.table({"entity_id": ["x"] * 1000, "n": list(range(1000)), "run": [number] * 1000})
        file_hash = store.put_file(lambda file, table=table: pq.write_table(table, file), ".parquet")
        size = store.path(file_hash, ".parquet").stat().st_size
        artifacts.append({
            "run_id": run_id, "name": "scores.parquet", "file_hash": file_hash, "content_hash": "5" * 64,
            "media_type": "application/vnd.apache.parquet", "rows": 1000, "size_bytes": size,
        })  # fmt: skip
        alerts += [
            {"run_id": run_id, "entity_id": entity, "alert_at": T0 + timedelta(hours=hour), "alert_score": 0.5,
             "matched_event_time": None, "matched_event_type": None, "censored": False}
            for entity in ENTITIES for hour in range(4)
        ]  # fmt: skip
        trials.append({"hypothesis_family": "insider-buys", "trial_number": number, "run_hash": run_hash})
    return {
        "documents": documents,
        "labeled_event_datasets": [{
            "dataset_id": dataset_id, "version": 1, "dataset_hash": sha256_hex(b"dataset"), "definitions_hash": HASH,
            "as_of": INGESTED, "window_start": None, "window_end": None, "event_count": 0,
            "event_type_distribution": {}, "coverage": {}, "parent_hash": None,
        }],
        "backtest_snapshots": [{
            "snapshot_id": snapshot_id, "snapshot_hash": hash_document(manifest), "as_of": INGESTED,
            "window_start": T0, "window_end": INGESTED, "definitions_hash": HASH, "dataset_id": dataset_id,
            "manifest": manifest, "manifest_canonical": canonical_json(manifest),
        }],
        "hypothesis_trials": trials, "backtest_runs": runs, "backtest_metrics": metrics,
        "backtest_artifacts": artifacts, "backtest_alerts": alerts,
    }  # fmt: skip


def fill(warehouse: Warehouse, store: ArtifactStore, folder: Path, seed: int = 7) -> None:
    """Put the whole world into an empty migrated database and `store`."""
    rng = random.Random(seed)
    insert(warehouse, "documents", [
        document_row("latency_model", "default", LATENCY), document_row("latency_model", "slow", SLOW),
        document_row("signal_definitions", "catalogue", DEFINITIONS),
        document_row("signal_definitions", "catalogue", OLD_DEFINITIONS, INGESTED - timedelta(days=1)),
    ])  # fmt: skip
    insert(warehouse, "securities", [
        {"entity_id": entity, "asset_class": "equity", "cik": entity, "name": f"Company {entity[-1]}_%", "sic": "3571",
         "fiscal_year_end": "1231", "primary_ticker": f"T{entity[-1]}", "currency": "USD"}
        for entity in ENTITIES[:2]
    ])  # fmt: skip
    insert(warehouse, "security_identifiers", [
        {"entity_id": ENTITIES[0], "kind": "ticker", "value": "OLD", "source": "edgar/submissions", "valid_from": None,
         "valid_to": T0.date()},
    ])  # fmt: skip
    signals = []
    for number in range(120):
        # Few different moments, so that ties are broken by id.
        event_time = T0 + timedelta(hours=rng.randint(0, 60) * 24 + rng.randint(0, 23))
        made = signal_event(number, event_time, random_frontier(rng, event_time), entity=rng.choice(ENTITIES))
        signals.append(signal_row(made))
        if number % 4 == 0:
            later = event_time + timedelta(days=rng.randint(1, 30))
            frontier = (*made.frontier, entry("daily_bar", later, later))
            again = signal_event(
                number, event_time, frontier, entity=made.entity_id, strength=0.7, active=number % 8 != 0
            )
            signals.append(signal_row(again, 2, INGESTED + timedelta(days=1)))
    signals.append(signal_row(signal_event(0, T0, (entry("ownership", T0, T0),), definitions=OLD_RULE)))
    insert(warehouse, "iald_signals", signals)
    labels = [
        label_row(n, T0 + timedelta(days=n), T0 + timedelta(days=n + n % 5), entity=ENTITIES[n % 3]) for n in range(40)
    ]
    labels += [
        label_row(0, T0, T0 + timedelta(days=20), revision=2, confidence=0.4),
        label_row(3, T0 + timedelta(days=3), T0 + timedelta(days=30), revision=2, active=False),
        label_row(99, T0 + timedelta(days=70), T0 + timedelta(days=70), event_type="MNA_ANNOUNCEMENT"),
    ]
    insert(warehouse, "labeled_events", labels)
    insert(warehouse, "score_samples", [
        score_row(entity, T0 + timedelta(hours=hour), hour / 100)
        for number, entity in enumerate(ENTITIES) for hour in range(number * 10, 40)
    ])  # fmt: skip
    for table, rows in backtest_rows(store, folder).items():
        insert(warehouse, table, rows)
    run_id = content_ulid(T0, b"collector-run")
    insert(warehouse, "collector_runs", [
        {"collector_run_id": run_id, "collector": "edgar/ownership", "collector_version": "v",
         "collection_mode": "backfill", "window_start": T0.date(), "window_end": T0.date(), "status": "failed",
         "error": "503"},
    ])  # fmt: skip
    insert(warehouse, "collector_status", [
        {"collector": "edgar/ownership", "source_types": ["ownership"], "schedule": "*/10 * * * *", "last_error": "503",
         "last_success_at": T0, "last_error_at": INGESTED, "consecutive_failures": 2},
    ])  # fmt: skip
    insert(warehouse, "raw_documents", [
        {"body_hash": "b" * 64, "size_bytes": 1, "media_type": None, "source_url": "https://www.sec.gov/x",
         "http_status": 200, "observed_time": INGESTED},
    ])  # fmt: skip
    insert(warehouse, "raw_records", [
        {"raw_record_id": content_ulid(T0, b"r%d" % n), "source_type": "ownership", "entity_id": ENTITIES[0],
         "natural_key": str(n), "form": "4", "event_time": T0, "observed_time": INGESTED, "partition_date": T0.date(),
         "collection_mode": "backfill", "collector": "edgar/ownership", "collector_version": "v",
         "collector_run_id": run_id, "schema_version": "1", "payload_hash": "d" * 64, "payload": {"n": n},
         "body_hash": "b" * 64, "source_url": "https://www.sec.gov/x"}
        for n in range(5)
    ])  # fmt: skip
    insert(warehouse, "quarantined_records", [
        {"quarantine_id": content_ulid(T0, name.encode()), "collector_run_id": run_id, "collector": "edgar/ownership",
         "source_type": "ownership", "record": "r", "field": "f", "expected": "a date", "found": "x",
         "body_hash": "b" * 64, "source_url": "https://www.sec.gov/x", "partition_date": T0.date(),
         "ingest_time": INGESTED + timedelta(minutes=number)}
        for number, name in enumerate(("q", "resolved"))
    ])  # fmt: skip
    insert(warehouse, "quarantine_resolutions", [
        {"quarantine_id": content_ulid(T0, b"resolved"), "collector_run_id": run_id, "state": "resolved",
         "reason": "read again without refusal"},
    ])  # fmt: skip
