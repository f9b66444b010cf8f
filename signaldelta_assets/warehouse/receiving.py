"""What a reader has of what its peer wrote: how far behind it is, whether it has all, whether both are equal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection

from .copying import ReplicationError, Rows
from .fingerprint import Fingerprint, fingerprints
from .replication import HOMES, HomePlace, Told, name_of, opened, tables_of
from .tables import GROUPS, SCHEMA, Place, metadata, other_place, replicated_groups


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the reader of a group is behind its home.

    `seconds`: since when it has not had something that its home had written, by the home's clock alone; None where
    that home does not answer. `trouble`: what is wrong in words, None where nothing is.
    """

    group: str
    home: HomePlace
    limit_seconds: float
    bytes: int | None
    seconds: float | None
    state: str
    trouble: str | None


_LAG = f"""
SELECT s.slot_name, s.active, s.wal_status,
       pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::bigint AS bytes,
       coalesce((SELECT extract(epoch FROM clock_timestamp() - min(p.at))::float8
                 FROM {SCHEMA}.replication_positions p WHERE p.lsn > s.confirmed_flush_lsn), 0) AS seconds,
       extract(epoch FROM clock_timestamp() - (to_jsonb(s)->>'inactive_since')::timestamptz)::float8 AS away
FROM pg_replication_slots s
WHERE s.database = current_database() AND s.slot_type = 'logical'
"""
# What is written in between two marks and not received is as old as the next mark at least.
_MARK = f"""
INSERT INTO {SCHEMA}.replication_positions (at, lsn)
SELECT clock_timestamp(), pg_current_wal_insert_lsn()
WHERE NOT EXISTS (SELECT FROM {SCHEMA}.replication_positions WHERE at > clock_timestamp() - interval '1 second')
ON CONFLICT DO NOTHING
"""


def mark(connection: Connection[Any]) -> None:
    """Note how far this home's log is now, at most once a second. Whoever asks for the lag does, and the watch."""
    connection.execute(_MARK)


def lag_of_home(connection: Rows, home: HomePlace) -> list[Lag]:
    """Return how far the other place is behind in each group of `home`, asked at that home. Marks the position."""
    slots = {row["slot_name"]: row for row in connection.execute(_LAG)}
    mark(connection)
    return [_lag(group, home, slots.get(name_of(group))) for group in replicated_groups(home) if tables_of(group)]


def _lag(group: str, home: HomePlace, slot: Mapping[str, Any] | None) -> Lag:
    limit = GROUPS[group].lag_seconds or 0.0
    if slot is None:
        return Lag(group, home, limit, None, None, "missing", f"{group}: {other_place(home)} does not subscribe to it")
    if slot["wal_status"] == "lost":
        words = f"{group}: {other_place(home)} stayed away too long; run `signaldelta db resync {group}`"
        return Lag(group, home, limit, slot["bytes"], None, "lost", words)
    seconds = float(slot["seconds"])
    if not slot["active"] and slot["away"] is not None:
        # Gone, and unconfirmed since before anybody marked a position.
        seconds = max(seconds, float(slot["away"])) if slot["bytes"] else seconds
    state = "streaming" if slot["active"] else "disconnected"
    trouble = None
    if seconds > limit:
        behind = f"{seconds:.0f} s and {slot['bytes']:,} bytes behind, allowed {limit:.0f} s"
        trouble = f"{group}: {other_place(home)} is {behind}"
    elif not slot["active"]:
        trouble = f"{group}: {other_place(home)} is not connected to {home}"
    return Lag(group, home, limit, slot["bytes"], seconds, state, trouble)


_RECEIVED = """
SELECT s.subname, s.subenabled, w.pid IS NOT NULL AS working,
       extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time)::float8 AS silent,
       coalesce(e.apply_error_count, 0) + coalesce(e.sync_error_count, 0) AS errors,
       (SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srsubstate <> 'r') AS copying
FROM pg_subscription s
LEFT JOIN pg_stat_subscription w ON w.subid = s.oid AND w.worker_type = 'apply'
LEFT JOIN pg_stat_subscription_stats e ON e.subid = s.oid
WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def received(connection: Rows) -> list[dict[str, Any]]:
    """Return how each subscription of this place is: subname, subenabled, working, silent seconds, errors, copying."""
    return connection.execute(_RECEIVED).fetchall()


def unknown_lags(home: HomePlace, why: str) -> list[Lag]:
    """Return the lags of a home that does not answer."""
    words = why.strip().splitlines()[0]
    return [
        Lag(group, home, GROUPS[group].lag_seconds or 0.0, None, None, "unknown",
            f"{group}: {home} does not answer: {words}")
        for group in replicated_groups(home) if tables_of(group)
    ]  # fmt: skip


def lag(urls: Mapping[Place, str]) -> list[Lag]:
    """Return the lag of every group, asked at both homes; a home that does not answer gives unknown lags."""
    found = []
    for place in HOMES:
        try:
            with opened(urls[place]) as connection:
                found += lag_of_home(connection, place)
        except psycopg.OperationalError as error:
            found += unknown_lags(place, str(error))
    return found


def wait_until_received(urls: Mapping[Place, str], seconds: float = 60.0) -> None:
    """Wait until both places have what the other had written when this was called. Raises `ReplicationError`."""
    deadline = time.monotonic() + seconds
    for place in HOMES:
        with opened(urls[place]) as connection:
            now = connection.execute("SELECT pg_current_wal_insert_lsn() AS lsn").fetchone()
            assert now is not None
            # Something of ours after that position, so that readers are sent on past it.
            connection.execute("SELECT pg_logical_emit_message(true, 'signaldelta', 'wait')")
            while True:
                behind = [
                    row["slot_name"]
                    for row in connection.execute(
                        "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
                        " AND slot_type = 'logical' AND confirmed_flush_lsn < %s",
                        (now["lsn"],),
                    )
                ]
                if not behind:
                    break
                if time.monotonic() > deadline:
                    raise ReplicationError(f"{place}: not received within {seconds:.0f} s: {', '.join(sorted(behind))}")
                time.sleep(0.1)
    for place in HOMES:
        with opened(urls[place]) as connection:
            while any(row["copying"] for row in received(connection)):
                if time.monotonic() > deadline:
                    raise ReplicationError(f"{place}: the first copy did not end within {seconds:.0f} s")
                time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Compared:
    """One table at both homes."""

    table: str
    group: str
    aws: Fingerprint
    offsite: Fingerprint

    @property
    def equal(self) -> bool:
        """Whether both have the same rows, byte for byte."""
        return self.aws == self.offsite


def compare(urls: Mapping[Place, str], told: Told | None = None) -> list[Compared]:
    """Return every replicated table's fingerprint at both homes. While a group is written they may differ."""
    found: dict[Place, dict[str, Fingerprint]] = {}

    def at(place: Place) -> dict[str, Fingerprint]:
        def say(table: str) -> None:
            if told is not None:
                told(f"{place} {table}")

        with opened(urls[place]) as connection:
            return fingerprints(connection, progress=say)

    for place in HOMES:
        found[place] = at(place)
    return [
        Compared(name, table.info["group"], found["aws"][name], found["offsite"][name])
        for table in metadata.sorted_tables
        if table.info["home"] != "each" and (name := str(table.name))
    ]
