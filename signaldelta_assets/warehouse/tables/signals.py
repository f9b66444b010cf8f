"""Signal events, why others are none, and the scores made from them."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Date, Double, Index, Integer, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from .registry import NOW, UTC_TIME, Keep, Split, ingest_time, sha256, table, ulid

iald_signals = table(
    "iald_signals",
    ulid("event_id", primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("event_key", Text, nullable=False),
    Column("signal_id", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("event_time", UTC_TIME, nullable=False),
    Column("observed_time", UTC_TIME, nullable=False),
    ingest_time(),
    Column("partition_date", Date, nullable=False),
    Column(
        "strength_norm",
        Double,
        CheckConstraint("strength_norm between 0 and 1", name="strength_norm"),
        nullable=False,
    ),
    Column("direction", SmallInteger, CheckConstraint("direction in (-1,0,1)", name="direction"), nullable=False),
    Column("reliability", Double, CheckConstraint("reliability between 0 and 1", name="reliability"), nullable=False),
    Column("chain_affinity", JSONB, nullable=False),
    Column("frontier", JSONB, nullable=False),
    Column("raw_record_ids", ARRAY(Text), nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("active", Boolean, nullable=False),
    sha256("definitions_hash", nullable=False),
    Column("extractor_version", Text, nullable=False),
    sha256("content_hash", nullable=False),
    Index(None, "signal_id", "partition_date"),
    Index(None, "event_key"),
    # The few rows that replaced another: reading the newest revisions asks which have been.
    Index(None, "event_key", "revision", postgresql_where=text("revision > 1")),
    Index(None, "entity_id", "event_time"),
    Index(None, "event_time", "event_id"),
    group="signals",
    identity="content",
    why="Signal events. Another content under the same event_key is a further revision; nothing is ever updated.",
    frozen=True,
)

extraction_counts = table(
    "extraction_counts",
    Column("stage", Text, CheckConstraint("stage in ('signal','label')", name="stage"), primary_key=True),
    Column("producer", Text, primary_key=True),
    Column("partition_start", Date, primary_key=True),
    Column("partition_end", Date, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    group="signals",
    identity="natural",
    why="Why records gave no signal or no label, counted per producer and window: nothing is dropped in silence.",
)

score_samples = table(
    "score_samples",
    Column("entity_id", Text, primary_key=True),
    Column("at", UTC_TIME, primary_key=True),
    sha256("scoring_model_hash", primary_key=True),
    sha256("latency_model_hash", primary_key=True),
    sha256("definitions_hash", primary_key=True),
    ingest_time(),
    sha256("input_hash", nullable=False),
    Column("evidence", Double, nullable=False),
    Column("effective_families", Double, nullable=False),
    Column("magnitude", Double, nullable=False),
    Column("lean", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("quality", Double, nullable=False),
    Column("diversity", Double, nullable=False),
    Column("ordering", Double, nullable=False),
    Column("n_events", Integer, nullable=False),
    Column("legacy_score", Double, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("chain_probabilities", JSONB, nullable=False),
    Column("family_deltas", JSONB, nullable=False),
    Column("top_contributors", JSONB, nullable=False),
    Index(None, "at"),
    group="signals",
    identity="natural",
    why="Live scores with their explanations, one per entity and hour.",
    frozen=True,
    # Two years can be compared with each other day by day; the same kernel makes older ones again from the events,
    # which stay, and what changed is in score_history.
    keep=Keep(800, "at"),
    split=Split("at", "month"),
)

score_history = table(
    "score_history",
    Column("entity_id", Text, primary_key=True),
    Column("at", UTC_TIME, primary_key=True),
    sha256("scoring_model_hash", primary_key=True),
    sha256("latency_model_hash", primary_key=True),
    sha256("definitions_hash", primary_key=True),
    ingest_time(),
    Column("magnitude", Double, nullable=False),
    Column("lean", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("legacy_score", Double, nullable=False),
    Column("verdict", Text, nullable=False),
    group="signals",
    identity="natural",
    why="The narrow series behind charts: a row where the score differs from the one before by the same models.",
    frozen=True,
    # It is what charts are drawn from, and a hundredth of the samples.
    keep=Keep(None, "at"),
    split=Split("at", "month"),
)
