"""Connections by purpose: `write(group)` goes to the group's write home, `read()` anywhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from psycopg import Connection, IsolationLevel, sql
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from signaldelta_assets.errors import SignalDeltaError

from .postgres import plain_url
from .tables import SCHEMA, WRITE_HOMES

if TYPE_CHECKING:
    from adbc_driver_postgresql import dbapi

# Writers hold it shared, `quiesce` takes it alone: so no row can appear later with an earlier ingest_time.
_WRITERS_LOCK = 0x5D_0001
# A connection used less long ago than this is taken to be alive: asking costs as much as most of what is read.
_FRESH_SECONDS = 1.0
_OPTIONS = f"-c search_path={SCHEMA},public -c timezone=UTC"


class WrongHomeError(SignalDeltaError):
    """A write to a table group whose home is another place."""


class Warehouse:
    """The database of one place. Opens connections on first use; close it, or use it as a context manager."""

    def __init__(self, url: str, *, home: str = "offsite", size: int = 4, timeout_seconds: float = 30.0) -> None:
        self.url = plain_url(url)
        self.home = home
        self._arrow: dbapi.Connection | None = None
        self._arrow_lock = threading.Lock()
        self._used: WeakKeyDictionary[Connection[dict[str, Any]], float] = WeakKeyDictionary()
        self._pool: ConnectionPool[Connection[dict[str, Any]]] = ConnectionPool(
            self.url,
            min_size=0,
            max_size=size,
            timeout=timeout_seconds,
            open=False,
            check=self._check,
            kwargs={
                "row_factory": dict_row,
                "options": _OPTIONS,
                "application_name": "signaldelta",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        with self._arrow_lock:
            if self._arrow is not None:
                self._arrow.close()
                self._arrow = None
        self._pool.close()

    def _check(self, connection: Connection[dict[str, Any]]) -> None:
        if time.monotonic() - self._used.get(connection, 0.0) > _FRESH_SECONDS:
            ConnectionPool.check_connection(connection)

    @contextmanager
    def _connection(self, *, view: bool = False) -> Iterator[Connection[dict[str, Any]]]:
        """A connection in a transaction; with `view` a read-only one that sees one state of the database."""
        self._pool.open()
        with self._pool.connection() as connection:
            # Said with BEGIN: a statement of its own would be one more way to the server and back.
            connection.isolation_level = IsolationLevel.REPEATABLE_READ if view else None
            connection.read_only = True if view else None
            yield connection
            self._used[connection] = time.monotonic()

    @contextmanager
    def read(self) -> Iterator[Connection[dict[str, Any]]]:
        """A connection in a read-only transaction with one consistent view."""
        with self._connection(view=True) as connection:
            yield connection

    @contextmanager
    def arrow(self) -> Iterator[dbapi.Connection]:
        """An ADBC connection of its own, for reading many rows into Arrow tables."""
        with self._arrow_lock:
            if self._arrow is None:
                # It imports every data frame library there is, which a process that only writes need not wait for.
                from adbc_driver_postgresql import dbapi

                # It learns every type of the server first, which takes longer than most reads; its clones know them.
                self._arrow = dbapi.connect(plain_url(self.url, options=_OPTIONS), autocommit=True)
            connection = self._arrow.adbc_clone()
        with closing(connection):
            yield connection

    @contextmanager
    def write(self, group: str) -> Iterator[Connection[dict[str, Any]]]:
        """A connection in a transaction that may write `group`; commits at the end, rolls back on error.

        Raises `WrongHomeError` where the group's home is another place.
        """
        home = WRITE_HOMES.get(group)
        if home is None:
            raise WrongHomeError(f"table group {group!r} is not in the registry: {sorted(WRITE_HOMES)}")
        if home != self.home:
            raise WrongHomeError(f"table group {group!r} is written at {home!r}, not at {self.home!r}")
        with self._connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (_WRITERS_LOCK,))
            yield connection

    def quiesce(self) -> Any:
        """Wait until no write is under way; return the database's clock then (datetime, UTC).

        Every row with an earlier `ingest_time` is visible from that moment on, so a snapshot as of it is whole.
        """
        with self._connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITERS_LOCK,))
            row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
        assert row is not None
        return row["now"]

    def settled(self) -> datetime:
        """Return the latest moment (UTC) whose rows are all visible now, without waiting for writers.

        That is now, or the start of the oldest write under way: what is asked as of it gives the same rows later.
        Open the transaction that reads them after this call. A role of its own needs pg_read_all_stats to see
        when the others' transactions began.
        """
        with self._connection() as connection:
            # The clock first: a writer that takes the lock after this line stamps its rows later than `now`.
            now = connection.execute("SELECT clock_timestamp() AS now").fetchone()
            oldest = connection.execute(
                "SELECT min(xact_start) AS began FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE locktype = 'advisory' AND classid = 0 AND objid = %s AND objsubid = 1 AND granted"
                " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                (_WRITERS_LOCK,),
            ).fetchone()
        assert now is not None and oldest is not None
        began = oldest["began"]
        moment: datetime = now["now"]
        return moment if began is None else min(moment, began - timedelta(microseconds=1))


def identifier(name: str) -> sql.Composable:
    """Quote a table name of the schema."""
    return sql.Identifier(SCHEMA, name)
