"""The one rule by which signals and labels are written: append, revise, withdraw; never update (time.md).

A row has a key (`event_key`, `label_key`) and a content hash. Under a key the newest revision counts: the same
content again adds nothing, other content is the next revision, and a key of the window that is no longer produced
gets a last revision with ``active`` false.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg import sql

from signaldelta_assets.errors import RecordError

from ..bulk import copy_new
from ..pools import identifier


class Versioned(Protocol):
    """What a contract must have to be kept in revisions."""

    @property
    def content_hash(self) -> str: ...
    @property
    def active(self) -> bool: ...


V = TypeVar("V", bound=Versioned)


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """What a write did: rows offered; new keys; further revisions; withdrawn keys; and those that were there."""

    offered: int
    inserted: int
    revised: int
    withdrawn: int
    unchanged: int

    @property
    def written(self) -> int:
        """Rows added to the table."""
        return self.inserted + self.revised + self.withdrawn


@dataclass(frozen=True, slots=True)
class RevisionedTable:
    """A table of revisions: its name, the column of the key, the column of the producer, its columns."""

    name: str
    key: str
    producer: str
    columns: tuple[str, ...]


def lock(connection: psycopg.Connection[Any], *names: str) -> None:
    """Hold an advisory lock per name until the transaction ends; in one order, so that writers cannot deadlock."""
    for name in sorted(set(names)):
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))


def by_key(values: Sequence[V], key: Callable[[V], str]) -> dict[str, V]:
    """Return `values` by key. Raises `RecordError` where one key comes with two contents."""
    found: dict[str, V] = {}
    for value in values:
        other = found.setdefault(key(value), value)
        if other.content_hash != value.content_hash:
            raise RecordError(key(value), "content_hash", f"one content per key, {other.content_hash}",
                              value.content_hash)  # fmt: skip
    return found


def write_revisions(
    connection: psycopg.Connection[Any],
    table: RevisionedTable,
    values: Mapping[str, V],
    producers: Sequence[str],
    in_window: sql.Composable,
    definitions_hash: str,
    to_row: Callable[[V, int], Sequence[Any]],
    withdraw: Callable[[Mapping[str, Any]], V],
) -> WriteCounts:
    """Bring the rows of `producers` in the window to `values` (by key), inside the caller's transaction.

    `in_window` is the SQL condition that a row of the table belongs to the window; `to_row(value, revision)` gives
    the columns; `withdraw(row)` makes the inactive value of a stored row.
    """
    lock(connection, *(f"{table.name}:{producer}" for producer in producers))
    known = {row[table.key]: row for row in _latest(connection, table, list(values), producers, in_window,
                                                    definitions_hash)}  # fmt: skip
    rows: list[Sequence[Any]] = []
    inserted = revised = unchanged = 0
    for key, value in values.items():
        stored = known.get(key)
        if stored is None:
            rows.append(to_row(value, 1))
            inserted += 1
        elif stored["content_hash"] != value.content_hash:
            rows.append(to_row(value, stored["revision"] + 1))
            revised += 1
        else:
            unchanged += 1
    gone = [row[table.key] for key, row in known.items() if key not in values and row["active"] and row["inside"]]
    for row in _rows(connection, table, gone):
        rows.append(to_row(withdraw(row), row["revision"] + 1))
    copied = copy_new(connection, table.name, table.columns, rows)
    if copied != (len(rows), len(rows)):
        raise RecordError(table.name, "revision", f"{len(rows)} new rows", copied[1])
    return WriteCounts(len(values), inserted, revised, len(gone), unchanged)


def _latest(
    connection: psycopg.Connection[Any],
    table: RevisionedTable,
    keys: list[str],
    producers: Sequence[str],
    in_window: sql.Composable,
    definitions_hash: str,
) -> list[dict[str, Any]]:
    """The newest revision of every offered key and of every key that has a row in the window."""
    query = sql.SQL(
        "SELECT DISTINCT ON ({key}) {key}, revision, content_hash, active, ({inside}) AS inside FROM {table} "
        "WHERE {key} IN (SELECT unnest(%(keys)s::text[]) UNION SELECT {key} FROM {table} "
        "WHERE {producer} = ANY(%(producers)s) AND definitions_hash = %(definitions)s AND {inside}) "
        "ORDER BY {key}, revision DESC"
    ).format(
        key=sql.Identifier(table.key),
        table=identifier(table.name),
        producer=sql.Identifier(table.producer),
        inside=in_window,
    )
    params = {"keys": keys, "producers": list(producers), "definitions": definitions_hash}
    return list(connection.execute(query, params).fetchall())


def _rows(connection: psycopg.Connection[Any], table: RevisionedTable, keys: list[str]) -> list[dict[str, Any]]:
    if not keys:
        return []
    query = sql.SQL("SELECT DISTINCT ON ({key}) * FROM {table} WHERE {key} = ANY(%s) ORDER BY {key}, revision DESC")
    columns = query.format(key=sql.Identifier(table.key), table=identifier(table.name))
    return list(connection.execute(columns, (keys,)).fetchall())


def latest_as_of(table: RevisionedTable, condition: sql.Composable | None = None) -> sql.Composable:
    """Return ``FROM (...) AS latest``: the newest revision of each key, by ingest time up to %(as_of)s.

    Takes the parameters `as_of` (null for no bound), `definitions` (a list of hashes) and `start`, `end`. A row counts
    where it is active and in the window and has no later revision: one that moved the event out of the window, or
    withdrew it, is later too. `condition` (" AND ...") may name columns that are the same in all revisions of a key.
    """
    # "revision > 1" finds the few rows that replaced another by a partial index.
    return sql.SQL(
        "FROM (SELECT * FROM {table} AS this WHERE definitions_hash = ANY(%(definitions)s) "
        "AND (%(as_of)s::timestamptz IS NULL OR ingest_time <= %(as_of)s) {condition} "
        "AND active AND event_time >= %(start)s AND event_time < %(end)s "
        "AND NOT EXISTS (SELECT FROM {table} AS later WHERE later.revision > 1 AND later.{key} = this.{key} "
        "AND later.revision > this.revision AND later.definitions_hash = ANY(%(definitions)s) "
        "AND (%(as_of)s::timestamptz IS NULL OR later.ingest_time <= %(as_of)s))) AS latest"
    ).format(key=sql.Identifier(table.key), table=identifier(table.name), condition=condition or sql.SQL(""))


def all_as_of(table: RevisionedTable, condition: sql.Composable | None = None) -> sql.Composable:
    """Return ``FROM (...) AS every``: every revision of each key of which one lies in the window, withdrawn ones too.

    Parameters and `condition` are those of `latest_as_of`.
    """
    return sql.SQL(
        "FROM (SELECT * FROM {table} WHERE definitions_hash = ANY(%(definitions)s) "
        "AND (%(as_of)s::timestamptz IS NULL OR ingest_time <= %(as_of)s) {condition} "
        "AND {key} IN (SELECT {key} FROM {table} WHERE definitions_hash = ANY(%(definitions)s) "
        "AND event_time >= %(start)s AND event_time < %(end)s {condition})) AS every"
    ).format(key=sql.Identifier(table.key), table=identifier(table.name), condition=condition or sql.SQL(""))
