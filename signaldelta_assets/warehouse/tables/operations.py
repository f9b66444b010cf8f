"""What a place notes about itself: which place it is, refused writes, how far its readers are, what is wrong.

The group `operations` is written at each place and never replicated.
"""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

from .registry import NOW, UTC_TIME, Keep, table, ulid


class _Lsn(UserDefinedType[str]):
    """A position in the write-ahead log."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "PG_LSN"


this_home = table(
    "this_home",
    Column("single", Boolean, CheckConstraint("single", name="single"), primary_key=True, server_default=text("true")),
    Column("place", Text, CheckConstraint("place in ('aws','offsite','one')", name="place"), nullable=False),
    Column("since", UTC_TIME, nullable=False, server_default=NOW),
    group="operations",
    identity="natural",
    why="Which place this database is: `one` is both homes in one server. One row.",
)

misrouted_writes = table(
    "misrouted_writes",
    ulid("write_id", primary_key=True),
    Column("refused_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("place", Text, nullable=False),
    Column("table_group", Text, nullable=False),
    Column("home", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("correlation_id", Text),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Column("delivered_at", UTC_TIME),
    Index(None, "refused_at", postgresql_where=text("delivered_at IS NULL")),
    group="operations",
    identity="ulid",
    why="Writes that came to the wrong home, whole statements with their values: refused, and delivered by "
    "`signaldelta db recover`.",
    keep=Keep(400, "delivered_at"),
)

delivered_writes = table(
    "delivered_writes",
    ulid("write_id", primary_key=True),
    Column("from_place", Text, nullable=False),
    Column("delivered_at", UTC_TIME, nullable=False, server_default=NOW),
    group="operations",
    identity="ulid",
    why="Which of the other place's refused writes were carried out here, noted in the same transaction: none twice.",
)

replication_positions = table(
    "replication_positions",
    Column("at", UTC_TIME, primary_key=True, server_default=NOW),
    Column("lsn", _Lsn(), nullable=False),
    group="operations",
    identity="natural",
    why="How far this place's log was at a moment of its own clock: what turns a reader's position into seconds.",
    keep=Keep(7, "at"),
)

request_counts = table(
    "request_counts",
    Column("scope", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("window_end", UTC_TIME, nullable=False),
    Column("used", Integer, nullable=False),
    group="operations",
    identity="natural",
    why="How many requests a user, key or address has made in its window: what all processes of the API here share.",
    keep=Keep(2, "window_end"),
)

operator_alerts = table(
    "operator_alerts",
    ulid("alert_id", primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("severity", Text, CheckConstraint("severity in ('warning','critical')", name="severity"), nullable=False),
    Column("words", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    Column("opened_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("seen_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("closed_at", UTC_TIME),
    Index(None, "kind", "subject", unique=True, postgresql_where=text("closed_at IS NULL")),
    Index(None, "opened_at"),
    group="operations",
    identity="ulid",
    why="What was wrong, since when, and until when: opened and closed by the watch.",
    keep=Keep(400, "closed_at"),
)

alert_deliveries = table(
    "alert_deliveries",
    ulid("alert_id", primary_key=True),
    Column("event", Text, CheckConstraint("event in ('opened','worsened','closed')", name="event"), primary_key=True),
    # The kind of a webhook and the hash of its address, which is a secret.
    Column("channel", Text, primary_key=True),
    # As it was when this message was put on the list.
    Column("severity", Text, nullable=False),
    Column("created_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", UTC_TIME, nullable=False, server_default=NOW),
    Column("claimed_until", UTC_TIME),
    Column("delivered_at", UTC_TIME),
    Column("given_up_at", UTC_TIME),
    Column("last_error", Text),
    Index(None, "channel", "next_attempt_at", postgresql_where=text("delivered_at IS NULL AND given_up_at IS NULL")),
    group="operations",
    identity="natural",
    why="Which messages of alerts each webhook has taken, is still to take, or did not take within a day.",
    keep=Keep(400, "created_at"),
)
