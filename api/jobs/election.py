"""One dispatcher over all processes of the API: whoever holds an advisory lock at the home of the jobs.

The server drops the lock with its holder's connection, however that ended, and the next to ask has it.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import psycopg
from psycopg import Connection

from signaldelta_assets.warehouse import Warehouse, other_place
from signaldelta_assets.warehouse.stores.jobs import GROUP
from signaldelta_assets.warehouse.tables import WRITE_HOMES, written_at

# The others are in `warehouse`: writers, migrations, partitions, the daemon.
LOCK = 0x5D_0005


def home_url(warehouse: Warehouse) -> str | None:
    """Return where jobs are written; None where this process cannot reach that home, and dispatches nothing."""
    if written_at(GROUP, warehouse.place):
        return warehouse.url
    return warehouse.peer_url if WRITE_HOMES[GROUP] == other_place(warehouse.place) else None


class Election:
    """The lock, held by a connection of its own. Not for several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection[Any] | None = None

    def won(self) -> bool:
        """Whether this process is the one now: asks for the lock, or whether it still is there.

        Raises `psycopg.Error` where the home does not answer; the lock is lost then.
        """
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._url, autocommit=True, connect_timeout=5,
                    application_name=f"signaldelta jobs {os.getpid()}@{socket.gethostname()[:24]}",
                    options="-c statement_timeout=5000",
                    keepalives_idle=10, keepalives_interval=5, keepalives_count=3,
                )  # fmt: skip
                row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
                if row is None or not row[0]:
                    self.resign()
                    return False
                return True
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            self.resign()
            raise
        return True

    def resign(self) -> None:
        """Let go of the lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
