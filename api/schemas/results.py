"""Documents, snapshots, backtest runs, and the state of the platform."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .base import Count, Document, Entity, Meta, Number, Schema, Sha256, Text, Time, Ulid


class DocumentSummary(Schema):
    """An immutable document, without its content."""

    document_hash: Sha256
    kind: str = Field(examples=["latency_model"])
    name: str = Field(examples=["default"])
    ingest_time: Time


class DocumentPage(Schema):
    """Documents, newest first."""

    data: list[DocumentSummary]
    meta: Meta


class SnapshotSummary(Schema):
    """A frozen copy of everything a run may read."""

    snapshot_id: Ulid
    snapshot_hash: Sha256
    as_of: Time
    window_start: Time
    window_end: Time
    definitions_hash: Sha256
    dataset_id: Ulid
    ingest_time: Time


class Snapshot(SnapshotSummary):
    """A snapshot with its manifest: every part with rows and hashes."""

    manifest: Document


class SnapshotPage(Schema):
    """Snapshots, newest first."""

    data: list[SnapshotSummary]
    meta: Meta


class RunSummary(Schema):
    """A backtest run: the hashes it is a pure function of, and its trial number."""

    run_id: Ulid
    run_hash: Sha256
    spec_hash: Sha256
    snapshot_id: Ulid
    scoring_model_hash: Sha256
    latency_model_hash: Sha256
    protocol_hash: Sha256
    definitions_hash: Sha256
    environment_hash: Sha256
    hypothesis_family: str = Field(examples=["insider-buys"])
    trial_number: int = Field(ge=1, examples=[7])
    status: Literal["complete", "insufficient"] = Field(examples=["complete"])
    evaluation_hash: Sha256
    manifest_hash: Sha256
    dagster_run_id: str | None = Field(examples=["8c1f3a52-5a4e-4c58-9d0c-2f6d6f0f9a11"])
    ingest_time: Time


class Artifact(Schema):
    """A file of a run, by the hash of its bytes and of its column buffers."""

    name: str = Field(examples=["scores.parquet"])
    file_hash: Sha256
    content_hash: Sha256
    media_type: str = Field(examples=["application/vnd.apache.parquet"])
    rows: Count
    size_bytes: Count


class Run(RunSummary):
    """A run with its evaluation and its files; the manifest has a route of its own."""

    evaluation: Any = Field(examples=[{"auc": 0.61}])
    artifacts: list[Artifact]


class RunPage(Schema):
    """Runs, newest first."""

    data: list[RunSummary]
    meta: Meta


class Figure(Schema):
    """One metric with interval and null; a figure that does not exist is null with its reason."""

    evidence: str = Field(description="Which evidence counted.", examples=["all_evidence"])
    slice_kind: str = Field(examples=["event_type"])
    slice_value: Text
    metric: str = Field(examples=["auc"])
    value: Number | None
    low: Number | None
    high: Number | None
    null_value: Number | None
    reason: str | None = Field(examples=["one class only"])


class FigureList(Schema):
    """Every figure of a run."""

    data: list[Figure]


class Alert(Schema):
    """An alert episode and the event it matched."""

    entity_id: Entity
    alert_at: Time
    alert_score: Number
    matched_event_time: Time | None
    matched_event_type: Text | None
    censored: bool = Field(examples=[False])


class AlertPage(Schema):
    """Alerts by time."""

    data: list[Alert]
    meta: Meta


class LeaderboardRow(Figure):
    """A figure of a run among comparable runs: same snapshot and protocol."""

    run_id: Ulid
    run_hash: Sha256
    hypothesis_family: str = Field(examples=["insider-buys"])
    trial_number: int = Field(ge=1, examples=[7])
    trials_of_family: Count
    status: str = Field(examples=["complete"])
    snapshot_id: Ulid
    snapshot_hash: Sha256
    scoring_model_hash: Sha256
    latency_model_hash: Sha256
    protocol_hash: Sha256
    difference_from_null: Number | None
    null_outside_interval: bool | None = Field(examples=[True])
    base_rate: Number | None
    rank_among_comparable: int | None = Field(examples=[1])
    ingest_time: Time


class LeaderboardPage(Schema):
    """One metric over runs, best of the comparable first."""

    data: list[LeaderboardRow]
    meta: Meta


class Health(Schema):
    """The process answers."""

    status: Literal["ok"] = Field(examples=["ok"])


class SchemaVersion(Schema):
    """Whether the database stands where this code expects it."""

    expected: str = Field(examples=["0001"])
    found: str | None = Field(examples=["0001"])
    matches: bool = Field(examples=[True])


class CollectorFreshness(Schema):
    """What a collector last did; ages are the reader's to compute."""

    collector: str = Field(examples=["edgar/submissions"])
    source_types: list[str] = Field(examples=[["filing_index"]])
    schedule: str | None = Field(examples=["*/10 * * * *"])
    last_success_at: Time | None
    last_error_at: Time | None
    last_error: str | None = Field(examples=["503 after 6 attempts"])
    consecutive_failures: Count
    last_record_at: Time | None
    last_event_time: Time | None


class Status(Schema):
    """The state of the platform; `degraded` says why in `reasons`."""

    status: Literal["ok", "degraded"] = Field(examples=["ok"])
    reasons: list[str] = Field(examples=[["collector edgar/form_8k: 3 failures in a row"]])
    database: Literal["reachable", "unreachable"] = Field(examples=["reachable"])
    schema_version: SchemaVersion | None
    dagster: Literal["reachable", "unreachable", "not configured"] = Field(examples=["reachable"])
    collectors: list[CollectorFreshness]
    rows: dict[str, int] = Field(description="Exact row counts.", examples=[{"backtest_runs": 4}])
    rows_estimated: dict[str, int] = Field(
        description="Estimates of the planner's statistics; 0 before the first ANALYZE.",
        examples=[{"raw_records": 250000}],
    )
