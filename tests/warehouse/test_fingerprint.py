"""Fingerprints: the same content is the same hash whatever its order, one changed value of any type is another."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from signaldelta_assets.warehouse import SCHEMA, metadata
from signaldelta_assets.warehouse.fingerprint import Fingerprint, FingerprintError, fingerprints

pytestmark = pytest.mark.postgres

# Every column type that a table of ours has, with values of which each is another content than all the others.
VALUES: dict[str, list[str | None]] = {
    "text": ["", "a", "A", "a ", " a", "ä", "a\u0308", "NULL", "{}", "a\nb", "\U0001f4c8", None],
    "timestamp with time zone": [
        "2024-03-01 00:00:00+00", "2024-03-01 00:00:00.000001+00", "infinity", "-infinity", "0001-01-01 00:00+00", None,
    ],
    "jsonb": [
        "null", "{}", "[]", '""', '{"a": 1}', '{"a": 1.0}', '{"a": 1.00}', '{"a": "1"}', '{"a": null}', '{"A": 1}',
        '{"a": [1, 2]}', '{"a": [2, 1]}', '"\\u00e4"', "1e400", "false", "0", None,
    ],
    "bytea": ["", "\\x00", "\\x0000", "\\x01", "\\xff", None],
    "text[]": ["{}", "{NULL}", '{""}', "{a}", "{a,b}", "{b,a}", '{"a,b"}', "{{a},{b}}", "[0:1]={a,b}", None],
    "double precision": [
        "0", "-0", "NaN", "Infinity", "-Infinity", "0.1", "0.30000000000000004", "5e-324", "1.7976931348623157e308",
        None,
    ],
    "smallint": ["0", "1", "-1", "32767", None],
    "integer": ["0", "1", "-1", "2147483647", None],
    "bigint": ["0", "1", "-1", "9223372036854775807", None],
    "date": ["2024-03-01", "2024-03-02", "infinity", "0001-01-01", None],
    "numeric": ["0", "0.0", "-1", "1e30", "0.30000000000000004", "NaN", "Infinity", None],
    "pg_lsn": ["0/0", "0/1", "FFFFFFFF/FFFFFFFF", None],
    "boolean": ["true", "false", None],
}  # fmt: skip


@pytest.fixture(scope="module")
def connection(postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url, autocommit=True) as opened:
        opened.execute("CREATE SCHEMA trial")
        yield opened


def _of(connection: psycopg.Connection, table: str = "t", **options: object) -> Fingerprint:
    return fingerprints(connection, schema="trial", **options)[table]  # type: ignore[arg-type]


def test_every_value_of_every_type_is_a_content_of_its_own(connection: psycopg.Connection) -> None:
    used = connection.execute(
        "SELECT DISTINCT format_type(atttypid, NULL) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped",
        (SCHEMA,),
    ).fetchall()
    assert {name for (name,) in used} == VALUES.keys()
    columns = [(f"c{number}", kind) for number, kind in enumerate(VALUES)]
    declared = sql.SQL(", ").join(sql.SQL(f"{name} {kind}") for name, kind in columns)  # type: ignore[arg-type]
    connection.execute(sql.SQL("CREATE TABLE trial.t (id int, {})").format(declared))
    # A base row of a value in every column; then each column takes every other of its values.
    connection.execute("INSERT INTO trial.t (id) VALUES (1), (2)")
    for name, kind in columns:
        connection.execute(sql.SQL(f"UPDATE trial.t SET {name} = %s::{kind}"), (VALUES[kind][0],))  # type: ignore[arg-type]
    base = _of(connection)
    seen = {base}
    changes = 0
    for name, kind in columns:
        for value in VALUES[kind][1:]:
            with connection.transaction(force_rollback=True):
                connection.execute(sql.SQL(f"UPDATE trial.t SET {name} = %s::{kind} WHERE id = 2"), (value,))  # type: ignore[arg-type]
                seen.add(_of(connection))
                changes += 1
    assert len(seen) == changes + 1
    assert _of(connection) == base == Fingerprint(2, base.sha256)


def test_neither_the_order_of_rows_nor_that_of_columns_nor_the_session_matters_but_how_often_does(
    connection: psycopg.Connection,
) -> None:
    # Enough of them that many share the first byte of their hash; the last two are equal.
    rows = (
        "SELECT 'ä' || n, n * 0.1::float8, '2024-03-01 00:00+00'::timestamptz + n * '1 s'::interval"
        " FROM generate_series(1, 1000) n UNION ALL SELECT 'y', '-0', NULL UNION ALL SELECT 'y', '-0', NULL"
    )
    connection.execute("CREATE TABLE trial.a (b text, c float8, d timestamptz)")
    connection.execute(f"INSERT INTO trial.a {rows}")  # type: ignore[arg-type]
    connection.execute("CREATE TABLE trial.z (gone int, d timestamptz, c float8, b text)")
    connection.execute("ALTER TABLE trial.z DROP COLUMN gone")
    connection.execute(f"INSERT INTO trial.z (b, c, d) SELECT * FROM ({rows}) AS v ORDER BY md5(v::text)")  # type: ignore[arg-type]
    first = _of(connection, "a")
    assert first == _of(connection, "z") and first.rows == 1002
    with connection.transaction(force_rollback=True):
        for setting in ("timezone TO 'Asia/Tokyo'", "extra_float_digits TO 0", "datestyle TO 'German'",
                        "bytea_output TO 'escape'", "client_encoding TO 'LATIN1'"):  # fmt: skip
            connection.execute(f"SET LOCAL {setting}")  # type: ignore[arg-type]
        assert _of(connection, "a") == first
    # The same rows in other numbers: a hash of the set, or one in which equal rows cancel, would not tell.
    for change in ("DELETE FROM trial.z WHERE ctid = (SELECT max(ctid) FROM trial.z WHERE b = 'y')",
                   "INSERT INTO trial.z (b, c) VALUES ('y', '-0'), ('y', '-0')",
                   "ALTER TABLE trial.z RENAME b TO b2", "ALTER TABLE trial.z ALTER c TYPE real",
                   "UPDATE trial.z SET b = b || ' ' WHERE b = 'ä7'"):  # fmt: skip
        with connection.transaction(force_rollback=True):
            connection.execute(change)  # type: ignore[arg-type]
            assert _of(connection, "z").sha256 != first.sha256, change


def test_excluded_columns_do_not_count_and_unknown_ones_are_refused(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE trial.e1 (id text, at timestamptz, n int)")
    connection.execute("CREATE TABLE trial.e2 (id text, at timestamptz, n int)")
    connection.execute("INSERT INTO trial.e1 SELECT 'one' || n, now(), n FROM generate_series(1, 9) n")
    connection.execute(
        "INSERT INTO trial.e2 SELECT 'two' || n, now() - '1 day'::interval, n FROM generate_series(1, 9) n"
    )
    left_out = {"e1": ["id", "at"], "e2": ["id", "at"]}
    found = fingerprints(connection, schema="trial", exclude=left_out)
    assert found["e1"] == found["e2"] and found["e1"].rows == 9
    assert _of(connection, "e1") != _of(connection, "e2")
    with pytest.raises(FingerprintError, match=r"table 'e1'.*\['none'\]"):
        fingerprints(connection, schema="trial", exclude={"e1": ["none"]})
    with pytest.raises(FingerprintError, match="'e9'"):
        fingerprints(connection, schema="trial", exclude={"e9": ["id"]})


def test_every_table_of_the_schema_has_one_and_many_rows_take_seconds(connection: psycopg.Connection) -> None:
    assert {table.name for table in metadata.sorted_tables} <= fingerprints(connection).keys()
    connection.execute(
        "CREATE UNLOGGED TABLE trial.many AS SELECT n, n::text AS t, now() AS at, n * 0.1::float8 AS x"
        " FROM generate_series(1, 300000) n"
    )
    began = time.monotonic()
    assert _of(connection, "many").rows == 300_000
    # Rows that travelled to be hashed here would take several times as long.
    assert time.monotonic() - began < 10
