"""The table registry: every table with its group, write home, key, times, mutability, and why it exists.

DDL, `migrations/schema.sql`, dbt sources and the docs page are made from this or compared with it in a test.
`available_time` is no column anywhere: the latency model derives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.types import TypeEngine

SCHEMA = "signaldelta"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)

UTC_TIME: TypeEngine[Any] = TIMESTAMP(timezone=True)
NOW = text("clock_timestamp()")

# Who may write a group, of the two places the schema is deployed to (overview.md, meta-plan "Write Home").
WRITE_HOMES: dict[str, str] = {
    "collection": "offsite",
    "signals": "offsite",
    "labels": "offsite",
    "models": "offsite",
    "backtests": "offsite",
    "reference": "offsite",
    "llm": "offsite",
}


def _table(
    name: str,
    *columns: object,
    group: str,
    why: str,
    frozen: bool = False,
    parents: Mapping[str, Column[object]] | None = None,
) -> Table:
    """Register a table. `frozen`: the database refuses UPDATE, DELETE and TRUNCATE on it.

    `parents`: columns whose values must stand in another table, checked once per statement over the rows it added.
    """
    info = {"group": group, "home": WRITE_HOMES[group], "why": why, "frozen": frozen, "parents": parents or {}}
    return Table(name, metadata, *columns, info=info, comment=why)  # type: ignore[arg-type]


def _sha256(name: str, *more: object, **options: object) -> Column[str]:
    check = CheckConstraint(f"length({name}) = 64", name=f"{name}_sha256")
    return Column(name, Text, check, *more, **options)  # type: ignore[arg-type]


def _ulid(name: str, *more: object, **options: object) -> Column[str]:
    return Column(name, Text, *more, **options)  # type: ignore[arg-type]


def _ingest_time() -> Column[object]:
    return Column("ingest_time", UTC_TIME, nullable=False, server_default=NOW)


# --- collection -------------------------------------------------------------------------------------------------

collector_runs = _table(
    "collector_runs",
    _ulid("collector_run_id", primary_key=True),
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
    why="One row per execution of a collector: what it asked for, read, wrote and refused.",
)

collector_status = _table(
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
    why="Freshness of each collector now: last success, last error, latest record.",
)

raw_documents = _table(
    "raw_documents",
    _sha256("body_hash", primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("media_type", Text),
    Column("source_url", Text, nullable=False),
    Column("http_status", SmallInteger, nullable=False),
    Column("observed_time", UTC_TIME, nullable=False),
    _ingest_time(),
    group="collection",
    why="Every body received, archived under its SHA-256 before anything parsed it.",
    frozen=True,
)

http_validators = _table(
    "http_validators",
    Column("url", Text, primary_key=True),
    Column("etag", Text),
    Column("last_modified", Text),
    _sha256("body_hash", nullable=False),
    Column("checked_at", UTC_TIME, nullable=False, server_default=NOW),
    group="collection",
    why="ETag and Last-Modified of the last body of a URL, for conditional requests.",
)

http_absences = _table(
    "http_absences",
    Column("url", Text, primary_key=True),
    Column("first_absent_at", UTC_TIME, nullable=False),
    Column("checked_at", UTC_TIME, nullable=False),
    group="collection",
    why="Documents that never change once published and that the upstream does not have: when it first said so and "
    "when last. Asked again the more seldom the longer they have been missing.",
)

rate_limits = _table(
    "rate_limits",
    Column("name", Text, primary_key=True),
    Column("next_slot", UTC_TIME, nullable=False),
    group="collection",
    why="The next free request slot of each upstream, shared by all processes.",
)

raw_records = _table(
    "raw_records",
    _ulid("raw_record_id", primary_key=True),
    Column("source_type", Text, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("natural_key", Text, nullable=False),
    Column("form", Text),
    Column("event_time", UTC_TIME),
    Column("observed_time", UTC_TIME, nullable=False),
    _ingest_time(),
    Column("partition_date", Date, nullable=False),
    Column(
        "collection_mode",
        Text,
        CheckConstraint("collection_mode in ('live','backfill')", name="collection_mode"),
        nullable=False,
    ),
    Column("collector", Text, nullable=False),
    Column("collector_version", Text, nullable=False),
    _ulid("collector_run_id", nullable=False),
    Column("schema_version", Text, nullable=False),
    _sha256("payload_hash", nullable=False),
    Column("payload", JSONB, nullable=False),
    _sha256("body_hash", nullable=False),
    Column("source_url", Text, nullable=False),
    Index(None, "source_type", "partition_date"),
    Index(None, "source_type", "entity_id", "natural_key"),
    Index(None, "ingest_time", postgresql_using="brin"),
    group="collection",
    why="The RawRecord envelope: one fact of one upstream document; the contract between collectors and extractors.",
    frozen=True,
    # Hundreds of thousands of rows name a handful of parents: a foreign key would look each of them up row by row.
    parents={"collector_run_id": collector_runs.c.collector_run_id, "body_hash": raw_documents.c.body_hash},
)

quarantined_records = _table(
    "quarantined_records",
    _ulid("quarantine_id", primary_key=True),
    _ulid("collector_run_id", ForeignKey(collector_runs.c.collector_run_id), nullable=False),
    Column("collector", Text, nullable=False),
    Column("source_type", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("expected", Text, nullable=False),
    Column("found", Text),
    _sha256("body_hash"),
    Column("source_url", Text, nullable=False),
    Column("partition_date", Date),
    _ingest_time(),
    Index(None, "collector", "ingest_time"),
    group="collection",
    why="What was refused, with record, field, expectation and the hash of its archived bytes. The id is "
    "content-derived: refusing the same thing again adds nothing.",
    frozen=True,
)

quarantine_resolutions = _table(
    "quarantine_resolutions",
    _ulid("quarantine_id", ForeignKey(quarantined_records.c.quarantine_id), primary_key=True),
    _ulid("collector_run_id", ForeignKey(collector_runs.c.collector_run_id), primary_key=True),
    Column("state", Text, CheckConstraint("state in ('resolved','reopened')", name="state"), nullable=False),
    Column("reason", Text, nullable=False),
    _ingest_time(),
    group="collection",
    why="Which run read without refusal what had been refused, or refused it again after that. A refusal is open "
    "unless the last word here is that it is resolved.",
    frozen=True,
)

clock_decisions = _table(
    "clock_decisions",
    _sha256("body_hash", ForeignKey(raw_documents.c.body_hash), primary_key=True),
    Column("decider_version", Text, primary_key=True),
    Column("entity_id", Text, nullable=False),
    Column("clock", Text, CheckConstraint("clock in ('utc','eastern','undecided')", name="clock"), nullable=False),
    Column("grounds", JSONB, nullable=False),
    Column("source_url", Text, nullable=False),
    _ingest_time(),
    group="collection",
    why="Which clock the acceptanceDateTime of a submissions file runs on, and on what evidence that was decided.",
    frozen=True,
)

# --- reference --------------------------------------------------------------------------------------------------

securities = _table(
    "securities",
    Column("entity_id", Text, primary_key=True),
    Column("asset_class", Text, nullable=False),
    Column("cik", Text),
    Column("name", Text, nullable=False),
    Column("sic", Text),
    Column("fiscal_year_end", Text),
    Column("primary_ticker", Text),
    Column("currency", Text, nullable=False, server_default="USD"),
    Column("first_seen_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("listed_on", Date),
    Column("delisted_on", Date),
    group="reference",
    why="One row per entity: issuer CIK, or chain and contract address.",
)

security_identifiers = _table(
    "security_identifiers",
    Column("entity_id", Text, ForeignKey(securities.c.entity_id), nullable=False),
    Column(
        "kind",
        Text,
        CheckConstraint("kind in ('ticker','name','figi','share_class_figi','exchange')", name="kind"),
        nullable=False,
    ),
    Column("value", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("valid_from", Date),
    Column("valid_to", Date),
    _ingest_time(),
    Column("identifier_id", Text, primary_key=True, server_default=text("(gen_random_uuid())::text")),
    Column("share_class", Text, nullable=False, server_default=""),
    Column("is_primary", Boolean, nullable=False, server_default=text("false")),
    Column("as_of", Date),
    Column("superseded_at", UTC_TIME),
    Index(None, "kind", "value"),
    Index(None, "entity_id", "source"),
    group="reference",
    why="Dated tickers, names, FIGIs and exchanges of an entity, by share class. An open end says that the source "
    "gives no date; superseded_at, that the source says something else since.",
)

pools = _table(
    "pools",
    Column("entity_id", Text, ForeignKey(securities.c.entity_id), primary_key=True),
    Column("token0", Text, nullable=False),
    Column("token1", Text, nullable=False),
    Column("decimals0", SmallInteger),
    Column("decimals1", SmallInteger),
    Column("created_block", BigInteger),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    Index(None, "created_block"),
    group="reference",
    why="What does not change of a Uniswap V2 pool: its tokens in the contract's order, their decimals, its creation.",
)

# --- models: immutable documents, named by their hash -----------------------------------------------------------

documents = _table(
    "documents",
    _sha256("document_hash", primary_key=True),
    Column(
        "kind",
        Text,
        CheckConstraint(
            "kind in ('signal_definitions','scoring_model','latency_model','evaluation_protocol','environment',"
            "'backtest_spec')",
            name="kind",
        ),
        nullable=False,
    ),
    Column("name", Text, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("canonical", LargeBinary, nullable=False),
    _ingest_time(),
    Index(None, "kind"),
    group="models",
    why="Signal definitions, scoring and latency models, evaluation protocols, environments and backtest specs: "
    "immutable JSON documents named by the SHA-256 of their canonical form.",
    frozen=True,
)

# --- signals ----------------------------------------------------------------------------------------------------

iald_signals = _table(
    "iald_signals",
    _ulid("event_id", primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("event_key", Text, nullable=False),
    Column("signal_id", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("event_time", UTC_TIME, nullable=False),
    Column("observed_time", UTC_TIME, nullable=False),
    _ingest_time(),
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
    _sha256("definitions_hash", nullable=False),
    Column("extractor_version", Text, nullable=False),
    _sha256("content_hash", nullable=False),
    Index(None, "signal_id", "partition_date"),
    Index(None, "event_key"),
    # The few rows that replaced another: reading the newest revisions asks which have been.
    Index(None, "event_key", "revision", postgresql_where=text("revision > 1")),
    Index(None, "entity_id", "event_time"),
    Index(None, "event_time", "event_id"),
    group="signals",
    why="Signal events. Another content under the same event_key is a further revision; nothing is ever updated.",
    frozen=True,
)

extraction_counts = _table(
    "extraction_counts",
    Column("stage", Text, CheckConstraint("stage in ('signal','label')", name="stage"), primary_key=True),
    Column("producer", Text, primary_key=True),
    Column("partition_start", Date, primary_key=True),
    Column("partition_end", Date, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    group="signals",
    why="Why records gave no signal or no label, counted per producer and window: nothing is dropped in silence.",
)

score_samples = _table(
    "score_samples",
    Column("entity_id", Text, primary_key=True),
    Column("at", UTC_TIME, primary_key=True),
    _sha256("scoring_model_hash", primary_key=True),
    _sha256("latency_model_hash", primary_key=True),
    _sha256("definitions_hash", primary_key=True),
    _ingest_time(),
    _sha256("input_hash", nullable=False),
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
    why="Live scores with their explanations, one per entity and hour.",
    frozen=True,
)

score_history = _table(
    "score_history",
    Column("entity_id", Text, primary_key=True),
    Column("at", UTC_TIME, primary_key=True),
    _sha256("scoring_model_hash", primary_key=True),
    _sha256("latency_model_hash", primary_key=True),
    _sha256("definitions_hash", primary_key=True),
    _ingest_time(),
    Column("magnitude", Double, nullable=False),
    Column("lean", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("legacy_score", Double, nullable=False),
    Column("verdict", Text, nullable=False),
    group="signals",
    why="The narrow series behind charts: a row where the score differs from the one before by the same models.",
    frozen=True,
)

# --- labels -----------------------------------------------------------------------------------------------------

labeled_events = _table(
    "labeled_events",
    _ulid("label_id", primary_key=True),
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
    _ingest_time(),
    Column("confidence", Double, CheckConstraint("confidence between 0 and 1", name="confidence"), nullable=False),
    Column("raw_record_ids", ARRAY(Text), nullable=False),
    Column("source_url", Text, nullable=False),
    Column("classifier_version", Text, nullable=False),
    _sha256("definitions_hash", nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("active", Boolean, nullable=False),
    _sha256("content_hash", nullable=False),
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
    why="Ground truth: one row per labeled event and revision, with the records it rests on.",
    frozen=True,
)

labeled_event_datasets = _table(
    "labeled_event_datasets",
    _ulid("dataset_id", primary_key=True),
    Column("version", Integer, nullable=False),
    _sha256("dataset_hash", nullable=False),
    _sha256("definitions_hash", nullable=False),
    Column("as_of", UTC_TIME, nullable=False),
    Column("window_start", UTC_TIME),
    Column("window_end", UTC_TIME),
    Column("event_count", Integer, nullable=False),
    Column("event_type_distribution", JSONB, nullable=False),
    Column("coverage", JSONB, nullable=False),
    _sha256("parent_hash"),
    _ingest_time(),
    Column("include_interpolated", Boolean, nullable=False, server_default=text("false")),
    Column("interpolated_left_out", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("dataset_hash"),
    UniqueConstraint("version"),
    group="labels",
    why="Frozen versions of the ground truth: new labels make a new version.",
    frozen=True,
)

labeled_event_dataset_members = _table(
    "labeled_event_dataset_members",
    _ulid("dataset_id", ForeignKey(labeled_event_datasets.c.dataset_id), primary_key=True),
    _ulid("label_id", primary_key=True),
    Column("revision", Integer, nullable=False),
    _sha256("content_hash", nullable=False),
    group="labels",
    why="Which label, in which revision, belongs to a dataset version.",
    frozen=True,
)

# --- backtests --------------------------------------------------------------------------------------------------

backtest_snapshots = _table(
    "backtest_snapshots",
    _ulid("snapshot_id", primary_key=True),
    _sha256("snapshot_hash", nullable=False),
    Column("as_of", UTC_TIME, nullable=False),
    Column("window_start", UTC_TIME, nullable=False),
    Column("window_end", UTC_TIME, nullable=False),
    _sha256("definitions_hash", nullable=False),
    _ulid("dataset_id", ForeignKey(labeled_event_datasets.c.dataset_id), nullable=False),
    Column("manifest", JSONB, nullable=False),
    Column("manifest_canonical", LargeBinary, nullable=False),
    _ingest_time(),
    UniqueConstraint("snapshot_hash"),
    group="backtests",
    why="Frozen, content-addressed copies of everything a run may read; the same content is the same snapshot.",
    frozen=True,
)

hypothesis_trials = _table(
    "hypothesis_trials",
    Column("hypothesis_family", Text, primary_key=True),
    Column("trial_number", Integer, primary_key=True),
    _sha256("run_hash", nullable=False),
    _ingest_time(),
    UniqueConstraint("hypothesis_family", "run_hash"),
    group="backtests",
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

backtest_runs = _table(
    "backtest_runs",
    _ulid("run_id", primary_key=True),
    _sha256("run_hash", nullable=False),
    _sha256("spec_hash", nullable=False),
    _ulid("snapshot_id", ForeignKey(backtest_snapshots.c.snapshot_id), nullable=False),
    _sha256("scoring_model_hash", ForeignKey(documents.c.document_hash), nullable=False),
    _sha256("latency_model_hash", ForeignKey(documents.c.document_hash), nullable=False),
    _sha256("protocol_hash", ForeignKey(documents.c.document_hash), nullable=False),
    _sha256("definitions_hash", ForeignKey(documents.c.document_hash), nullable=False),
    _sha256("environment_hash", ForeignKey(documents.c.document_hash), nullable=False),
    Column("hypothesis_family", Text, nullable=False),
    Column("trial_number", Integer, nullable=False),
    Column(
        "status",
        Text,
        CheckConstraint("status in ('complete','insufficient')", name="status"),
        nullable=False,
    ),
    Column("evaluation", JSONB, nullable=False),
    _sha256("evaluation_hash", nullable=False),
    Column("manifest", JSONB, nullable=False),
    Column("manifest_canonical", LargeBinary, nullable=False),
    _sha256("manifest_hash", nullable=False),
    Column("dagster_run_id", Text),
    _ingest_time(),
    CheckConstraint(text(f"coalesce({_COMPLETE}, false)"), name="manifest_complete"),
    UniqueConstraint("run_hash"),
    Index(None, "snapshot_id"),
    group="backtests",
    why="Backtest runs with their complete manifest; a run without one does not exist.",
    frozen=True,
)

backtest_metrics = _table(
    "backtest_metrics",
    _ulid("run_id", ForeignKey(backtest_runs.c.run_id), primary_key=True),
    Column("evidence", Text, primary_key=True),
    Column("slice_kind", Text, primary_key=True),
    Column("slice_value", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("value", Double),
    Column("low", Double),
    Column("high", Double),
    Column("null_value", Double),
    Column("reason", Text),
    _ingest_time(),
    group="backtests",
    why="Every figure of a run with its interval and null: per evidence set, event type and month.",
    frozen=True,
)

backtest_alerts = _table(
    "backtest_alerts",
    _ulid("run_id", ForeignKey(backtest_runs.c.run_id), primary_key=True),
    Column("entity_id", Text, primary_key=True),
    Column("alert_at", UTC_TIME, primary_key=True),
    Column("alert_score", Double, nullable=False),
    Column("matched_event_time", UTC_TIME),
    Column("matched_event_type", Text),
    Column("censored", Boolean, nullable=False),
    _ingest_time(),
    group="backtests",
    why="Alert episodes of a run and the event each one matched.",
    frozen=True,
)

backtest_artifacts = _table(
    "backtest_artifacts",
    _ulid("run_id", ForeignKey(backtest_runs.c.run_id), primary_key=True),
    Column("name", Text, primary_key=True),
    _sha256("file_hash", nullable=False),
    _sha256("content_hash", nullable=False),
    Column("media_type", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    _ingest_time(),
    group="backtests",
    why="The Parquet files of a run, by the hash of their bytes and of their column buffers.",
    frozen=True,
)

# --- llm --------------------------------------------------------------------------------------------------------

llm_outputs = _table(
    "llm_outputs",
    _sha256("request_hash", primary_key=True),
    _sha256("output_hash", nullable=False),
    Column("task", Text, nullable=False),
    _sha256("task_version", nullable=False),
    Column("protocol", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("output", LargeBinary, nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    _ingest_time(),
    group="llm",
    why="The first answer of a model to each request, both as canonical JSON: what a repeat reads instead of asking.",
    frozen=True,
)
