"""How a table is registered: its group, write home, mutability, and why it exists; columns that many of them have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
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


def table(
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


def sha256(name: str, *more: object, **options: object) -> Column[str]:
    check = CheckConstraint(f"length({name}) = 64", name=f"{name}_sha256")
    return Column(name, Text, check, *more, **options)  # type: ignore[arg-type]


def ulid(name: str, *more: object, **options: object) -> Column[str]:
    return Column(name, Text, *more, **options)  # type: ignore[arg-type]


def ingest_time() -> Column[object]:
    return Column("ingest_time", UTC_TIME, nullable=False, server_default=NOW)
