"""Connections by purpose: `write_pool(group)` leads to the group's write home, `read_pool()` to this place.

A write that comes to the wrong home is refused twice: by its transaction, which is read-only here, and by the roles of
the database. What was refused is kept whole (`misrouted`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

import psycopg
from psycopg import Connection, IsolationLevel, sql
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from signaldelta_assets.errors import SignalDeltaError

from . import misrouted
from .misrouted import RoutedConnection, WrongHomeError
from .postgres import plain_url
from .roles import APPLICATION
from .tables import SCHEMA, WRITE_HOMES, Place, other_place, written_at

if TYPE_CHECKING:
    from adbc_driver_postgresql import dbapi

Rows = Connection[dict[str, Any]]

# Writers hold it shared, `quiesce` takes it alone: so no row can appear later with an earlier ingest_time.
_WRITERS_LOCK = 0x5D_0001
# A connection used less long ago than this is taken to be alive: asking costs as much as most of what is read.
_FRESH_SECONDS = 1.0


class HomeLostError(SignalDeltaError, psycopg.OperationalError):
    """A home that went away in the middle of a transaction, or gives no connection.

    What the transaction wrote is not there, or, where it went away at the very end, is there whole. Every writer
    leaves alone what it finds: the same thing started again comes to the same rows.
    """


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections a process may hold and how long anything may take; 0 seconds is no limit.

    `size`: connections for work, to this place and as many to the other. One more, for `pulse`, is never lent to work.
    """

    size: int = 4
    wait_seconds: float = 30.0
    connect_seconds: int = 10
    statement_seconds: float = 3600.0
    lock_seconds: float = 300.0
    # In a transaction without saying anything: a writer that hangs would hold up whoever waits for the writers' lock.
    idle_seconds: float = 1800.0

    def options(self) -> str:
        """Return what every connection sets when it opens."""
        timeouts = {
            "statement_timeout": self.statement_seconds,
            "lock_timeout": self.lock_seconds,
            "idle_in_transaction_session_timeout": self.idle_seconds,
        }
        settings = {"search_path": f"{SCHEMA},public", "timezone": "UTC", "role": APPLICATION}
        settings |= {name: f"{seconds * 1000:.0f}" for name, seconds in timeouts.items()}
        return " ".join(f"-c {name}={value}" for name, value in settings.items())


# What tells how things are has to answer while everything else is stuck.
_PULSE = PoolLimits(size=1, wait_seconds=5.0, connect_seconds=3, statement_seconds=5.0, lock_seconds=2.0)


