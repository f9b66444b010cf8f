"""How a table is registered: group, write home, identity, mutability, retention, why; columns many of them have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

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

# Where a group is written: at one of the two places, or at each for itself (never replicated).
Home = Literal["aws", "offsite", "each"]
# What a database is: one of the two places, or both in one server.
Place = Literal["aws", "offsite", "one"]
PLACES: tuple[Place, ...] = get_args(Place)
# How a row gets its name: from its content, as a ULID or UUID made by its one writer, or from what it is about.
Identity = Literal["content", "ulid", "uuid", "natural"]

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


@dataclass(frozen=True, slots=True)
class Group:
    """Tables that are written at one home and replicated together.

    `lag_seconds`: how far the other home may be behind before an operator is told.
    """

    home: Home
    lag_seconds: float | None
    why: str


# Meta-plan, "Table Groups (Write-Home Designations)" and "Replication lag SLA".
GROUPS: dict[str, Group] = {
    "users": Group("aws", 60, "Users, keys, entitlements and what users keep: written by API requests."),
    "strategies": Group("aws", 60, "Conductor strategies and their controls: created by users through the API."),
    "routing": Group("aws", 60, "Which model serves which use-case, and what was spent: platform configuration."),
    "collection": Group("offsite", 300, "What collectors fetched, read and refused."),
    "reference": Group("offsite", 300, "Who the entities are: written by collectors."),
    "signals": Group("offsite", 30, "Signal events and scores: what the API answers with."),
    "labels": Group("offsite", 300, "The ground truth: written by classifiers."),
    "models": Group("offsite", 60, "The documents that decide how signals, scores and runs come about."),
    "backtests": Group("offsite", 60, "Snapshots and runs: written by backtest workers."),
    "research": Group("offsite", 60, "Reports and how far they have got: written by report generators."),
    "intelligence": Group("offsite", 60, "Tempo baselines and Cascade episodes: written by their services."),
    "executions": Group("offsite", 30, "Conductor's decisions and positions: written by execution workers."),
    "llm": Group("offsite", 300, "What models answered where an answer is an input: written by workers."),
    "operations": Group("each", None, "What a place notes about itself; the other place has its own."),
}

WRITE_HOMES: dict[str, Home] = {name: group.home for name, group in GROUPS.items()}


def written_at(group: str, place: Place) -> bool:
    """Say whether a database that is `place` is where `group` is written."""
    return place == "one" or WRITE_HOMES[group] in (place, "each")


def other_place(place: Place) -> Place:
    """Return the other of two places; `one` has none and is itself."""
    others: dict[Place, Place] = {"aws": "offsite", "offsite": "aws"}
    return others.get(place, place)


def replicated_groups(home: Home) -> list[str]:
    """Return the groups that `home` publishes and the other place receives, by name."""
    return sorted(name for name, group in GROUPS.items() if group.home == home and home != "each")


@dataclass(frozen=True, slots=True)
class Keep:
    """How long rows stay: `days` of the column `clock`, None for ever. What a manifest refers to always stays."""

    days: int | None = None
    clock: str | None = None


FOR_EVER = Keep()


@dataclass(frozen=True, slots=True)
class Split:
    """How a table is partitioned: a range of `key` for every month or year (UTC).

    `day`: where the key is an id that begins with its moment (ULID), the column of the day which that moment decides.
    Rows whose id has no moment stand in a partition of their own, `<table>_undated`. Rows of a time that no partition
    was made for stand in `<table>_default`, from where the maintenance moves them.
    """

    key: str
    every: Literal["month", "year"]
    day: str | None = None


def table(
    name: str,
    *columns: object,
    group: str,
    identity: Identity,
    why: str,
    frozen: bool = False,
    keep: Keep = FOR_EVER,
    parents: Mapping[str, Column[object]] | None = None,
    split: Split | None = None,
) -> Table:
    """Register a table. `frozen`: the database refuses UPDATE, DELETE and TRUNCATE on it.

    `parents`: columns whose values must stand in another table, checked once per statement over the rows it added.
    `split`: how it is partitioned, not at all without.
    """
    info = {
        "group": group,
        "home": WRITE_HOMES[group],
        "identity": identity,
        "why": why,
        "frozen": frozen,
        "keep": keep,
        "parents": parents or {},
        "split": split,
    }
    options = {} if split is None else {"postgresql_partition_by": f"RANGE ({split.key})"}
    return Table(name, metadata, *columns, info=info, comment=why, **options)  # type: ignore[arg-type]


def split_tables() -> list[Table]:
    """Return the partitioned tables, by name."""
    return [table for table in metadata.sorted_tables if table.info["split"] is not None]


def times(table: Table) -> list[str]:
    """Return the names of the columns of a table that hold a moment, in its order."""
    return [str(column.name) for column in table.columns if isinstance(column.type, TIMESTAMP)]


def sha256(name: str, *more: object, **options: object) -> Column[str]:
    check = CheckConstraint(f"length({name}) = 64", name=f"{name}_sha256")
    return Column(name, Text, check, *more, **options)  # type: ignore[arg-type]


def ulid(name: str, *more: object, **options: object) -> Column[str]:
    return Column(name, Text, *more, **options)  # type: ignore[arg-type]


def ingest_time() -> Column[object]:
    return Column("ingest_time", UTC_TIME, nullable=False, server_default=NOW)
