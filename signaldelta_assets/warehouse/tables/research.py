"""Research reports and how far each has got: the group `research`, written offsite."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from .registry import NOW, UTC_TIME, Keep, ingest_time, sha256, table, ulid

research_reports = table(
    "research_reports",
    ulid("report_id", primary_key=True),
    Column("entity_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("as_of", UTC_TIME, nullable=False),
    ulid("requested_by"),
    ulid("run_id"),
    Column("body", JSONB, nullable=False),
    sha256("content_hash", nullable=False),
    Column("llm_output_hashes", ARRAY(Text), nullable=False, server_default="{}"),
    ingest_time(),
    Index(None, "entity_id", "as_of"),
    group="research",
    identity="ulid",
    why="Finished reports, each with its hash and the hashes of the model answers it quotes.",
    frozen=True,
)

research_progress = table(
    "research_progress",
    ulid("report_id", primary_key=True),
    Column("step", Text, primary_key=True),
    Column(
        "state",
        Text,
        CheckConstraint("state in ('waiting','running','complete','failed')", name="state"),
        nullable=False,
    ),
    Column("percent", SmallInteger, CheckConstraint("percent between 0 and 100", name="percent"), nullable=False),
    Column("message", Text),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    group="research",
    identity="natural",
    why="How far a report in the making has got; a report that failed has no row in research_reports.",
    keep=Keep(90, "updated_at"),
)