@dataclass(frozen=True, slots=True)
class Pool:
    """Connections for one purpose; `connection()` lends one for a transaction.

    It commits at the end and rolls back on an error.
    """

    connection: Callable[[], AbstractContextManager[Rows]]


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How a pool of this process stands: connections there are and idle, callers waiting; and since it began, callers
    that got none in time and the time that all waited together."""

    pool: str
    size: int
    idle: int
    most: int
    waiting: int
    timeouts: int
    waited_seconds: float


class Warehouse:
    """The database of one place. Opens connections on first use; close it, or use it as a context manager.

    `place`: which home the database at `url` is, or that it is both. `peer_url`: the other home, for writes that
    belong there; without it they are refused.
    """

    def __init__(
        self, url: str, *, place: Place = "one", peer_url: str | None = None, limits: PoolLimits | None = None
    ) -> None:
        self.url = plain_url(url)
        self.place = place
        self.peer_url = None if peer_url is None else plain_url(peer_url)
        self.limits = limits or PoolLimits()
        self._arrow: dbapi.Connection | None = None
        self._arrow_lock = threading.Lock()
        self._used: WeakKeyDictionary[Rows, float] = WeakKeyDictionary()
        self._local = self._open(self.url, self.limits)
        self._peer = None if self.peer_url is None else self._open(self.peer_url, self.limits)
        self._pulse = self._open(self.url, _PULSE)

    def _open(self, url: str, limits: PoolLimits) -> ConnectionPool[RoutedConnection]:
        return ConnectionPool(
            url,
            connection_class=RoutedConnection,
            min_size=0,
            max_size=limits.size,
            timeout=limits.wait_seconds,
            open=False,
            check=self._check,
            kwargs={
                "row_factory": dict_row,
                "options": limits.options(),
                "application_name": "signaldelta",
                "connect_timeout": limits.connect_seconds,
                # A home that vanishes from the network is noticed by its silence.
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
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
        for pool in (self._local, self._peer, self._pulse):
            if pool is not None:
                pool.close()

    def _check(self, connection: Rows) -> None:
        if time.monotonic() - self._used.get(connection, 0.0) > _FRESH_SECONDS:
            ConnectionPool.check_connection(connection)

    @contextmanager
    def _connection(
        self,
        pool: ConnectionPool[RoutedConnection],
        *,
        view: bool = False,
        refusing: str | None = None,
    ) -> Iterator[RoutedConnection]:
        """A connection in a transaction; with `view` a read-only one that sees one state of the database.

        With `refusing` one of the wrong home for that group: what it would write is kept, and an error.
        Raises `HomeLostError` where the server goes away or gives no connection.
        """
        pool.open()
        lent: RoutedConnection | None = None
        place = self.place if pool is not self._peer else other_place(self.place)
        try:
            with pool.connection() as connection:
                lent = connection
                # Said with BEGIN: a statement of its own would be one more way to the server and back.
                connection.isolation_level = IsolationLevel.REPEATABLE_READ if view else None
                connection.read_only = True if view or refusing else None
                connection.place = place
                connection.refusing, connection.refused = refusing, None
                yield connection
                self._used[connection] = time.monotonic()
        except PoolTimeout as error:
            lent_out = pool.get_stats().get("pool_size", 0) >= pool.max_size
            why = f"all {pool.max_size} of this process are in use" if lent_out else "the database does not answer"
            raise HomeLostError(f"home {place!r}: {error}: {why}; start the same again") from error
        except psycopg.OperationalError as error:
            if isinstance(error, HomeLostError) or lent is None or not (lent.closed or lent.broken):
                raise
            words = " ".join(str(error).split())
            raise HomeLostError(
                f"home {place!r}: the connection was lost, and with it what this transaction had written; start the "
                f"same again: {words}"
            ) from error

    def read_pool(self) -> Pool:
        """Connections of this place in read-only transactions with one consistent view each."""
        return Pool(lambda: self._connection(self._local, view=True))

    def write_pool(self, group: str) -> Pool:
        """Connections in transactions that may write `group`, at its home.

        At the wrong place, where the other home is not known, they refuse: reading works, the first write raises
        `WrongHomeError` and is kept for `signaldelta db recover`. Raises it at once for a group nobody registered.
        """
        return self._at_home(group, told=True)

    def state_pool(self, group: str) -> Pool:
        """Connections to the home of `group` for single statements, each a transaction of its own, wherever this runs.

        One way to the server and back, and no waiting for `quiesce`: for counters and the state of keys, which have no
        `ingest_time` that a snapshot asks about. What was written at the home a moment ago is seen. Refuses writes of
        the wrong home as `write_pool` does.
        """
        return self._at_home(group, told=False)

    def _at_home(self, group: str, *, told: bool) -> Pool:
        home = WRITE_HOMES.get(group)
        if home is None:
            raise WrongHomeError(f"table group {group!r} is not in the registry: {sorted(WRITE_HOMES)}")
        if written_at(group, self.place):
            return Pool(lambda: self._writing(self._local, None, told))
        if self._peer is not None:
            pool = self._peer
            return Pool(lambda: self._writing(pool, None, told))
        return Pool(lambda: self._writing(self._local, group, told))

    @contextmanager
    def _writing(
        self, pool: ConnectionPool[RoutedConnection], refusing: str | None, told: bool
    ) -> Iterator[RoutedConnection]:
        lent = None
        try:
            with self._connection(pool, refusing=refusing) as lent:
                if told:
                    lent.execute("SELECT pg_advisory_xact_lock_shared(%s)", (_WRITERS_LOCK,))
                    yield lent
                else:
                    with _by_itself(lent):
                        yield lent
        finally:
            # After the rollback, and through a connection that work cannot use up.
            if lent is not None and lent.refused is not None:
                with self.pulse() as noting:
                    misrouted.keep(noting, lent.refused)

    @contextmanager
    def pulse(self) -> Iterator[RoutedConnection]:
        """The one connection kept for telling how things are, with short timeouts; never lent to work."""
        with self._connection(self._pulse) as connection:
            yield connection

    @contextmanager
    def arrow(self) -> Iterator[dbapi.Connection]:
        """An ADBC connection of its own, for reading many rows into Arrow tables. Raises `HomeLostError`."""
        # It imports every data frame library there is, which a process that only writes need not wait for.
        from adbc_driver_postgresql import dbapi

        try:
            with self._arrow_lock:
                if self._arrow is None:
                    # It learns every type of the server first, which takes longer than most reads; clones know them.
                    self._arrow = dbapi.connect(plain_url(self.url, options=self.limits.options()), autocommit=True)
                connection = self._arrow.adbc_clone()
            with closing(connection):
                yield connection
        except (dbapi.OperationalError, dbapi.InternalError) as error:
            # What the server refuses has a code; what never reached it has none, or that of its end.
            if error.sqlstate and not error.sqlstate.startswith(("08", "57P")):
                raise
            words = " ".join(str(error).split())
            raise HomeLostError(
                f"home {self.place!r}: the connection was lost; start the same again: {words}"
            ) from error

    def pool_use(self) -> list[PoolUse]:
        """Return how the pools stand: `local` for work here, `peer` at the other home, `pulse`. Asks no server."""
        found = []
        for name, pool in (("local", self._local), ("peer", self._peer), ("pulse", self._pulse)):
            if pool is not None:
                told = pool.get_stats()
                found.append(
                    PoolUse(
                        name,
                        told.get("pool_size", 0),
                        told.get("pool_available", 0),
                        pool.max_size,
                        told.get("requests_waiting", 0),
                        told.get("requests_errors", 0),
                        told.get("requests_wait_ms", 0) / 1000,
                    )
                )
        return found

    def quiesce(self) -> Any:
        """Wait until no write is under way; return the database's clock then (datetime, UTC).

        Every row with an earlier `ingest_time` is visible from that moment on, so a snapshot as of it is whole. Raises
        `WrongHomeError` at the home that has copies: rows are still on their way there, stamped by another clock.
        """
        if not written_at("signals", self.place):
            raise WrongHomeError(
                f"what is frozen is frozen where it is written, at {WRITE_HOMES['signals']!r}, not at {self.place!r}: "
                "rows of that home's clock may still be on their way here"
            )
        with self._connection(self._local) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITERS_LOCK,))
            row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
        assert row is not None
        return row["now"]

    def settled(self) -> datetime:
        """Return the latest moment (UTC) whose rows are all visible now, without waiting for writers.

        That is now, or the start of the oldest write under way: what is asked as of it gives the same rows later.
        Open the transaction that reads them after this call.
        """
        with self._connection(self._local) as connection, _by_itself(connection):
            return _settled(connection)

    @contextmanager
    def statements(self) -> Iterator[RoutedConnection]:
        """A connection for single statements, each with a view of its own: one way to the server and back for each.

        For rows that are only ever added, asked for as of a moment that was `settled` before: those of that moment are
        in every view.
        """
        with self._connection(self._local) as connection, _by_itself(connection):
            yield connection


# `statement_timestamp()` is when the statement came in, before any lock is looked at: a writer that takes the lock
# later stamps its rows later.
_SETTLED = (
    "SELECT least(statement_timestamp(), (SELECT min(xact_start) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    f" WHERE locktype = 'advisory' AND classid = 0 AND objid = {_WRITERS_LOCK} AND objsubid = 1 AND granted"
    " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    " - interval '1 microsecond') AS settled"
)


def _settled(connection: Rows) -> datetime:
    row = connection.execute(_SETTLED).fetchone()
    assert row is not None
    moment: datetime = row["settled"]
    return moment


@contextmanager
def _by_itself(connection: Rows) -> Iterator[None]:
    """Each statement a transaction of its own."""
    connection.autocommit = True
    try:
        yield
    finally:
        connection.autocommit = False


def identifier(name: str) -> sql.Composable:
    """Quote a table name of the schema."""
    return sql.Identifier(SCHEMA, name)
