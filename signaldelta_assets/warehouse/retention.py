"""What is past its time goes, unless something that stays rests on it: rows, whole partitions, archived bodies.

The owner's work: the application has no right to remove what is frozen. Nothing here decides how long anything stays:
that is the registry's `Keep`, or the settings'.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from psycopg import OperationalError, sql
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Date, Table
from sqlalchemy.dialects.postgresql import ARRAY

from signaldelta_assets.errors import SignalDeltaError

from .artifacts import ArtifactStore
from .ddl import PARTITIONS_LOCK
from .partitions import Partition, Rows, owner, partitions
from .pools import identifier
from .tables import SCHEMA, Keep, Place, metadata, written_at

BATCH_ROWS = 10_000
# A body nobody has received for this long, and that no row names: the batch that brought it was never written.
UNWANTED_DAYS = 7
_LOCK_SECONDS = 5
_TRIES = 5

log = logging.getLogger(__name__)


class RetentionError(SignalDeltaError):
    """Rows that cannot be removed as asked; says of which table, and why."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be: rows of a table, and of which partition; `size_bytes` of what went whole.

    `why` says by which rule. `table` is `archive` for files, `rows` then how many.
    """

    table: str
    rows: int
    why: str
    partition: str | None = None
    size_bytes: int = 0
    place: str = "here"


class RetentionSettings(Protocol):
    """What is asked of the settings."""

    @property
    def keep_days(self) -> Mapping[str, int | None]:
        """Days by table."""


def keeps(settings: RetentionSettings) -> dict[str, Keep]:
    """Return how long rows of every table stay: as registered, unless the settings say otherwise.

    Bodies stay as long as the records read from them where only those are named. Raises `RetentionError` for a table
    that nobody registered, or whose rows have no clock to reckon by.
    """
    given = dict(settings.keep_days)
    if "raw_records" in given:
        given.setdefault("raw_documents", given["raw_records"])
    found = {str(table.name): table.info["keep"] for table in metadata.sorted_tables}
    for name, days in given.items():
        if name not in found:
            raise RetentionError(f"keep_days: {name!r} is not a table of the registry")
        if found[name].clock is None:
            raise RetentionError(f"keep_days: {name}: its rows stay for ever, they have no clock to reckon by")
        found[name] = replace(found[name], days=days)
    return found


# --- what refers to what ----------------------------------------------------------------------------------------

# Columns of any table that hold keys of another, beside its foreign keys: by name, in whichever table they stand.
_BY_NAME = {"raw_record_ids": ("raw_records", "raw_record_id"), "body_hash": ("raw_documents", "body_hash"),
            "snapshot_id": ("backtest_snapshots", "snapshot_id"), "run_id": ("backtest_runs", "run_id"),
            "llm_output_hashes": ("llm_outputs", "output_hash"), "dataset_id": ("labeled_event_datasets", "dataset_id"),
            "label_id": ("labeled_events", "label_id")}  # fmt: skip


def references(table: Table) -> list[tuple[str, str, str, bool]]:
    """Return what in other tables may rest on a row of this one: (table, column, column of this one, whether a list).

    A snapshot, a dataset and a run rest on events and labels, which rest on records by `raw_record_ids`, and these on
    bodies. Every stored event and label counts, whatever refers to it: they stay for ever, and are explained by their
    records.
    """
    found = set()
    for other in metadata.sorted_tables:
        for column in other.columns:
            for key in column.foreign_keys:
                if key.column.table is table:
                    found.add((str(other.name), str(column.name), str(key.column.name), False))
            parent = other.info["parents"].get(column.name)
            if parent is not None and parent.table is table:
                found.add((str(other.name), str(column.name), str(parent.name), False))
            named = _BY_NAME.get(column.name)
            if named is not None and named[0] == table.name and other is not table:
                found.add((str(other.name), str(column.name), named[1], isinstance(column.type, ARRAY)))
    return sorted(found)


def _resting(table: Table) -> list[sql.Composable]:
    """Return the conditions on a row `r` of the table that something rests on it, one for each of `references`."""
    # Each a join with the whole of the other table, never a look at it for every row.
    return [
        sql.SQL("EXISTS (SELECT FROM (SELECT {} AS key FROM {}) AS resting WHERE resting.key = r.{})").format(
            sql.SQL("unnest({})" if many else "{}").format(sql.Identifier(column)),
            identifier(other),
            sql.Identifier(key),
        )
        for other, column, key, many in references(table)
    ]


def _held(connection: Rows, table: Table, name: str) -> bool:
    """Say whether anything rests on any row of the table or partition `name`."""
    return any(
        _one(
            connection,
            sql.SQL("SELECT EXISTS (SELECT FROM {} r WHERE {}) AS held").format(identifier(name), one),
            "held",
        )
        for one in _resting(table)
    )


# --- rows -------------------------------------------------------------------------------------------------------


def prune(
    url: str,
    now: datetime,
    *,
    dry_run: bool = False,
    place: Place = "one",
    peer_url: str | None = None,
    keep: Mapping[str, Keep] | None = None,
    archive: ArtifactStore | None = None,
) -> list[Pruned]:
    """Remove what is past its time at `now` from the tables whose home the database at `url` is; return what went.

    `keep`: how long what stays (`keeps`), the registry's where none is given. A partition goes whole once its last
    day is past its time and nothing rests on a row of it; rows on which something rests stay, and the others around
    them are deleted. What is deleted is replicated; partitions that went here are dropped at `peer_url` too, now or,
    should it not answer, by the next call. With `archive`, bodies without a row go as well. `dry_run` changes nothing.
    Asked again it finds nothing more to do. Raises `RetentionError` where a table is never free to be worked on.
    """
    rules = keep or {str(table.name): table.info["keep"] for table in metadata.sorted_tables}
    found: list[Pruned] = []
    with owner(url) as connection, _alone(connection):
        # Those first that refer to others: what they alone rested on may go with them. Bodies last.
        tables = metadata.sorted_tables[::-1]
        for table in sorted(tables, key=lambda table: table.name == "raw_documents"):
            rule = rules[str(table.name)]
            if rule.days is None or rule.clock is None or not written_at(table.info["group"], place):
                continue
            limit = now.astimezone(UTC) - timedelta(days=rule.days)
            if table.info["split"] is not None:
                found += _prune_partitions(connection, table, rule, limit, dry_run)
            else:
                found += _prune_rows(connection, table, str(table.name), rule, limit, dry_run)
        if archive is not None and rules["raw_documents"].days is not None and written_at("collection", place):
            found += _prune_files(connection, archive, now, dry_run)
        if peer_url is not None:
            try:
                found += _prune_copies(connection, peer_url, place, rules, now, dry_run)
            except OperationalError as error:
                log.warning("the other home keeps partitions that went here until it answers: %s", error)
    for one in found:
        log.info("%s %s", "would prune" if dry_run else "pruned", one)
    return found


@contextmanager
def _alone(connection: Rows) -> Iterator[None]:
    row = connection.execute("SELECT pg_try_advisory_lock(%s) AS mine", (PARTITIONS_LOCK,)).fetchone()
    if row is None or not row["mine"]:
        raise RetentionError("partitions are being made, moved or dropped by another process; try again later")
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (PARTITIONS_LOCK,))


def _why(rule: Keep, limit: datetime) -> str:
    return f"{rule.clock} before {limit:%Y-%m-%d}: kept {rule.days} days"


def _one(connection: Rows, statement: sql.Composed, column: str) -> Any:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row[column]


def _past(table: Table, rule: Keep, limit: datetime) -> sql.Composable:
    clock = table.columns[str(rule.clock)]
    moment: datetime | date = limit.date() if isinstance(clock.type, Date) else limit
    return sql.SQL("r.{} < {}").format(sql.Identifier(str(rule.clock)), sql.Literal(moment))


def _past_period(partition: Partition, limit: datetime) -> bool:
    return partition.stop is not None and partition.stop <= limit.date()


def _prune_partitions(connection: Rows, table: Table, rule: Keep, limit: datetime, dry_run: bool) -> list[Pruned]:
    found: list[Pruned] = []
    for partition in partitions(connection, str(table.name)):
        if _past_period(partition, limit):
            if not _held(connection, table, partition.name):
                rows = _rows(connection, partition.name)
                if dry_run or _drop(connection, table, partition.name):
                    why = _why(rule, limit)
                    found.append(Pruned(str(table.name), rows, why, partition.name, partition.size_bytes))
                    continue
        elif partition.start is not None:
            # A period goes when its last day is past.
            continue
        found += _prune_rows(connection, table, partition.name, rule, limit, dry_run)
    return found


def _rows(connection: Rows, name: str) -> int:
    return int(_one(connection, sql.SQL("SELECT count(*) AS n FROM {}").format(identifier(name)), "n"))


def _locked(connection: Rows, table: Table) -> None:
    """Wait for writers of whatever may rest on rows of the table, and let none begin before this transaction ends."""
    connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
    for other in sorted({other for other, *_ in references(table)}):
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(identifier(other)))


def _drop(connection: Rows, table: Table, name: str) -> bool:
    """Drop a partition; return False where something has come to rest on a row of it meanwhile."""
    for attempt in range(_TRIES):
        try:
            with connection.transaction():
                _locked(connection, table)
                if _held(connection, table, name):
                    return False
                # The table first, as every reader does.
                connection.execute(
                    sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(identifier(str(table.name)))
                )
                connection.execute(sql.SQL("DROP TABLE {}").format(identifier(name)))
            return True
        except (LockNotAvailable, DeadlockDetected):
            time.sleep(0.5 * (attempt + 1))
    raise RetentionError(f"{name}: its table was in use whenever the partition was to be dropped")


def _prune_rows(connection: Rows, table: Table, name: str, rule: Keep, limit: datetime, dry_run: bool) -> list[Pruned]:
    """Delete the rows of one table or partition, in batches, each a transaction of its own."""
    free = [sql.SQL("NOT {}").format(resting) for resting in _resting(table)]
    condition = sql.SQL(" AND ").join([_past(table, rule, limit), *free])
    whole = name == table.name
    counted = sql.SQL("SELECT count(*) AS n FROM {} r WHERE {}").format(identifier(name), condition)
    rows = int(_one(connection, counted, "n"))
    if not rows:
        return []
    found = [Pruned(str(table.name), rows, _why(rule, limit), None if whole else name)]
    if dry_run:
        return found
    gone = 0
    while batch := _delete_batch(connection, table, name, condition):
        gone += batch
    if not whole:
        left = _rows(connection, name)
        # Nothing is written there any more that could use the room: PostgreSQL writes what is left anew.
        full = "FULL, " if gone > left else ""
        connection.execute(sql.SQL(f"VACUUM ({full}ANALYZE) {{}}").format(identifier(name)))
    return [replace(found[0], rows=gone)]


def _delete_batch(connection: Rows, table: Table, name: str, condition: sql.Composable) -> int:
    for attempt in range(_TRIES):
        try:
            with connection.transaction():
                _locked(connection, table)
                if table.info["frozen"]:
                    # For this transaction, of the owner: nobody else can change a row while they are off.
                    connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(identifier(name)))
                deleted = connection.execute(
                    sql.SQL(
                        "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT r.ctid FROM {table} r WHERE {} LIMIT {}))"
                    ).format(condition, sql.Literal(BATCH_ROWS), table=identifier(name))
                ).rowcount
                if table.info["frozen"]:
                    connection.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(identifier(name)))
            return deleted
        except (LockNotAvailable, DeadlockDetected):
            time.sleep(0.5 * (attempt + 1))
    raise RetentionError(f"{name}: the table was in use whenever rows were to be deleted")


# --- the other home, and files ----------------------------------------------------------------------------------


def _prune_copies(
    connection: Rows, peer_url: str, place: Place, rules: Mapping[str, Keep], now: datetime, dry_run: bool
) -> list[Pruned]:
    """Drop at the other home the partitions past their time that this one, where the rows are written, has not."""
    found: list[Pruned] = []
    with owner(peer_url) as peer, _alone(peer):
        for table in metadata.sorted_tables:
            rule = rules[str(table.name)]
            if table.info["split"] is None or rule.days is None:
                continue
            if not written_at(table.info["group"], place):
                continue
            limit = now.astimezone(UTC) - timedelta(days=rule.days)
            here = {partition.name for partition in partitions(connection, str(table.name))}
            for partition in partitions(peer, str(table.name)):
                if partition.name in here or not _past_period(partition, limit):
                    continue
                if _has_rows_of(connection, table, partition):
                    # In DEFAULT there, until they are moved.
                    continue
                rows = _rows(peer, partition.name)
                if dry_run or _drop(peer, table, partition.name):
                    one = Pruned(str(table.name), rows, _why(rule, limit), partition.name, partition.size_bytes)
                    found.append(replace(one, place="the other home"))
    return found


def _has_rows_of(connection: Rows, table: Table, partition: Partition) -> bool:
    """Say whether a table has rows of the period of another home's partition."""
    key = sql.Identifier(table.info["split"].key)
    cast = sql.SQL("" if table.info["split"].day else "::timestamptz")
    asked = sql.SQL(
        "SELECT EXISTS (SELECT FROM {} r, {}.partition_periods({}, {}, {}) p WHERE r.{key} >= p.lower{cast}"
        " AND r.{key} < p.upper{cast}) AS there"
    ).format(
        identifier(str(table.name)), sql.Identifier(SCHEMA), sql.Literal(str(table.name)),
        sql.Literal(partition.start), sql.Literal(partition.start), key=key, cast=cast,
    )  # fmt: skip
    return bool(_one(connection, asked, "there"))


