"""What an operator has to know now: both homes, replication, refused writes, collectors, Dagster, connections.

`look` asks and decides; `note` keeps what is wrong as alerts that open and close. Nothing here repairs anything. Every
question has a short timeout and a place that does not answer is itself the answer.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import Connection, sql
from psycopg.rows import dict_row

from signaldelta_assets.versioning import canonical_json, new_ulid

from . import daemonlock, misrouted, receiving, replication
from .disk import disk_usage, server_directory
from .migrations import head_revision
from .postgres import plain_url
from .receiving import Lag
from .stores import alerts, health
from .tables import SCHEMA, Place, written_at

Rows = Connection[dict[str, Any]]
Severity = Literal["warning", "critical"]

# A clock that is off by more than this at either home is told; nothing is ordered by comparing the two.
SKEW_SECONDS = 5.0
# Of the server's connections, beyond which an operator may soon not get one.
CONNECTIONS_FRACTION = 0.8
# Dagster's daemon says that it lives every 30 seconds.
DAEMON_SILENT_SECONDS = 50.0
# How long a failed or a restarted thing is news.
RECENT_SECONDS = 900.0
_ASK_SECONDS = 5
# All that is asked of one home, with the way there and back.
_HOME_SECONDS = 7.0
_DAGSTER = "dagster"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong: of which kind, with what, how badly, in words, and figures."""

    kind: str
    subject: str
    severity: Severity
    words: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """What a look found: what is wrong, and the lags and versions behind it."""

    place: Place
    troubles: list[Trouble]
    lags: list[Lag]
    versions: dict[Place, str | None]
    answered_in_seconds: float

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "place": self.place,
            "ok": not self.troubles,
            "troubles": [asdict(trouble) for trouble in self.troubles],
            "replication": [asdict(lag) for lag in self.lags],
            "schema_versions": self.versions,
            "answered_in_seconds": round(self.answered_in_seconds, 3),
        }


# Asked of the own home beside all else.
Question = Callable[[Rows], Iterable[Trouble]]


@contextmanager
def asking(url: str) -> Iterator[Rows]:
    """A connection that gives an error after a few seconds, whatever stands between here and the server."""
    options = f"-c search_path={SCHEMA},public -c timezone=UTC -c statement_timeout={_ASK_SECONDS * 1000}"
    with psycopg.connect(
        plain_url(url), row_factory=dict_row, autocommit=True, connect_timeout=3, options=options,
        application_name="signaldelta watch",
    ) as connection:  # fmt: skip
        # A server that was stopped, or a network that swallows what it is given, keeps no timeout of its own.
        cut = threading.Timer(_HOME_SECONDS, _cut, (connection.fileno(),))
        cut.daemon = True
        cut.start()
        try:
            yield connection
        finally:
            cut.cancel()


