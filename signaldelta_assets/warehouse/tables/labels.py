"""The ground truth and its frozen versions."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from .registry import UTC_TIME, ingest_time, sha256, table, ulid

labeled_events = table(
    "labeled_events",
    ulid("label_id", primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("label_key", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("subtype", Text, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("event_time", UTC_TIME, nullable=False),
    Column(
        "time_precision",
        Text,
        CheckConstraint("time_precision in ('second','day','interpolated')", name="time_precision"),
        nullable=False,
    ),
    Column("known_at", UTC_TIME, nullable=False),
    Column("observed_time", UTC_TIME, nullable=False),
    ingest_time(),
    Column("confidence", Double, CheckConstraint("confidence between 0 and 1", name="confidence"), nullable=False),
    Column("raw_record_ids", ARRAY(Text), nullable=False),
    Column("source_url", Text, nullable=False),
    Column("classifier_version", Text, nullable=False),
    sha256("definitions_hash", nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("active", Boolean, nullable=False),
    sha256("content_hash", nullable=False),
    # An interpolated time says how far it may be off.
    CheckConstraint(
        "time_precision <> 'interpolated' or coalesce(jsonb_typeof(attributes->'time_error_seconds'), '') = 'number'",
        name="time_error",
    ),
    Index(None, "event_type", "event_time"),
    Index(None, "label_key"),
    Index(None, "label_key", "revision", postgresql_where=text("revision > 1")),
    Index(None, "entity_id", "event_time"),
    group="labels",
    identity="content",
    why="Ground truth: one row per labeled event and revision, with the records it rests on.",
    frozen=True,
)

labeled_event_datasets = table(
    "labeled_event_datasets",
    ulid("dataset_id", primary_key=True),
    Column("version", Integer, nullable=False),
    sha256("dataset_hash", nullable=False),
    sha256("definitions_hash", nullable=False),
    Column("as_of", UTC_TIME, nullable=False),
    Column("window_start", UTC_TIME),
    Column("window_end", UTC_TIME),
    Column("event_count", Integer, nullable=False),
    Column("event_type_distribution", JSONB, nullable=False),
    Column("coverage", JSONB, nullable=False),
    sha256("parent_hash"),
    ingest_time(),
    Column("include_interpolated", Boolean, nullable=False, server_default=text("false")),
    Column("interpolated_left_out", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("dataset_hash"),
    UniqueConstraint("version"),
    group="labels",
    identity="ulid",
    why="Frozen versions of the ground truth: new labels make a new version.",
    frozen=True,
)

labeled_event_dataset_members = table(
    "labeled_event_dataset_members",
    ulid("dataset_id", ForeignKey(labeled_event_datasets.c.dataset_id), primary_key=True),
    ulid("label_id", primary_key=True),
    Column("revision", Integer, nullable=False),
    sha256("content_hash", nullable=False),
    group="labels",
    identity="natural",
    why="Which label, in which revision, belongs to a dataset version.",
    frozen=True,
)
