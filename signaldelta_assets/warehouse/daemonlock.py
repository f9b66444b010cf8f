"""One Dagster daemon per database: an advisory lock held by the process whose child it is, and who holds it.

Two daemons would launch every scheduled run twice. The server drops the lock with the connection of its holder,
however that ended.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.rows import dict_row

from signaldelta_assets.errors import SignalDeltaError

from .postgres import plain_url

# Apart from that of the partitions (`ddl`), which is taken while a daemon runs.
LOCK = 0x5D_0004
# The holder's name on its connection; what follows it says which process, and how many daemons it saw beside its own.
_NAME = "signaldelta daemon"
_DAGSTER = "dagster"


class DaemonRunsError(SignalDeltaError):
    """A daemon that may not start because another one has the lock; says which."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lock: the process in words, since when, and how many other daemons it has seen at work."""

    who: str
    since: datetime
    others: int


def holder(connection: Connection[Any]) -> Holder | None:
    """Return who has the lock of this database, None where nobody has."""
    row = connection.execute(
        "SELECT application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND classid = 0 AND objid = %s AND objsubid = 1 AND granted"
        " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        (LOCK,),
    ).fetchone()
    if row is None:
        return None
    name, since = (row["application_name"], row["backend_start"]) if isinstance(row, dict) else row
    who, _, others = str(name).removeprefix(f"{_NAME} ").partition(" others=")
    return Holder(who, since, int(others or 0))


def heartbeats(connection: Connection[Any], seconds: float) -> dict[str, float]:
    """Return the daemons heard of within so many seconds, and how long ago, by their ids; {} without Dagster's tables.

    Every daemon writes one row per kind of its work over that of the one before it: of two, both are here as long as
    one has not written all rows.
    """
    there = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL AS it", (f"{_DAGSTER}.daemon_heartbeats",)
    ).fetchone()
    if there is None or not (there["it"] if isinstance(there, dict) else there[0]):
        return {}
    rows = connection.execute(
        sql.SQL(
            "SELECT daemon_id, extract(epoch FROM (now() AT TIME ZONE 'UTC') - max(timestamp))::float8 AS ago FROM {}"
            " GROUP BY daemon_id HAVING max(timestamp) > (now() AT TIME ZONE 'UTC') - make_interval(secs => %s)"
        ).format(sql.Identifier(_DAGSTER, "daemon_heartbeats")),
        (seconds,),
    ).fetchall()
    return {r["daemon_id"]: r["ago"] for r in rows} if rows and isinstance(rows[0], dict) else dict(rows)


class DaemonLock:
    """The lock, and what its holder has seen. Not for several threads."""

    def __init__(self, url: str) -> None:
        self._url = plain_url(url)
        self._who = f"{os.getpid()}@{socket.gethostname()[:24]}"
        self._connection: Connection[dict[str, Any]] | None = None

    def take(self) -> None:
        """Take the lock. Raises `DaemonRunsError` where another process has it, `psycopg.Error` without an answer."""
        self.release()
        connection = psycopg.connect(
            self._url, autocommit=True, row_factory=dict_row, connect_timeout=5,
            application_name=f"{_NAME} {self._who}", keepalives_idle=10, keepalives_interval=5, keepalives_count=3,
        )  # fmt: skip
        row = connection.execute("SELECT pg_try_advisory_lock(%s) AS mine", (LOCK,)).fetchone()
        if row is None or not row["mine"]:
            found = holder(connection)
            connection.close()
            who = (
                "another process" if found is None else f"process {found.who} since {found.since:%Y-%m-%d %H:%M:%S} UTC"
            )
            raise DaemonRunsError(f"a daemon runs already: {who} holds the lock; a second would launch every run twice")
        self._connection = connection

    def ids(self) -> frozenset[str]:
        """Return the daemons heard of in the last ten seconds; raises `psycopg.Error` where the lock is lost."""
        assert self._connection is not None
        return frozenset(heartbeats(self._connection, 10.0))

    def tell(self, others: Collection[str]) -> None:
        """Let whoever asks who holds the lock know how many other daemons are at work."""
        assert self._connection is not None
        name = f"{_NAME} {self._who} others={len(others)}" if others else f"{_NAME} {self._who}"
        self._connection.execute("SELECT set_config('application_name', %s, false)", (name,))

    def release(self) -> None:
        """Let go of the lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