def _cut(descriptor: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as held:
        held.shutdown(socket.SHUT_RDWR)


def look(urls: Mapping[Place, str], place: Place, *, more: Sequence[Question] = ()) -> View:
    """Ask every home in `urls`, the own one at `place`, how it is.

    `more`: further questions for the own home's connection, such as how full its disks are.
    """
    began = time.monotonic()
    troubles: list[Trouble] = []
    versions: dict[Place, str | None] = {}
    clocks: dict[Place, float] = {}
    lags: list[Lag] = []
    expected = head_revision()
    for home, url in urls.items():
        try:
            with asking(url) as connection:
                versions[home] = _version(connection)
                clocks[home] = _clock_offset(connection)
                troubles += _server(connection, home)
                if versions[home] == expected:
                    troubles += _refused(connection, home)
                    troubles += _restarted(connection)
                    if len(urls) == 2 and home != "one":
                        lags += receiving.lag_of_home(connection, home)
                    # Asked where collectors write: how long ago a run was heard of is by one clock alone.
                    if written_at("collection", home):
                        troubles += _collectors(connection)
                    if written_at("users", home):
                        troubles += _dead_letters(connection)
                    if home == place:
                        troubles += _dagster(connection)
                        troubles += _untold(connection)
                        for question in more:
                            troubles += question(connection)
        except psycopg.Error as error:
            versions[home] = None
            lags = [lag for lag in lags if lag.home != home]
            lags += receiving.unknown_lags(home, str(error)) if len(urls) == 2 and home != "one" else []
            words = str(error).strip().splitlines()[0]
            troubles.append(Trouble("home_down", home, "critical", f"{home}: the database does not answer: {words}"))
    troubles += _versions(versions, expected)
    if len(clocks) == 2:
        troubles += _skew(clocks)
    down = {trouble.subject for trouble in troubles if trouble.kind == "home_down"}
    troubles += [
        Trouble("replication", lag.group, "critical", f"replication of {lag.trouble}", asdict(lag))
        for lag in lags
        if lag.trouble is not None
    ]
    if down:
        # One cause is told once: what reads from a home that is down, or writes to it, stands still with it.
        troubles = [trouble for trouble in troubles if trouble.kind not in ("replication", "subscription")]
    return View(place, troubles, lags, versions, time.monotonic() - began)


def _versions(versions: Mapping[Place, str | None], expected: str) -> list[Trouble]:
    found = {home: version for home, version in versions.items() if version is not None}
    return [
        Trouble(
            "schema_version", home, "critical",
            f"{home}: schema version: expected {expected}, found {version}; run `signaldelta db migrate`",
        )
        for home, version in found.items()
        if version != expected
    ]  # fmt: skip


def _version(connection: Rows) -> str:
    """Return the migration a home stands at, `empty` for none."""
    there = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL AS it").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if there and there["it"] else None
    return "empty" if row is None else str(row["version_num"])


def _clock_offset(connection: Rows) -> float:
    """Return by how many seconds a server's clock is ahead of this process's."""
    before = time.time()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8 AS now").fetchone()
    assert row is not None
    return float(row["now"]) - (before + time.time()) / 2


def _skew(clocks: Mapping[Place, float]) -> list[Trouble]:
    (one, first), (two, second) = clocks.items()
    apart = abs(first - second)
    if apart <= SKEW_SECONDS:
        return []
    words = f"the clocks of {one} and {two} are {apart:.1f} s apart, allowed {SKEW_SECONDS:.0f} s"
    return [Trouble("clock_skew", f"{one},{two}", "warning", words, {"seconds": apart})]


def _server(connection: Rows, home: Place) -> list[Trouble]:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,"
        " current_setting('max_connections')::int AS most,"
        " extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8 AS up,"
        " pg_postmaster_start_time() AS started, failed_count, last_failed_wal,"
        " coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS archiving_fails"
        " FROM pg_stat_archiver"
    ).fetchone()
    assert row is not None
    found = []
    if row["used"] > CONNECTIONS_FRACTION * row["most"]:
        words = f"{home}: {row['used']} of {row['most']} connections are in use"
        found.append(Trouble("connections", home, "warning", words))
    if row["archiving_fails"]:
        words = f"{home}: the log cannot be archived: {row['last_failed_wal']} failed {row['failed_count']} times"
        found.append(Trouble("archiving", home, "critical", words))
    for group, tables in replication.unread_tables(connection).items():
        if tables:
            words = f"{home} does not receive {', '.join(tables)} of {group}: run `signaldelta db pair`"
            found.append(Trouble("subscription", f"{group} tables", "critical", words))
    for subscription in receiving.received(connection):
        if not subscription["subenabled"]:
            words = f"{home}: {subscription['subname']} is disabled; run `signaldelta db pair`"
            found.append(Trouble("subscription", subscription["subname"], "critical", words))
        elif subscription["copying"] and subscription["errors"]:
            group = subscription["subname"].removeprefix("signaldelta_")
            words = (
                f"{home}: the first copy of {subscription['copying']} tables of {group} does not get on, it failed "
                f"{subscription['errors']} times; run `signaldelta db resync {group}`"
            )
            found.append(Trouble("subscription", subscription["subname"], "critical", words))
        elif not subscription["working"] and subscription["errors"]:
            words = f"{home}: {subscription['subname']} failed {subscription['errors']} times; see the server's log"
            found.append(Trouble("subscription", subscription["subname"], "critical", words))
    return found


def restarted(connection: Connection[Any], home: Place, words: str) -> None:
    """Note that a server had died and was started again: told for `RECENT_SECONDS`, kept as an alert."""
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (alert_id, kind, subject, severity, words) VALUES (%s, 'restarted', %s, 'warning', %s)"
            " ON CONFLICT (kind, subject) WHERE closed_at IS NULL"
            " DO UPDATE SET words = excluded.words, opened_at = clock_timestamp()"
        ).format(sql.Identifier(SCHEMA, "operator_alerts")),
        (new_ulid(), home, words),
    )


