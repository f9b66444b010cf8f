"""Rows of a table from one home to the other: staged there, then what differs is changed, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection, sql
from sqlalchemy import Table

from signaldelta_assets.errors import SignalDeltaError

from .postgres import plain_url
from .roles import REPLICATION
from .tables import SCHEMA

Rows = Connection[dict[str, Any]]


class ReplicationError(SignalDeltaError):
    """Replication that cannot be set up or brought back; says what is missing where."""


def only_here(table: Table, what: str) -> sql.Composed:
    """Return the query of `what` over the rows of a table whose key its staged copy has not."""
    return sql.SQL("SELECT {what} FROM {table} t WHERE NOT EXISTS (SELECT FROM {staging} s WHERE {same})").format(
        what=sql.SQL(what),
        table=sql.Identifier(SCHEMA, str(table.name)),
        staging=sql.Identifier("pg_temp", f"copy_{table.name}"),
        same=_same_key(table),
    )


def _same_key(table: Table) -> sql.Composed:
    keys = [sql.Identifier(column.name) for column in table.primary_key.columns]
    return sql.SQL(" AND ").join(sql.SQL("t.{0} = s.{0}").format(key) for key in keys)


@contextmanager
def slot_with_snapshot(url: str, name: str) -> Iterator[str]:
    """Create a slot; yield the name of the snapshot of the database at the slot's first position."""
    # The replication protocol knows simple queries only, which psycopg's cursors do not send.
    with psycopg.connect(plain_url(url), autocommit=True, replication="database") as connection:
        command = f"CREATE_REPLICATION_SLOT \"{name}\" LOGICAL pgoutput (SNAPSHOT 'export')"
        result = connection.pgconn.exec_(command.encode())
        snapshot = result.get_value(0, 2)
        if snapshot is None:
            raise ReplicationError(f"slot {name}: {result.error_message.decode(errors='replace').strip()}")
        yield snapshot.decode()


def copy_differences(home: Connection[Any], reader: Rows, tables: Sequence[Table]) -> dict[str, int]:
    changed = dict.fromkeys((str(table.name) for table in tables), 0)
    with reader.transaction():
        for table in tables:
            stage(home, reader, table)
        reader.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(REPLICATION)))
        reader.execute("SET LOCAL session_replication_role = replica")
        for table in tables:
            for statement in _differences(table):
                changed[str(table.name)] += reader.execute(statement).rowcount
        reader.execute("RESET ROLE")
    return changed


def stage(home: Connection[Any], reader: Rows, table: Table) -> None:
    name = sql.Identifier(SCHEMA, str(table.name))
    staging = sql.Identifier("pg_temp", f"copy_{table.name}")
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    reader.execute(
        # Of the same columns in the same order: rows are compared as wholes.
        sql.SQL("CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DROP").format(sql.Identifier(f"copy_{table.name}"), name)
    )
    source = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)").format(columns, name)
    target = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(staging, columns)
    with home.cursor().copy(source) as out, reader.cursor().copy(target) as into:
        for block in out:
            into.write(block)
    key = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.primary_key.columns)
    reader.execute(sql.SQL("CREATE INDEX ON {} ({})").format(staging, key))
    reader.execute(sql.SQL("ANALYZE {}").format(staging))
    reader.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(staging, sql.Identifier(REPLICATION)))


def _differences(table: Table) -> list[sql.Composed]:
    """Return the statements that make a table what its staged copy is: rows gone, changed, new."""
    keys = [str(column.name) for column in table.primary_key.columns]
    others = [str(column.name) for column in table.columns if column.name not in keys]
    names = [str(column.name) for column in table.columns]
    parts = {
        "table": sql.Identifier(SCHEMA, str(table.name)),
        "staging": sql.Identifier("pg_temp", f"copy_{table.name}"),
        "same": _same_key(table),
        "columns": sql.SQL(", ").join(map(sql.Identifier, names)),
    }
    found = [sql.SQL("DELETE FROM {table} t WHERE NOT EXISTS (SELECT FROM {staging} s WHERE {same})").format(**parts)]
    if others:
        # By their bytes (*<>): two numbers may be equal and not the same.
        settings = sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(sql.Identifier(name)) for name in others)
        found.append(
            sql.SQL("UPDATE {table} t SET {settings} FROM {staging} s WHERE {same} AND (t) *<> (s)").format(
                settings=settings, **parts
            )
        )
    insert = "INSERT INTO {table} ({columns}) SELECT {columns} FROM {staging} s"
    found.append(sql.SQL(insert + " WHERE NOT EXISTS (SELECT FROM {table} t WHERE {same})").format(**parts))
    return found