def _bodies_named(connection: Rows, names: Sequence[str]) -> set[str]:
    """Return those of the names that a row of any table names as a body."""
    tables = [str(table.name) for table in metadata.sorted_tables if any(c.name == "body_hash" for c in table.columns)]
    parts = [
        sql.SQL("SELECT body_hash FROM {} WHERE body_hash = ANY(%(names)s)").format(identifier(name)) for name in tables
    ]
    rows = connection.execute(sql.SQL(" UNION ").join(parts), {"names": list(names)})
    return {row["body_hash"] for row in rows}


def _prune_files(connection: Rows, archive: ArtifactStore, now: datetime, dry_run: bool) -> list[Pruned]:
    since = (now - timedelta(days=UNWANTED_DAYS)).timestamp()
    files = size = 0
    names = archive.names()
    while batch := [name for name, _ in zip(names, range(BATCH_ROWS), strict=False)]:
        for name in sorted(set(batch) - _bodies_named(connection, batch)):
            path = archive.path(name)
            if dry_run:
                old = path.is_file() and path.stat().st_mtime < since
                removed = path.stat().st_size if old else None
            else:
                removed = archive.remove(name, unwanted_since=since)
            if removed is not None:
                files, size = files + 1, size + removed
    why = f"no row names them, and nobody has received them for {UNWANTED_DAYS} days"
    return [Pruned("archive", files, why, size_bytes=size)] if files else []
