"""Who the entities are: the security master with its dated identifiers, and the pools."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, ForeignKey, Index, SmallInteger, Text, text

from .registry import NOW, UTC_TIME, ingest_time, table

securities = table(
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
    identity="natural",
    why="One row per entity: issuer CIK, or chain and contract address.",
)

security_identifiers = table(
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
    ingest_time(),
    Column("identifier_id", Text, primary_key=True, server_default=text("(gen_random_uuid())::text")),
    Column("share_class", Text, nullable=False, server_default=""),
    Column("is_primary", Boolean, nullable=False, server_default=text("false")),
    Column("as_of", Date),
    Column("superseded_at", UTC_TIME),
    Index(None, "kind", "value"),
    Index(None, "entity_id", "source"),
    group="reference",
    identity="uuid",
    why="Dated tickers, names, FIGIs and exchanges of an entity, by share class. An open end says that the source "
    "gives no date; superseded_at, that the source says something else since.",
)

pools = table(
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
    identity="natural",
    why="What does not change of a Uniswap V2 pool: its tokens in the contract's order, their decimals, its creation.",
)

security_cohort_memberships = table(
    "security_cohort_memberships",
    Column("cohort_id", Text, primary_key=True),
    Column("entity_id", Text, ForeignKey(securities.c.entity_id), primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("valid_to", Date),
    Column("source", Text, nullable=False),
    ingest_time(),
    Index(None, "entity_id"),
    group="reference",
    identity="natural",
    why="Which entities a cohort has, and when: worked out from its definition, which is written at the other home.",
)
