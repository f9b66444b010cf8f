"""The content of a home as hashes: one per table, computed in the database, equal where every byte is.

A row is its columns in the order of their names, in the binary form the server sends over the wire: it tells null from
empty, -0.0 from 0.0, and depends neither on the session's settings nor on the order in which columns were added. The
table's hash is over the sorted hashes of its rows, so the order of rows does not matter and how often each occurs does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import tuple_row

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import canonical_json

from .tables import SCHEMA

# Rows are sorted in memory up to this size per sort, on disk beyond.
_WORK_MEM = "128MB"
# Types made by a database rather than by the server have another oid in each.
_FIRST_OWN_OID = 16384


class FingerprintError(SignalDeltaError):
    """A request for fingerprints that names what is not there."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a table holds: how many rows, and the SHA-256 (hexadecimal) of their content."""

    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    oid: int


def fingerprints(
    connection: Connection[Any],
    *,
    exclude: Mapping[str, Collection[str]] | None = None,
    schema: str = SCHEMA,
    progress: Callable[[str], object] | None = None,
) -> dict[str, Fingerprint]:
    """Return the fingerprint of every table of `schema`, by name, in order.

    exclude: columns to leave out, by table, to compare homes whose ids and clocks differ. progress: told the name of
    each table before it is read.

    The tables are seen as the connection's transaction sees them: open a REPEATABLE READ transaction for one moment of
    them all. The same content gives the same hash on any server of the same major version. One pass over each table;
    the rows stay in the server. Raises `FingerprintError` for an excluded table or column that does not exist.
    """
    left_out = {table: set(columns) for table, columns in (exclude or {}).items()}
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        # The wire form of text is in the client's encoding. Compiling a query of one expression takes longer than it.
        cursor.execute(
            "SELECT set_config('client_encoding', 'UTF8', true), set_config('jit', 'off', true),"
            " set_config('parallel_tuple_cost', '0', true), set_config('parallel_setup_cost', '0', true),"
            " set_config('work_mem', %s, true)",
            (_WORK_MEM,),
        )
        tables = _tables(cursor, schema)
        for table, columns in left_out.items():
            if table not in tables:
                raise FingerprintError(f"exclude: expected a table of schema {schema!r}, found {table!r}")
            unknown = columns - {column.name for column in tables[table]}
            if unknown:
                raise FingerprintError(f"exclude: table {table!r}: expected its columns, found {sorted(unknown)}")
        found = {}
        for table, described in tables.items():
            if progress is not None:
                progress(table)
            kept = [column for column in described if column.name not in left_out.get(table, ())]
            found[table] = _fingerprint(cursor, sql.Identifier(schema, table), kept)
        return found


def _tables(cursor: Any, schema: str) -> dict[str, list[_Column]]:
    """Return the tables of `schema` and their columns, by name in byte order. A partition is part of its table."""
    found: dict[str, list[_Column]] = {}
    for table, name, kind, oid in cursor.execute(
        "SELECT c.relname, a.attname, format_type(a.atttypid, NULL), a.atttypid::int8"
        " FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s)"
        " AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        ' ORDER BY c.relname COLLATE "C", a.attname COLLATE "C"',
        (schema,),
    ):
        columns = found.setdefault(table, [])
        if name is not None:
            columns.append(_Column(name, kind, oid))
    return found


def _fingerprint(cursor: Any, table: sql.Composable, columns: list[_Column]) -> Fingerprint:
    values = [
        sql.SQL("t.{}").format(sql.Identifier(column.name)) + sql.SQL("::text" if column.oid >= _FIRST_OWN_OID else "")
        for column in columns
    ]
    # A hash of hashes for each first byte, so that no value comes near the server's limit of 1 GB. OFFSET 0 keeps the
    # planner from writing the row's hash out twice.
    cursor.execute(
        sql.SQL(
            "SELECT get_byte(h, 0), count(*), sha256(string_agg(h, ''::bytea ORDER BY h))"
            " FROM (SELECT sha256(record_send(ROW({values}))) AS h FROM {table} t OFFSET 0) AS hashed"
            " GROUP BY 1 ORDER BY 1"
        ).format(values=sql.SQL(", ").join(values), table=table)
    )
    digest = hashlib.sha256(canonical_json([[column.name, column.type] for column in columns]))
    rows = 0
    for byte, count, hashed in cursor:
        digest.update(bytes([byte]) + count.to_bytes(8, "big") + hashed)
        rows += count
    return Fingerprint(rows, digest.hexdigest())