def _restarted(connection: Rows) -> list[Trouble]:
    rows = connection.execute(
        "SELECT subject, words FROM operator_alerts WHERE kind = 'restarted' AND closed_at IS NULL"
        " AND opened_at > clock_timestamp() - make_interval(secs => %s)",
        (RECENT_SECONDS,),
    )
    return [Trouble("restarted", row["subject"], "warning", row["words"]) for row in rows]


def _refused(connection: Rows, home: Place) -> list[Trouble]:
    waiting = misrouted.waiting(connection)
    if not waiting:
        return []
    oldest = waiting[0]
    words = (
        f"{home}: {len(waiting)} writes came to the wrong home, the first to {oldest['table_name']} at "
        f"{oldest['refused_at']:%Y-%m-%d %H:%M:%S} UTC; run `signaldelta db recover`"
    )
    return [Trouble("misrouted", home, "critical", words, {"write_ids": [row["write_id"] for row in waiting[:20]]})]


def _dead_letters(connection: Rows) -> list[Trouble]:
    """Work that failed for good, where there is a table of it."""
    there = connection.execute("SELECT to_regclass('dead_letters') IS NOT NULL AS it").fetchone()
    if there is None or not there["it"]:
        return []
    row = connection.execute(
        "SELECT count(*) AS n, max(died_at) AS newest, (array_agg(what ORDER BY died_at DESC))[1] AS what"
        " FROM dead_letters WHERE retried_at IS NULL"
    ).fetchone()
    if row is None or not row["n"]:
        return []
    words = (
        f"{row['n']} pieces of work failed for good, the last {row['what']} at {row['newest']:%Y-%m-%d %H:%M:%S} UTC"
    )
    return [Trouble("dead_letters", "dead_letters", "warning", f"{words}; run `signaldelta jobs dead`")]


def _untold(connection: Rows) -> list[Trouble]:
    """Webhooks that take no alerts: told here, and to the other webhooks."""
    return [
        Trouble(
            "alerts", row["channel"], "warning",
            f"{row['messages']} messages of alerts are not taken by {row['channel']}, after {row['attempts']} tries: "
            f"{row['last_error']}",
        )
        for row in alerts.failing(connection)
    ]  # fmt: skip


def _collectors(connection: Rows) -> list[Trouble]:
    return [
        Trouble("collector", row["collector"], "critical", f"collector {row['collector']}: {trouble}")
        for row in health.collector_health(connection)
        for trouble in health.troubles(row)
    ]


def _dagster(connection: Rows) -> list[Trouble]:
    """Runs that failed lately and were not made good, and a daemon that has stopped saying that it lives."""
    there = connection.execute("SELECT to_regclass('dagster.daemon_heartbeats') IS NOT NULL AS it").fetchone()
    if there is None or not there["it"]:
        return []
    found = _daemons(connection)
    rows = connection.execute(
        sql.SQL(
            "SELECT run_id, pipeline_name AS job, to_timestamp(end_time) AS ended FROM {} r"
            " WHERE status = 'FAILURE' AND end_time > extract(epoch FROM clock_timestamp()) - %s"
            " AND NOT EXISTS (SELECT FROM {} later JOIN {} t ON t.run_id = later.run_id"
            "   AND t.key = 'dagster/parent_run_id' AND t.value = r.run_id WHERE later.status = 'SUCCESS')"
            " ORDER BY end_time"
        ).format(
            sql.Identifier(_DAGSTER, "runs"), sql.Identifier(_DAGSTER, "runs"), sql.Identifier(_DAGSTER, "run_tags")
        ),
        (RECENT_SECONDS,),
    ).fetchall()
    found += [
        Trouble(
            "run", row["run_id"], "warning", f"run {row['run_id']} ({row['job']}) failed at {row['ended']:%H:%M:%S} UTC"
        )
        for row in rows
    ]
    return found


