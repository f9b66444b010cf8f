"""From a score to a decision: users' strategies (`strategies`, AWS) and what came of them (`executions`, offsite).

The columns are those of the pillar's contract; nothing writes them yet. Its further tables come with it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Numeric, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

from .registry import UTC_TIME, ingest_time, sha256, table, ulid

conductor_strategies = table(
    "conductor_strategies",
    ulid("strategy_id", primary_key=True),
    ulid("user_id", nullable=False),
    sha256("strategy_hash", nullable=False),
    Column("document", JSONB, nullable=False),
    Column("event_time", UTC_TIME),
    Column("observed_time", UTC_TIME, nullable=False),
    ingest_time(),
    UniqueConstraint("user_id", "strategy_hash"),
    group="strategies",
    identity="ulid",
    why="Strategy documents of users, each named by its hash: another document is another strategy.",
    frozen=True,
)

conductor_activations = table(
    "conductor_activations",
    ulid("activation_id", primary_key=True),
    ulid("strategy_id", ForeignKey(conductor_strategies.c.strategy_id), nullable=False),
    Column("mode", Text, CheckConstraint("mode in ('paper','live')", name="mode"), nullable=False),
    Column("fraction", Numeric, nullable=False),
    Column("confirmations", JSONB, nullable=False),
    Column("event_time", UTC_TIME),
    Column("observed_time", UTC_TIME, nullable=False),
    ingest_time(),
    group="strategies",
    identity="ulid",
    why="Which strategy a user set to work, in which mode and with what part of the capital.",
    frozen=True,
)

conductor_controls = table(
    "conductor_controls",
    ulid("control_id", primary_key=True),
    Column("scope", Text, nullable=False),
    Column("request", Text, nullable=False),
    ulid("requested_by", nullable=False),
    Column("reason", Text),
    Column("event_time", UTC_TIME),
    Column("observed_time", UTC_TIME, nullable=False),
    ingest_time(),
    Index(None, "scope", "observed_time"),
    group="strategies",
    identity="ulid",
    why="What users and operators asked of an activation, an account or all of them: pause, stop, halt, reset.",
    frozen=True,
)

conductor_executions = table(
    "conductor_executions",
    ulid("execution_id", primary_key=True),
    Column("account", Text, nullable=False),
    sha256("strategy_hash", nullable=False),
    Column("slot", UTC_TIME, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("decision", JSONB, nullable=False),
    sha256("decision_hash", nullable=False),
    sha256("chain_hash", nullable=False),
    Column("event_time", UTC_TIME),
    Column("observed_time", UTC_TIME, nullable=False),
    ingest_time(),
    UniqueConstraint("account", "strategy_hash", "slot", "entity_id"),
    group="executions",
    identity="content",
    why="Every decision of a strategy with its hash, chained to the one before: the audit.",
    frozen=True,
)

conductor_positions = table(
    "conductor_positions",
    ulid("position_id", primary_key=True),
    Column("account", Text, nullable=False),
    Column("pass_at", UTC_TIME, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("cost", Numeric, nullable=False),
    Column("event_time", UTC_TIME),
    Column("observed_time", UTC_TIME, nullable=False),
    ingest_time(),
    UniqueConstraint("account", "pass_at", "entity_id"),
    group="executions",
    identity="content",
    why="What an account held after each pass of the executor.",
    frozen=True,
)
