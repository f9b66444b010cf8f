"""What was fetched, read and refused: runs, documents, records, quarantine, and how upstreams stand."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, ForeignKey, Index, Integer, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from .registry import NOW, UTC_TIME, Keep, Split, ingest_time, sha256, table, ulid

collector_runs = table(
    "collector_runs",
    ulid("collector_run_id", primary_key=True),
    Column("collector", Text, nullable=False),
    Column("collector_version", Text, nullable=False),
    Column("collection_mode", Text, nullable=False),
    Column("window_start", Date, nullable=False),
    Column("window_end", Date, nullable=False),
    Column("status", Text, CheckConstraint("status in ('running','complete','failed')", name="status"), nullable=False),
    Column("started_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("finished_at", UTC_TIME),
    Column("documents_read", Integer, nullable=False, server_default="0"),
    Column("records_written", Integer, nullable=False, server_default="0"),
    Column("records_known", Integer, nullable=False, server_default="0"),
    Column("records_quarantined", Integer, nullable=False, server_default="0"),
    Column("counts", JSONB, nullable=False, server_default="{}"),
    Column("error", Text),
    Column("dagster_run_id", Text),
    # While it runs: when its process last said so, and when it last got on with its work.
    Column("heartbeat_at", UTC_TIME),
    Column("progress_at", UTC_TIME),
    Index(None, "collector", "started_at"),
    # The few that are going on, or were when their process died.
    Index(None, "collector", postgresql_where=text("status = 'running'")),
    group="collection",
    identity="ulid",
    why="One row per execution of a collector: what it asked for, read, wrote and refused.",
)

collector_status = table(
    "collector_status",
    Column("collector", Text, primary_key=True),
    Column("source_types", ARRAY(Text), nullable=False),
    Column("schedule", Text),
    Column("last_run_id", Text),
    Column("last_success_at", UTC_TIME),
    Column("last_error_at", UTC_TIME),
    Column("last_error", Text),
    Column("consecutive_failures", Integer, nullable=False, server_default="0"),
    Column("last_record_at", UTC_TIME),
    Column("last_event_time", UTC_TIME),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    group="collection",
    identity="natural",
    why="Freshness of each collector now: last success, last error, latest record.",
)

raw_documents = table(
    "raw_documents",
    sha256("body_hash", primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("media_type", Text),
    Column("source_url", Text, nullable=False),
    Column("http_status", SmallInteger, nullable=False),
    Column("observed_time", UTC_TIME, nullable=False),
    ingest_time(),
    group="collection",
    identity="content",
    why="Every body received, archived under its SHA-256 before anything parsed it.",
    frozen=True,
    # As long as the records read from it: what an upstream has said cannot be asked for again as it was then.
    keep=Keep(None, "observed_time"),
)

http_validators = table(
    "http_validators",
    Column("url", Text, primary_key=True),
    Column("etag", Text),
    Column("last_modified", Text),
    sha256("body_hash", nullable=False),
    Column("checked_at", UTC_TIME, nullable=False, server_default=NOW),
    group="collection",
    identity="natural",
    why="ETag and Last-Modified of the last body of a URL, for conditional requests.",
)

http_absences = table(
    "http_absences",
    Column("url", Text, primary_key=True),
    Column("first_absent_at", UTC_TIME, nullable=False),
    Column("checked_at", UTC_TIME, nullable=False),
    group="collection",
    identity="natural",
    why="Documents that never change once published and that the upstream does not have: when it first said so and "
    "when last. Asked again the more seldom the longer they have been missing.",
)

rate_limits = table(
    "rate_limits",
    Column("name", Text, primary_key=True),
    Column("next_slot", UTC_TIME, nullable=False),
    group="collection",
    identity="natural",
    why="The next free request slot of each upstream, shared by all processes.",
)

raw_records = table(
    "raw_records",
    ulid("raw_record_id", primary_key=True),
    Column("source_type", Text, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("natural_key", Text, nullable=False),
    Column("form", Text),
    Column("event_time", UTC_TIME),
    Column("observed_time", UTC_TIME, nullable=False),
    ingest_time(),
    Column("partition_date", Date, nullable=False),
    Column(
        "collection_mode",
        Text,
        CheckConstraint("collection_mode in ('live','backfill')", name="collection_mode"),
        nullable=False,
    ),
    Column("collector", Text, nullable=False),
    Column("collector_version", Text, nullable=False),
    ulid("collector_run_id", nullable=False),
    Column("schema_version", Text, nullable=False),
    sha256("payload_hash", nullable=False),
    Column("payload", JSONB, nullable=False),
    sha256("body_hash", nullable=False),
    Column("source_url", Text, nullable=False),
    Index(None, "source_type", "partition_date"),
    Index(None, "source_type", "entity_id", "natural_key"),
    Index(None, "ingest_time", postgresql_using="brin"),
    group="collection",
    identity="content",
    why="The RawRecord envelope: one fact of one upstream document; the contract between collectors and extractors.",
    frozen=True,
    # A changed rule reads all of them again, and a quarter of labels all that came before.
    keep=Keep(None, "partition_date"),
    # By the id, not by partition_date: a primary key has to hold what a table is partitioned by, and the same record
    # must be one row whatever day it was put on. The id begins with event_time, which decides partition_date.
    split=Split("raw_record_id", "year", day="partition_date"),
    # Hundreds of thousands of rows name a handful of parents: a foreign key would look each of them up row by row.
    parents={"collector_run_id": collector_runs.c.collector_run_id, "body_hash": raw_documents.c.body_hash},
)

quarantined_records = table(
    "quarantined_records",
    ulid("quarantine_id", primary_key=True),
    ulid("collector_run_id", ForeignKey(collector_runs.c.collector_run_id), nullable=False),
    Column("collector", Text, nullable=False),
    Column("source_type", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("expected", Text, nullable=False),
    Column("found", Text),
    sha256("body_hash"),
    Column("source_url", Text, nullable=False),
    Column("partition_date", Date),
    ingest_time(),
    Index(None, "collector", "ingest_time"),
    group="collection",
    identity="content",
    why="What was refused, with record, field, expectation and the hash of its archived bytes. The id is "
    "content-derived: refusing the same thing again adds nothing.",
    frozen=True,
)

quarantine_resolutions = table(
    "quarantine_resolutions",
    ulid("quarantine_id", ForeignKey(quarantined_records.c.quarantine_id), primary_key=True),
    ulid("collector_run_id", ForeignKey(collector_runs.c.collector_run_id), primary_key=True),
    Column("state", Text, CheckConstraint("state in ('resolved','reopened')", name="state"), nullable=False),
    Column("reason", Text, nullable=False),
    ingest_time(),
    group="collection",
    identity="natural",
    why="Which run read without refusal what had been refused, or refused it again after that. A refusal is open "
    "unless the last word here is that it is resolved.",
    frozen=True,
)

clock_decisions = table(
    "clock_decisions",
    sha256("body_hash", ForeignKey(raw_documents.c.body_hash), primary_key=True),
    Column("decider_version", Text, primary_key=True),
    Column("entity_id", Text, nullable=False),
    Column("clock", Text, CheckConstraint("clock in ('utc','eastern','undecided')", name="clock"), nullable=False),
    Column("grounds", JSONB, nullable=False),
    Column("source_url", Text, nullable=False),
    ingest_time(),
    group="collection",
    identity="natural",
    why="Which clock the acceptanceDateTime of a submissions file runs on, and on what evidence that was decided.",
    frozen=True,
)