def _daemons(connection: Rows) -> list[Trouble]:
    """Whether one daemon is at work, under the lock, and says that it lives."""
    silent = connection.execute(
        sql.SQL(
            "SELECT extract(epoch FROM (now() AT TIME ZONE 'UTC') - max(timestamp))::float8 AS seconds FROM {}"
        ).format(sql.Identifier(_DAGSTER, "daemon_heartbeats"))
    ).fetchone()
    if silent is None or silent["seconds"] is None:
        return []
    heard = daemonlock.heartbeats(connection, DAEMON_SILENT_SECONDS)
    found = []
    if not heard:
        words = f"Dagster's daemon has not been heard of for {silent['seconds']:.0f} s: nothing is scheduled"
        found.append(Trouble("daemon", "dagster-daemon", "critical", words))
    holder = daemonlock.holder(connection)
    if heard and holder is None:
        words = (
            f"a daemon was heard of {silent['seconds']:.0f} s ago and none holds the lock: it has just ended, or it "
            "runs outside of `signaldelta daemon` and a second one could start beside it"
        )
        found.append(Trouble("daemon", "lock", "critical", words))
    others = max(len(heard) - 1, 0 if holder is None else holder.others)
    if others and (holder is None or len(heard) > 2 or holder.others):
        who = "none holds the lock" if holder is None else f"the lock is held by process {holder.who}"
        words = f"{others + 1} daemons are at work and launch every run as often; {who}: stop the others"
        found.append(Trouble("daemons", "dagster-daemon", "critical", words, {"daemon_ids": sorted(heard)}))
    return found


def disks(paths: Sequence[Path], warning: float, critical: float) -> Callable[[Rows], list[Trouble]]:
    """Return the question how full the disks of `paths` and of the server are; each file system is told of once."""

    def ask(connection: Rows) -> list[Trouble]:
        directory = server_directory(connection)
        found: dict[int, Trouble] = {}
        for use in disk_usage([*paths, *([] if directory is None else [directory])], warning, critical):
            if use.level == "ok":
                continue
            words = f"the disk of {use.path} is {use.fraction:.0%} full: {use.used:,} of {use.total:,} bytes"
            detail = {"fraction": use.fraction, "warning": warning, "critical": critical}
            found.setdefault(use.device, Trouble("disk", str(use.path), use.level, words, detail))
        return list(found.values())

    return ask


def note(connection: Connection[Any], troubles: Sequence[Trouble]) -> tuple[int, int]:
    """Keep `troubles` as alerts: open what is new, close what is over; return how many of each.

    Whoever looks may note: an alert is one per kind and subject while it lasts.
    """
    opened = 0
    for trouble in {(trouble.kind, trouble.subject): trouble for trouble in troubles}.values():
        row = connection.execute(
            "INSERT INTO operator_alerts (alert_id, kind, subject, severity, words, detail)"
            " VALUES (%s, %s, %s, %s, %s, %s::jsonb)"
            " ON CONFLICT (kind, subject) WHERE closed_at IS NULL"
            " DO UPDATE SET seen_at = clock_timestamp(), words = excluded.words, severity = excluded.severity,"
            " detail = excluded.detail RETURNING xmax = 0 AS new",
            (new_ulid(), trouble.kind, trouble.subject, trouble.severity, trouble.words,
             canonical_json(_plain(trouble.detail)).decode()),
        ).fetchone()  # fmt: skip
        opened += bool(row and (row["new"] if isinstance(row, dict) else row[0]))
    kinds = [trouble.kind for trouble in troubles]
    subjects = [trouble.subject for trouble in troubles]
    closed = connection.execute(
        "UPDATE operator_alerts SET closed_at = clock_timestamp() WHERE closed_at IS NULL AND NOT EXISTS ("
        "  SELECT FROM unnest(%s::text[], %s::text[]) AS now (kind, subject)"
        "  WHERE now.kind = operator_alerts.kind AND now.subject = operator_alerts.subject)",
        (kinds, subjects),
    ).rowcount
    return opened, closed


def _plain(detail: Mapping[str, Any]) -> dict[str, Any]:
    kept = (str, int, float, bool, type(None), list)
    return {name: value if isinstance(value, kept) else str(value) for name, value in detail.items()}


def open_alerts(connection: Rows) -> list[dict[str, Any]]:
    """Return the alerts that are open, oldest first."""
    return connection.execute(
        "SELECT kind, subject, severity, words, opened_at, seen_at FROM operator_alerts WHERE closed_at IS NULL"
        " ORDER BY opened_at, alert_id"
    ).fetchall()
