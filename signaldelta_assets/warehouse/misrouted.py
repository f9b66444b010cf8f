"""Writes at the wrong home: refused, kept whole with who sent them, and carried out at the right home, once.

A connection of a pool renders the refused statement with its values as text (psycopg's own client-side rendering), so
that what is delivered is what was meant, whatever the type of its parameters.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import ClientCursor, Connection, Cursor, sql
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction
from psycopg.rows import dict_row

from signaldelta_assets.correlation import correlation_id
from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import new_ulid

from .postgres import plain_url
from .roles import APPLICATION
from .tables import SCHEMA, WRITE_HOMES, Place, metadata, written_at

_TABLES = {str(table.name): str(table.info["group"]) for table in metadata.sorted_tables}
_DENIED = re.compile(r"permission denied for table (\w+)")
# What follows the words that write; only names of the registry count.
_WRITES = re.compile(r"\b(?:into|update|from|copy|truncate|only|table)\s+(?:\"?\w+\"?\.)?\"?(\w+)\"?", re.IGNORECASE)

log = logging.getLogger(__name__)


class WrongHomeError(SignalDeltaError):
    """A write to a table group whose home is another place."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A statement that came to the wrong home, with its values."""

    write_id: str
    place: Place
    group: str
    table: str
    statement: str
    reason: str


def _target(text: str, group: str | None, place: Place, denied: str | None) -> tuple[str, str] | None:
    """Return table and group of a write that belongs to the other home, None where it belongs here or nowhere."""
    named = [denied] if denied else [name for name in _WRITES.findall(text) if name in _TABLES]
    for name in named:
        found = _TABLES.get(name)
        if found is not None and not written_at(found, place):
            return name, found
    # Refused before the table was reached, such as the making of a staging table: the group is known, the table not.
    return ("", group) if group is not None and denied is None else None


class RoutedCursor(Cursor[Any]):
    """A cursor that keeps what is refused because this is not its home."""

    connection: RoutedConnection

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Execute; raises `WrongHomeError` for a write that belongs to the other home."""
        try:
            return super().execute(query, params, **options)
        except (InsufficientPrivilege, ReadOnlySqlTransaction) as error:
            self.connection.refuse(error, [(query, params)])
            raise

    def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
        """Execute for each; raises `WrongHomeError` for writes that belong to the other home."""
        given = list(params_seq)
        try:
            super().executemany(query, given, **options)
        except (InsufficientPrivilege, ReadOnlySqlTransaction) as error:
            self.connection.refuse(error, [(query, params) for params in given])
            raise


class RoutedConnection(Connection[dict[str, Any]]):
    """A connection that knows which place it is at, and holds the write that was refused in its transaction."""

    place: Place = "one"
    refusing: str | None = None
    refused: Refused | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = RoutedCursor

    def refuse(self, error: psycopg.Error, statements: Sequence[tuple[Any, Any]]) -> None:
        """Raise `WrongHomeError` with the write kept on the connection, unless it is refused for another reason."""
        rendering = ClientCursor(self)
        text = ";\n".join(
            rendering.mogrify(query, params) if params is not None else _plain(query, self)
            for query, params in statements
        )
        denied = _DENIED.search(str(error))
        found = _target(text, self.refusing, self.place, denied and denied.group(1))
        if found is not None:
            self._keep(*found, text, str(error).strip(), error)

    def refuse_rows(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Raise `WrongHomeError`, keeping `rows` as one statement that leaves known ones alone."""
        rendering = ClientCursor(self)
        width = "(" + ", ".join(["%s"] * len(columns)) + ")"
        values = ",\n".join(rendering.mogrify(width, list(row)) for row in rows)
        names = ", ".join(columns)
        text = f"INSERT INTO {SCHEMA}.{table} ({names}) VALUES\n{values}\nON CONFLICT DO NOTHING" if values else ""
        self._keep(table, _TABLES[table], text, "rows for a table of the other home", None)

    def _keep(self, table: str, group: str, text: str, reason: str, cause: BaseException | None) -> None:
        self.refused = Refused(new_ulid(), self.place, group, table, text, reason)
        message = (
            f"table group {group!r} is written at {WRITE_HOMES[group]!r}, not at {self.place!r}: the write to "
            f"{table or 'it'} is kept as {self.refused.write_id}; `signaldelta db recover` delivers it"
        )
        raise WrongHomeError(message) from cause


def _plain(query: Any, connection: Connection[Any]) -> str:
    if isinstance(query, sql.Composable):
        return query.as_string(connection)
    return query.decode() if isinstance(query, bytes) else str(query)


def keep(connection: Connection[Any], refused: Refused) -> None:
    """Store a refused write at the place that refused it, and log it as the anomaly that it is."""
    log.error(
        "write at the wrong home: table %s of group %s at %s, correlation id %s, kept as %s",
        refused.table, refused.group, refused.place, correlation_id(), refused.write_id,
    )  # fmt: skip
    connection.execute(
        "INSERT INTO misrouted_writes (write_id, place, table_group, home, table_name, statement, correlation_id,"
        " reason) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (refused.write_id, refused.place, refused.group, WRITE_HOMES[refused.group], refused.table,
         refused.statement, correlation_id(), refused.reason),
    )  # fmt: skip


def waiting(connection: Connection[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the refused writes that have not been delivered, oldest first."""
    return connection.execute(
        "SELECT * FROM misrouted_writes WHERE delivered_at IS NULL ORDER BY refused_at, write_id"
    ).fetchall()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a refused write: delivered now, known there already, or why not."""

    write_id: str
    table: str
    outcome: str
    error: str | None = None


@contextmanager
def _at(url: str) -> Iterator[Connection[dict[str, Any]]]:
    options = f"-c search_path={SCHEMA},public -c timezone=UTC -c role={APPLICATION}"
    with psycopg.connect(plain_url(url), row_factory=dict_row, options=options, connect_timeout=10) as connection:
        yield connection


def recover(url: str, peer_url: str, place: Place) -> list[Delivery]:
    """Deliver what the process at `place` (`url`) was refused to its home, oldest first; return what became of each.

    Each is carried out in one transaction with the note that it was: asked again, or after a crash in between, none is
    carried out twice. One that fails there stays in the queue with the error, and the next are tried.
    """
    found = []
    with _at(url) as here:
        queue = waiting(here)
    for row in queue:
        outcome, error = _deliver(url if row["home"] in (place, "each") else peer_url, row)
        with _at(url) as here:
            here.execute(
                "UPDATE misrouted_writes SET attempts = attempts + 1, last_error = %s,"
                " delivered_at = CASE WHEN %s::text IS NULL THEN clock_timestamp() END"
                " WHERE write_id = %s AND delivered_at IS NULL",
                (error, error, row["write_id"]),
            )
        found.append(Delivery(row["write_id"], row["table_name"], outcome, error))
    return found


def _deliver(home_url: str, row: dict[str, Any]) -> tuple[str, str | None]:
    try:
        with _at(home_url) as there:
            noted = there.execute(
                "INSERT INTO delivered_writes (write_id, from_place) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (row["write_id"], row["place"]),
            )
            if not noted.rowcount:
                return "known", None
            there.execute(row["statement"])
    except psycopg.Error as error:
        return "failed", f"{type(error).__name__}: {error}".strip()
    return "delivered", None
