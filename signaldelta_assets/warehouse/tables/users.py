"""Who uses the platform, what each tier gives them, and what they keep: the group `users`, written at AWS."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from .registry import NOW, UTC_TIME, Keep, ingest_time, sha256, table, ulid

TIERS = ("free", "entry", "professional", "analyst", "research")
_TIERS = "tier in (" + ", ".join(f"'{tier}'" for tier in TIERS) + ")"

users = table(
    "users",
    ulid("user_id", primary_key=True),
    Column("subject", Text),
    Column("email", Text),
    Column("display_name", Text),
    Column("tier", Text, CheckConstraint(_TIERS, name="tier"), nullable=False, server_default="free"),
    Column("is_admin", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("disabled_at", UTC_TIME),
    UniqueConstraint("subject"),
    group="users",
    identity="ulid",
    why="One row per user; `subject` is the identity provider's name for it. Disabled, never deleted.",
)

api_keys = table(
    "api_keys",
    ulid("api_key_id", primary_key=True),
    ulid("user_id", ForeignKey(users.c.user_id), nullable=False),
    Column("prefix", Text, nullable=False),
    sha256("key_hash", nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False, server_default="{}"),
    Column("created_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("expires_at", UTC_TIME),
    Column("revoked_at", UTC_TIME),
    Column("last_used_at", UTC_TIME),
    ulid("replaces", ForeignKey("signaldelta.api_keys.api_key_id")),
    # Of this key alone, within what its user's tier gives; none: the user's limit is the only one.
    Column("requests_per_hour", Integer),
    UniqueConstraint("key_hash"),
    Index(None, "prefix"),
    Index(None, "user_id"),
    group="users",
    identity="ulid",
    why="API keys by the hash of their secret, which is shown once; found by prefix, revoked by a time.",
)

tier_entitlements = table(
    "tier_entitlements",
    Column("tier", Text, CheckConstraint(_TIERS, name="tier"), primary_key=True),
    Column("entitlement", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    group="users",
    identity="natural",
    why="What each tier gives: limits as numbers, features as true or false. Seeded.",
)

watchlist_items = table(
    "watchlist_items",
    ulid("user_id", ForeignKey(users.c.user_id), primary_key=True),
    Column("entity_id", Text, primary_key=True),
    Column("note", Text),
    Column("added_at", UTC_TIME, nullable=False, server_default=NOW),
    group="users",
    identity="natural",
    why="The entities a user follows.",
)

custom_cohorts = table(
    "custom_cohorts",
    Column("cohort_id", Text, primary_key=True),
    ulid("user_id", ForeignKey(users.c.user_id)),
    Column("name", Text, nullable=False),
    Column("definition", JSONB, nullable=False),
    Column("created_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    Index(None, "user_id"),
    group="users",
    identity="ulid",
    why="Cohorts of entities by rule or list: a user's own by ULID, the system's (no user) by name. Those are seeded.",
)

alert_configs = table(
    "alert_configs",
    ulid("alert_config_id", primary_key=True),
    ulid("user_id", ForeignKey(users.c.user_id), nullable=False),
    Column("entity_id", Text),
    Column("cohort_id", Text, ForeignKey(custom_cohorts.c.cohort_id)),
    Column("condition", JSONB, nullable=False),
    Column("channel", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("updated_at", UTC_TIME, nullable=False, server_default=NOW),
    Index(None, "user_id"),
    group="users",
    identity="ulid",
    why="When a user wants to be told, about an entity or a cohort, and by which channel.",
)

user_activity = table(
    "user_activity",
    ulid("activity_id", primary_key=True),
    ulid("user_id"),
    Column("event_time", UTC_TIME, nullable=False),
    ingest_time(),
    Column("kind", Text, nullable=False),
    Column("subject", Text),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    Column("correlation_id", Text),
    Index(None, "user_id", "event_time"),
    Index(None, "ingest_time", postgresql_using="brin"),
    Index(None, "correlation_id", postgresql_where=text("correlation_id IS NOT NULL")),
    group="users",
    identity="ulid",
    why="What users did and were refused: the audit log of requests.",
    keep=Keep(400, "ingest_time"),
)
