"""Snapshots, and runs with all that makes them complete."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from .labels import labeled_event_datasets
from .models import documents
from .registry import UTC_TIME, ingest_time, sha256, table, ulid

backtest_snapshots = table(
    "backtest_snapshots",
    ulid("snapshot_id", primary_key=True),
    sha256("snapshot_hash", nullable=False),
    Column("as_of", UTC_TIME, nullable=False),
    Column("window_start", UTC_TIME, nullable=False),
    Column("window_end", UTC_TIME, nullable=False),
    sha256("definitions_hash", nullable=False),
    ulid("dataset_id", ForeignKey(labeled_event_datasets.c.dataset_id), nullable=False),
    Column("manifest", JSONB, nullable=False),
    Column("manifest_canonical", LargeBinary, nullable=False),
    ingest_time(),
    UniqueConstraint("snapshot_hash"),
    group="backtests",
    identity="ulid",
    why="Frozen, content-addressed copies of everything a run may read; the same content is the same snapshot.",
    frozen=True,
)

hypothesis_trials = table(
    "hypothesis_trials",
    Column("hypothesis_family", Text, primary_key=True),
    Column("trial_number", Integer, primary_key=True),
    sha256("run_hash", nullable=False),
    ingest_time(),
    UniqueConstraint("hypothesis_family", "run_hash"),
    group="backtests",
    identity="natural",
    why="How many times a question has been asked: the trials that multiplicity corrections count.",
    frozen=True,
)

# The manifest names every hash of the row and of what was read and made: a run without one cannot be inserted, by
# whomever. A comparison with what is missing is null, which a check lets through: hence coalesce.
_SHA256_PATTERN = "^[0-9a-f]{64}$"
_WITHOUT_HASHES = (
    f'NOT jsonb_path_exists(manifest, \'$.%s[*] ? (!(@.file_hash like_regex "{_SHA256_PATTERN}" '
    f'&& @.content_hash like_regex "{_SHA256_PATTERN}"))\')'
)
_COMPLETE = " AND ".join(
    [
        *(f"manifest->>'{name}' = {column}" for name, column in (
            ("run_id", "run_id"), ("run_hash", "run_hash"), ("spec_hash", "spec_hash"), ("status", "status"),
            ("evaluation_hash", "evaluation_hash"), ("environment_hash", "environment_hash"),
            ("signal_definitions_hash", "definitions_hash"))),
        *(f"manifest#>>'{{{name},hash}}' = {column} AND manifest#>>'{{spec,{column}}}' = {column}" for name, column in (
            ("scoring_model", "scoring_model_hash"), ("latency_model", "latency_model_hash"),
            ("evaluation_protocol", "protocol_hash"))),
        "manifest#>>'{snapshot,id}' = snapshot_id",
        "manifest#>>'{snapshot,hash}' = manifest#>>'{spec,snapshot_hash}'",
        f"manifest#>>'{{snapshot,hash}}' ~ '{_SHA256_PATTERN}'",
        f"manifest#>>'{{dataset,hash}}' ~ '{_SHA256_PATTERN}'",
        "manifest#>>'{hypothesis,family}' = hypothesis_family",
        "manifest#>>'{hypothesis,trial_number}' = trial_number::text",
        *(f"jsonb_array_length(manifest->'{name}') > 0 AND {_WITHOUT_HASHES % name}" for name in ("inputs", "outputs")),
    ]
)  # fmt: skip

backtest_runs = table(
    "backtest_runs",
    ulid("run_id", primary_key=True),
    sha256("run_hash", nullable=False),
    sha256("spec_hash", nullable=False),
    ulid("snapshot_id", ForeignKey(backtest_snapshots.c.snapshot_id), nullable=False),
    sha256("scoring_model_hash", ForeignKey(documents.c.document_hash), nullable=False),
    sha256("latency_model_hash", ForeignKey(documents.c.document_hash), nullable=False),
    sha256("protocol_hash", ForeignKey(documents.c.document_hash), nullable=False),
    sha256("definitions_hash", ForeignKey(documents.c.document_hash), nullable=False),
    sha256("environment_hash", ForeignKey(documents.c.document_hash), nullable=False),
    Column("hypothesis_family", Text, nullable=False),
    Column("trial_number", Integer, nullable=False),
    Column(
        "status",
        Text,
        CheckConstraint("status in ('complete','insufficient')", name="status"),
        nullable=False,
    ),
    Column("evaluation", JSONB, nullable=False),
    sha256("evaluation_hash", nullable=False),
    Column("manifest", JSONB, nullable=False),
    Column("manifest_canonical", LargeBinary, nullable=False),
    sha256("manifest_hash", nullable=False),
    Column("dagster_run_id", Text),
    ingest_time(),
    CheckConstraint(text(f"coalesce({_COMPLETE}, false)"), name="manifest_complete"),
    UniqueConstraint("run_hash"),
    Index(None, "snapshot_id"),
    group="backtests",
    identity="ulid",
    why="Backtest runs with their complete manifest; a run without one does not exist.",
    frozen=True,
)

backtest_metrics = table(
    "backtest_metrics",
    ulid("run_id", ForeignKey(backtest_runs.c.run_id), primary_key=True),
    Column("evidence", Text, primary_key=True),
    Column("slice_kind", Text, primary_key=True),
    Column("slice_value", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("value", Double),
    Column("low", Double),
    Column("high", Double),
    Column("null_value", Double),
    Column("reason", Text),
    ingest_time(),
    group="backtests",
    identity="natural",
    why="Every figure of a run with its interval and null: per evidence set, event type and month.",
    frozen=True,
)

backtest_alerts = table(
    "backtest_alerts",
    ulid("run_id", ForeignKey(backtest_runs.c.run_id), primary_key=True),
    Column("entity_id", Text, primary_key=True),
    Column("alert_at", UTC_TIME, primary_key=True),
    Column("alert_score", Double, nullable=False),
    Column("matched_event_time", UTC_TIME),
    Column("matched_event_type", Text),
    Column("censored", Boolean, nullable=False),
    ingest_time(),
    group="backtests",
    identity="natural",
    why="Alert episodes of a run and the event each one matched.",
    frozen=True,
)

backtest_artifacts = table(
    "backtest_artifacts",
    ulid("run_id", ForeignKey(backtest_runs.c.run_id), primary_key=True),
    Column("name", Text, primary_key=True),
    sha256("file_hash", nullable=False),
    sha256("content_hash", nullable=False),
    Column("media_type", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    ingest_time(),
    group="backtests",
    identity="natural",
    why="The Parquet files of a run, by the hash of their bytes and of their column buffers.",
    frozen=True,
)
