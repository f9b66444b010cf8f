"""Partitions of the tables that grow: made before rows come, listed, and filled with what landed in DEFAULT.

The application makes them through one function of the database (`ensure`); everything else here is the owner's work.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import Connection, sql
from psycopg.errors import LockNotAvailable
from psycopg.rows import dict_row

from signaldelta_assets.errors import SignalDeltaError

from .ddl import FIRST_PARTITION, PARTITIONS_LOCK
from .ddl import YEARS_AHEAD as LAST_YEARS
from .pools import Warehouse, identifier
from .postgres import plain_url
from .tables import SCHEMA, metadata, split_tables

Rows = Connection[dict[str, Any]]

# How far ahead the daily job makes them: writers then never wait for one.
YEARS_AHEAD = 2
_LOCK_SECONDS = 5
_TRIES = 3

# Which periods this process has asked for, by warehouse: (table, first day of the period).
_ensured: WeakKeyDictionary[Warehouse, set[tuple[str, date]]] = WeakKeyDictionary()


class PartitionError(SignalDeltaError):
    """Partitions that cannot be worked on now; says of which table, and what stands in the way."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition. `start` to before `stop`: its days, None where it is not one of a period (DEFAULT, undated).

    `rows`: as the statistics have it; `size_bytes` with indexes.
    """

    table: str
    name: str
    start: date | None
    stop: date | None
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Rows that were moved out of DEFAULT into partitions of their time, and those left, of no sensible time."""

    table: str
    partitions: tuple[str, ...]
    rows: int
    left: int


@contextmanager
def owner(url: str) -> Iterator[Rows]:
    """A connection of the owner of the tables, which commits each statement. No pool lends one."""
    with psycopg.connect(
        plain_url(url), autocommit=True, row_factory=dict_row, connect_timeout=10, application_name="signaldelta",
        options=f"-c timezone=UTC -c search_path={SCHEMA},public",
    ) as connection:  # fmt: skip
        yield connection


def _require_split(table: str) -> None:
    if f"{SCHEMA}.{table}" not in metadata.tables or metadata.tables[f"{SCHEMA}.{table}"].info["split"] is None:
        known = [str(found.name) for found in split_tables()]
        raise PartitionError(f"table: expected one that is partitioned, of {known}, found {table!r}")


def _period(table: str, day: date) -> date:
    every = metadata.tables[f"{SCHEMA}.{table}"].info["split"].every
    return date(day.year, day.month if every == "month" else 1, 1)


def ensure(warehouse: Warehouse, table: str, days: Iterable[date]) -> list[str]:
    """See to it that rows of `days` find their partitions in `table`; return the names of those that were made.

    Call before the transaction that writes: it is one of its own, so that nobody waits for the rows. Each process
    asks once per period. Where a partition cannot be made at once, rows go to DEFAULT, and the maintenance moves them.
    """
    _require_split(table)
    known = _ensured.setdefault(warehouse, set())
    missing = {(table, _period(table, day)) for day in days} - known
    if not missing:
        return []
    made: list[str] = []
    with warehouse.write_pool(metadata.tables[f"{SCHEMA}.{table}"].info["group"]).connection() as connection:
        # At the wrong home the rows will be kept and refused, and need no partition here.
        if connection.read_only:
            return []
        for _, start in sorted(missing):
            row = connection.execute(
                f"SELECT {SCHEMA}.ensure_partitions(%s, %s, %s) AS made", (table, start, start)
            ).fetchone()
            assert row is not None
            made += row["made"]
    known |= missing
    return made


def ensure_ahead(url: str, now: datetime, years: int = YEARS_AHEAD) -> list[str]:
    """Make the partitions of every table from this month until `years` from `now`; return the names of new ones."""
    made: list[str] = []
    with owner(url) as connection:
        for table in split_tables():
            row = connection.execute(
                f"SELECT {SCHEMA}.ensure_partitions(%s, %s, %s) AS made",
                (table.name, now.date(), now.date() + timedelta(days=366 * years)),
            ).fetchone()
            assert row is not None
            made += row["made"]
    return made


_LISTED = f"""
SELECT c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows, pg_total_relation_size(c.oid) AS size_bytes,
       period.start, period.stop
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
LEFT JOIN LATERAL (
  SELECT CASE WHEN substr(c.relname, length(%(table)s) + 2) ~ '^\\d{{4}}(_\\d\\d)?$' THEN to_date(
    substr(c.relname, length(%(table)s) + 2), CASE every WHEN 'month' THEN 'YYYY_MM' ELSE 'YYYY' END) END AS day
  FROM {SCHEMA}.partition_rules() WHERE of_table = %(table)s
) AS named ON true
LEFT JOIN LATERAL {SCHEMA}.partition_periods(%(table)s, named.day, named.day) AS period ON named.day IS NOT NULL
WHERE inhparent = to_regclass('{SCHEMA}.' || %(table)s) ORDER BY period.start NULLS LAST, c.relname
"""


