"""Documents, snapshots, backtest runs, and the state of the platform."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .base import Count, Day, Document, Entity, Meta, Number, Schema, Sha256, Text, Time, Ulid


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


class RefusalReason(Schema):
    """Why records stand refused, and how many."""

    source_type: str = Field(examples=["form_8k"])
    field: str = Field(examples=["items"])
    expected: str = Field(examples=["at least one item"])
    records: Count
    example: str = Field(description="One of the records.", examples=["0000320193-24-000005"])


class CollectorRun(Schema):
    """The newest run of a collector, or the one that is going on."""

    collector_run_id: Ulid
    collection_mode: Literal["live", "backfill"] = Field(examples=["live"])
    window_start: Day
    window_end: Day
    started_at: Time
    finished_at: Time | None
    heartbeat_at: Time | None = Field(description="When its process last said that it lives.")
    progress_at: Time | None = Field(description="When it last got on with its work.")
    documents_read: Count
    records_written: Count
    records_known: Count
    records_quarantined: Count
    error: str | None = Field(examples=["503 after 6 attempts"])


class CollectorRunPage(Schema):
    """Runs of a collector that have ended, newest first."""

    data: list[CollectorRun]
    meta: Meta


class CollectorFreshness(Schema):
    """What a collector last did, what it does now, and what it refused."""

    collector: str = Field(examples=["edgar/submissions"])
    source_types: list[str] = Field(examples=[["filing_index"]])
    schedule: str | None = Field(examples=["*/10 * * * *"])
    last_success_at: Time | None
    last_error_at: Time | None
    last_error: str | None = Field(examples=["503 after 6 attempts"])
    consecutive_failures: Count
    last_record_at: Time | None
    last_event_time: Time | None
    state: Literal["never", "running", "hung", "dead", "complete", "failed"] = Field(
        description="Of the newest run: `hung` lives and does not get on, `dead` ended without saying so.",
        examples=["complete"],
    )
    age_seconds: float | None = Field(description="Since the last success.", examples=[312.5])
    due_at: Time | None = Field(description="When its schedule last asked for a run that should be done by now.")
    late: bool = Field(description="Nothing succeeded since `due_at`.", examples=[False])
    open_quarantined: Count
    reasons: list[RefusalReason]
    run: CollectorRun | None


class CollectorList(Schema):
    """Every collector that has run, by name."""

    data: list[CollectorFreshness]


class Refusal(Schema):
    """A refused record, and whether it still stands refused."""

    quarantine_id: Ulid
    collector_run_id: Ulid
    collector: str = Field(examples=["edgar/form_8k"])
    source_type: str = Field(examples=["form_8k"])
    record: str = Field(examples=["0000320193-24-000005"])
    field: str = Field(examples=["items"])
    expected: str = Field(examples=["at least one item"])
    found: str | None = Field(examples=["none"])
    body_hash: Sha256 | None = Field(description="Of the archived bytes.")
    source_url: str = Field(examples=["https://www.sec.gov/Archives/edgar/data/320193/x.txt"])
    partition_date: Day | None
    ingest_time: Time
    open: bool = Field(description="No run has read it without refusing it since.", examples=[True])
    resolved_at: Time | None
    resolved_by_run: Ulid | None
    reason: str | None = Field(description="The last word on it.", examples=["read again without refusal"])


class RefusalPage(Schema):
    """Refused records, newest first."""

    data: list[Refusal]
    meta: Meta


class ReplicationLag(Schema):
    """How far the other home is behind in one table group."""

    group: str = Field(examples=["signals"])
    home: Literal["aws", "offsite"] = Field(description="Where the group is written.", examples=["offsite"])
    state: Literal["streaming", "disconnected", "missing", "lost", "unknown"] = Field(examples=["streaming"])
    bytes: int | None = Field(description="Of the home's log, not yet received.", examples=[0])
    seconds: float | None = Field(
        description="Since when the other home lacks something, by the writer's clock; null where that is not known.",
        examples=[0.0],
    )
    limit_seconds: float = Field(description="What is allowed.", examples=[30.0])
    trouble: str | None = Field(examples=["signals: aws is not connected to offsite"])


class DiskState(Schema):
    """How full the disk of a folder is."""

    folder: str = Field(examples=["archive"])
    used_ratio: float = Field(ge=0, le=1, description="Of what can be used.", examples=[0.41])


class PoolState(Schema):
    """Connections of this process: `local` for work at this place, `peer` at the other home, `pulse` for the watch."""

    pool: str = Field(examples=["local"])
    size: Count
    idle: Count
    most: Count
    waiting: Count = Field(description="Requests that wait for a connection.")
    timeouts: Count = Field(description="Requests that got none in time, since the process began.")


class AlertState(Schema):
    """Alerts that stand open, and messages of alerts that a webhook has not taken yet."""

    open: Count
    undelivered: Count


class ModelState(Schema):
    """What language models were asked today (UTC)."""

    configured: bool = Field(description="Whether this API may ask one.", examples=[True])
    calls_today: Count
    failed_today: Count
    dollars_today: float = Field(ge=0, examples=[0.042])


class PlatformStatus(Schema):
    """The state of the platform; `degraded` says why in `reasons`."""

    status: Literal["ok", "degraded"] = Field(examples=["ok"])
    reasons: list[str] = Field(examples=[["collector edgar/form_8k: 3 failures in a row"]])
    place: Literal["aws", "offsite", "one"] = Field(
        description="Which home this API reads; `one` is both.", examples=["aws"]
    )
    database: Literal["reachable", "unreachable"] = Field(examples=["reachable"])
    schema_version: SchemaVersion | None
    replication: list[ReplicationLag] = Field(description="Per group; empty where there is one home.")
    dagster: Literal["reachable", "unreachable", "not configured"] = Field(examples=["reachable"])
    collectors: list[CollectorFreshness]
    disks: list[DiskState]
    pools: list[PoolState]
    runs: dict[str, int] = Field(
        description="Dagster's runs: all that are not over, and those that ended in the last day. Empty where it runs"
        " elsewhere.",
        examples=[{"started": 1, "success": 40}],
    )
    jobs: dict[str, int] = Field(
        description="Jobs by state, in the same way.", examples=[{"queued": 2, "running": 1, "complete": 9}]
    )
    dead_letters: Count = Field(description="Work that failed for good and was not tried again.")
    alerts: AlertState
    models: ModelState
    rows: dict[str, int] = Field(description="Exact row counts.", examples=[{"backtest_runs": 4}])
    rows_estimated: dict[str, int] = Field(
        description="Estimates of the planner's statistics; 0 before the first ANALYZE.",
        examples=[{"raw_records": 250000}],
    )
