"""What users asked the platform to do, and what kept failing: of the group `users`, for API requests write it."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from .registry import NOW, UTC_TIME, Keep, sha256, table, ulid
from .users import users

STATES = ("queued", "launched", "running", "complete", "failed", "canceled")
_STATES = "state in (" + ", ".join(f"'{state}'" for state in STATES) + ")"

jobs = table(
    "jobs",
    ulid("job_id", primary_key=True),
    ulid("user_id", ForeignKey(users.c.user_id)),
    Column("tier", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("input", JSONB, nullable=False),
    sha256("input_hash", nullable=False),
    Column("idempotency_key", Text),
    Column("priority", Integer, nullable=False),
    Column("state", Text, CheckConstraint(_STATES, name="state"), nullable=False, server_default="queued"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("dagster_run_id", Text),
    Column("backfill_id", Text),
    Column("progress", JSONB),
    Column("result", JSONB),
    Column("reason", Text),
    Column("correlation_id", Text),
    Column("submitted_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("not_before", UTC_TIME),
    Column("launched_at", UTC_TIME),
    Column("started_at", UTC_TIME),
    Column("cancel_requested_at", UTC_TIME),
    Column("finished_at", UTC_TIME),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    # No user is one who has keys too: where access is open.
    Index(
        "uq_jobs_idempotency_key",
        text("COALESCE(user_id, '')"),
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    Index(None, "user_id", "job_id"),
    Index(None, "correlation_id", postgresql_where=text("correlation_id IS NOT NULL")),
    Index(None, "dagster_run_id", postgresql_where=text("dagster_run_id IS NOT NULL")),
    Index(None, "input_hash"),
    Index("ix_jobs_unfinished", "job_id", postgresql_where=text("finished_at IS NULL")),
    group="users",
    identity="ulid",
    why="What users asked to be done, how far it is and what came of it; Dagster does it.",
    keep=Keep(400, "finished_at"),
)

dead_letters = table(
    "dead_letters",
    ulid("dead_letter_id", primary_key=True),
    ulid("job_id"),
    Column("dagster_run_id", Text),
    ulid("user_id"),
    Column("what", Text, nullable=False),
    Column("input", JSONB, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_command", Text, nullable=False),
    Column("died_at", UTC_TIME, nullable=False),
    Column("retried_at", UTC_TIME),
    Column("retried_as", Text),
    Index(None, "job_id", unique=True, postgresql_where=text("job_id IS NOT NULL")),
    Index(None, "dagster_run_id", unique=True, postgresql_where=text("dagster_run_id IS NOT NULL")),
    group="users",
    identity="ulid",
    why="Work that failed for good: a job, or a run of Dagster's own, with its input, the reason and how to try again.",
    keep=Keep(400, "died_at"),
)