def partitions(connection: Connection[Any], table: str) -> list[Partition]:
    """Return the partitions of a table, the oldest first; those of no period last."""
    _require_split(table)
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_LISTED, {"table": table}).fetchall()
    return [Partition(table, **{name: row[name] for name in ("name", "start", "stop", "rows", "size_bytes")})
            for row in rows]  # fmt: skip


def guard(url: str) -> list[str]:
    """Give the partitions that somebody made by hand the trigger that refuses changes; return their names.

    Those that `ensure` makes have it. PostgreSQL itself gives every partition the one that looks at rows, which sees
    no TRUNCATE.
    """
    given = []
    with owner(url) as connection:
        for table in split_tables():
            if not table.info["frozen"]:
                continue
            bare = connection.execute(
                "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = to_regclass(%s)"
                " AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = inhrelid AND tgname = %s AND tgenabled = 'O')"
                " ORDER BY 1",
                (f"{SCHEMA}.{table.name}", f"{table.name}_frozen"),
            ).fetchall()
            for row in bare:
                connection.execute(
                    f"CREATE OR REPLACE TRIGGER {table.name}_frozen BEFORE UPDATE OR DELETE OR TRUNCATE"
                    f" ON {row['name']} FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.refuse_change()"
                )
                connection.execute(f"ALTER TABLE {row['name']} ENABLE TRIGGER {table.name}_frozen")
                given.append(row["name"])
    return given


# --- out of DEFAULT ---------------------------------------------------------------------------------------------

_NEXT = "_next"
_MOVING = "_moving"


def settle(url: str, *, wait_seconds: float = 60.0) -> list[Moved]:
    """Move the rows in DEFAULT whose time can have a partition into it; return what was moved, by table.

    Nobody misses a row meanwhile, not even a transaction that sees the database as it was before: the rows are copied
    first, whoever cannot see the copies yet is waited for, and then copies and rows change places in one transaction.
    Should others have written into DEFAULT meanwhile, it is begun again. Raises `PartitionError` where transactions
    older than the copies do not end within `wait_seconds`, or locks are not to be had; then nothing has changed.
    """
    found = []
    with owner(url) as connection:
        for table in split_tables():
            _only_one(connection)
            try:
                for attempt in range(_TRIES):
                    _drop_leftovers(connection, str(table.name))
                    moved = _settle(connection, str(table.name), wait_seconds)
                    if moved is not None:
                        break
                    time.sleep(0.2 * (attempt + 1))
                else:
                    _drop_leftovers(connection, str(table.name))
                    raise PartitionError(f"{table.name}: rows kept coming into DEFAULT while they were moved")
                if moved.rows or moved.left:
                    found.append(moved)
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (PARTITIONS_LOCK,))
    return found


def _only_one(connection: Rows) -> None:
    row = connection.execute("SELECT pg_try_advisory_lock(%s) AS mine", (PARTITIONS_LOCK,)).fetchone()
    deadline = time.monotonic() + _LOCK_SECONDS
    while row is not None and not row["mine"]:
        if time.monotonic() > deadline:
            raise PartitionError("partitions are being made, moved or dropped by another process")
        time.sleep(0.05)
        row = connection.execute("SELECT pg_try_advisory_lock(%s) AS mine", (PARTITIONS_LOCK,)).fetchone()


def _drop_leftovers(connection: Rows, table: str) -> None:
    """Drop the copies that a process which was killed left: no partition of anything."""
    left = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND NOT relispartition"
        " AND (relname = %s OR (starts_with(relname, %s) AND relname LIKE %s))",
        (SCHEMA, f"{table}_default{_NEXT}", f"{table}_", f"%{_MOVING}"),
    ).fetchall()
    for row in left:
        connection.execute(sql.SQL("DROP TABLE {}").format(identifier(row["relname"])))


