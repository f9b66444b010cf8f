"""COPY into a table, idempotently: rows whose key is there already are left alone and counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import Connection, sql

from .pools import identifier


def copy_new(
    connection: Connection[Any], table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> tuple[int, int]:
    """COPY `rows` into `table`, skipping those in conflict with a key; return (offered, inserted).

    Runs inside the caller's transaction, by way of a temporary table: COPY itself cannot skip conflicts.
    """
    staging = sql.Identifier("pg_temp", f"new_{table}")
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    connection.execute(
        sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} (LIKE {} INCLUDING DEFAULTS) ON COMMIT DROP").format(
            sql.Identifier(f"new_{table}"), identifier(table)
        )
    )
    connection.execute(sql.SQL("TRUNCATE {}").format(staging))
    offered = 0
    with connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(staging, names)) as copy:
            for row in rows:
                copy.write_row(row)
                offered += 1
        cursor.execute(
            sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING").format(
                identifier(table), names, names, staging
            )
        )
        inserted = cursor.rowcount
    return offered, inserted
