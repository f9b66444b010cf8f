"""What language models said (`llm`, offsite), and which model serves which use-case (`routing`, AWS)."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from .registry import NOW, UTC_TIME, Keep, ingest_time, sha256, table, ulid

llm_outputs = table(
    "llm_outputs",
    sha256("request_hash", primary_key=True),
    sha256("output_hash", nullable=False),
    Column("task", Text, nullable=False),
    sha256("task_version", nullable=False),
    Column("protocol", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("output", LargeBinary, nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    ingest_time(),
    group="llm",
    identity="content",
    why="The first answer of a model to each request, both as canonical JSON: what a repeat reads instead of asking.",
    frozen=True,
)

llm_model_routing = table(
    "llm_model_routing",
    Column("route_id", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("protocol", Text, CheckConstraint("protocol in ('openai','anthropic')", name="protocol"), nullable=False),
    Column("base_url", Text),
    Column("model", Text, nullable=False),
    Column(
        "weight_class", Text, CheckConstraint("weight_class in ('light','heavy')", name="weight_class"), nullable=False
    ),
    Column(
        "locations",
        ARRAY(Text),
        CheckConstraint("locations <@ array['aws','offsite']", name="locations"),
        nullable=False,
    ),
    Column("key_setting", Text),
    Column("timeout_seconds", Double, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("input_price", Numeric, nullable=False),
    Column("output_price", Numeric, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    group="routing",
    identity="natural",
    why="Models and where they are served: a further provider is a further row. Prices are US dollars per million "
    "tokens; `key_setting` names the setting that holds the key, never the key. Seeded.",
)

llm_fallback_chain = table(
    "llm_fallback_chain",
    Column("use_case", Text, primary_key=True),
    Column("position", SmallInteger, primary_key=True),
    Column("route_id", Text, ForeignKey(llm_model_routing.c.route_id), nullable=False),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    group="routing",
    identity="natural",
    why="Which model is asked first for a use-case, and which next where that one fails. Seeded.",
)

llm_usage_log = table(
    "llm_usage_log",
    ulid("usage_id", primary_key=True),
    Column("event_time", UTC_TIME, nullable=False),
    ingest_time(),
    Column("use_case", Text, nullable=False),
    Column("route_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("location", Text, nullable=False),
    ulid("user_id"),
    Column("correlation_id", Text),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cost", Numeric),
    Column("latency_ms", Double, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error", Text),
    Index(None, "user_id", "event_time"),
    Index(None, "event_time"),
    Index(None, "correlation_id", postgresql_where=text("correlation_id IS NOT NULL")),
    group="routing",
    identity="ulid",
    why="Every call of a model: use-case, model, tokens, price in US dollars, latency, outcome.",
    frozen=True,
    keep=Keep(800, "event_time"),
)