def _settle(connection: Rows, table: str, wait_seconds: float) -> Moved | None:
    default = f"{table}_default"
    periods = _waiting_periods(connection, table)
    if not periods:
        return Moved(table, (), 0, _count(connection, default))
    key = sql.Identifier(metadata.tables[f"{SCHEMA}.{table}"].info["split"].key)
    between = [
        sql.SQL("({key} >= {} AND {key} < {})").format(period["lower"], period["upper"], key=key) for period in periods
    ]
    with connection.transaction():
        copied = 0
        for period, condition in zip(periods, between, strict=True):
            copied += _copy(connection, table, f"{period['name']}{_MOVING}", condition)
        rest = sql.SQL("NOT ({})").format(sql.SQL(" OR ").join(between))
        left = _copy(connection, table, f"{default}{_NEXT}", rest)
    _wait_for_older(connection, table, wait_seconds)
    copies = [f"{period['name']}{_MOVING}" for period in periods] + [f"{default}{_NEXT}"]
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
            # The table first, as every reader does.
            for name in (table, default):
                connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(identifier(name)))
            if not _same_rows(connection, table, default, copies):
                raise _ChangedMeanwhile
            connection.execute(
                sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(identifier(table), identifier(default))
            )
            connection.execute(sql.SQL("DROP TABLE {}").format(identifier(default)))
            for period in periods:
                _rename(connection, f"{period['name']}{_MOVING}", period["name"])
                connection.execute(
                    f"SELECT {SCHEMA}.attach_partition(%s, %s, %s)", (table, period["name"], period["start"])
                )
            _rename(connection, f"{default}{_NEXT}", default)
            connection.execute(
                sql.SQL("ALTER TABLE {} ATTACH PARTITION {} DEFAULT").format(identifier(table), identifier(default))
            )
    except _ChangedMeanwhile:
        return None
    except LockNotAvailable:
        return None
    return Moved(table, tuple(period["name"] for period in periods), copied, left)


class _ChangedMeanwhile(Exception):
    """DEFAULT holds other rows than were copied."""


def _waiting_periods(connection: Rows, table: str) -> list[dict[str, Any]]:
    """Return the periods of which DEFAULT has rows and that may have a partition."""
    split = metadata.tables[f"{SCHEMA}.{table}"].info["split"]
    day = sql.SQL("{}::date").format(sql.Identifier(split.day or split.key))
    return connection.execute(
        sql.SQL(
            "SELECT p.* FROM (SELECT DISTINCT date_trunc({every}, {day}::timestamptz)::date AS day FROM {default}"
            "   WHERE {day} >= {first} AND {day} <= current_date + {ahead} * 366) AS d,"
            " LATERAL partition_periods({table}, d.day, d.day) AS p"
            " WHERE to_regclass({schema} || p.name) IS NULL AND EXISTS (SELECT FROM {default} AS r WHERE"
            "   r.{key} >= p.lower{cast} AND r.{key} < p.upper{cast})"
            " ORDER BY p.start"
        ).format(
            every=sql.Literal(split.every), day=day, default=identifier(f"{table}_default"),
            first=sql.Literal(FIRST_PARTITION), ahead=sql.Literal(LAST_YEARS), table=sql.Literal(table),
            schema=sql.Literal(f"{SCHEMA}."), key=sql.Identifier(split.key),
            cast=sql.SQL("" if split.day else "::timestamptz"),
        )
    ).fetchall()  # fmt: skip


def _copy(connection: Rows, table: str, name: str, condition: sql.Composable) -> int:
    connection.execute(f"SELECT {SCHEMA}.make_partition(%s, %s)", (table, name))
    return connection.execute(
        sql.SQL("INSERT INTO {} SELECT * FROM {} WHERE {}").format(
            identifier(name), identifier(f"{table}_default"), condition
        )
    ).rowcount


def _rename(connection: Rows, name: str, to: str) -> None:
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(identifier(name), sql.Identifier(to)))


def _count(connection: Rows, name: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) AS n FROM {}").format(identifier(name))).fetchone()
    assert row is not None
    return int(row["n"])


def _same_rows(connection: Rows, table: str, default: str, copies: list[str]) -> bool:
    """Say whether DEFAULT has the rows of the copies, by their key."""
    key = sql.SQL(", ").join(
        sql.Identifier(column.name) for column in metadata.tables[f"{SCHEMA}.{table}"].primary_key.columns
    )
    now = sql.SQL("SELECT {} FROM {}").format(key, identifier(default))
    then = sql.SQL(" UNION ALL ").join(sql.SQL("SELECT {} FROM {}").format(key, identifier(name)) for name in copies)
    row = connection.execute(
        sql.SQL("SELECT NOT EXISTS (({now}) EXCEPT ({then})) AND NOT EXISTS (({then}) EXCEPT ({now})) AS same").format(
            now=now, then=then
        )
    ).fetchone()
    assert row is not None
    return bool(row["same"])


def _wait_for_older(connection: Rows, table: str, seconds: float) -> None:
    """Wait until no transaction is left whose view of the database is older than what was just committed."""
    row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    deadline = time.monotonic() + seconds
    while True:
        older = connection.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND backend_xmin IS NOT NULL AND xact_start < %s",
            (row["now"],),
        ).fetchone()
        assert older is not None
        if not older["n"]:
            return
        if time.monotonic() > deadline:
            _drop_leftovers(connection, table)
            raise PartitionError(
                f"{table}: {older['n']} transactions have read the database as it was for over {seconds:.0f} s; "
                "the rows in DEFAULT are moved when they have ended"
            )
        time.sleep(0.1)
