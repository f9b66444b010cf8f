"""One-way logical replication per table group: who publishes, who subscribes, how far behind, and copying anew.

A group's home publishes it as `signaldelta_<group>`; the other place subscribes under the same name, with a slot of
that name at the home. A subscription belongs to the role `signaldelta_replication`, which may write copies and
nothing else. Needs PostgreSQL 16 or newer at both places, and a server for itself at each: slots are the server's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from sqlalchemy import Table

from signaldelta_assets.errors import SignalDeltaError

from .fingerprint import Fingerprint, fingerprints
from .migrations import require_head
from .postgres import embedded_server, plain_url, restart_embedded
from .roles import REPLICATION
from .tables import GROUPS, SCHEMA, Place, metadata, replicated_groups

Rows = Connection[dict[str, Any]]
Told = Callable[[str], None]

# What a server needs for as many publications and subscriptions as there are groups. The first ones need a restart.
SERVER_SETTINGS: dict[str, str] = {
    "wal_level": "logical",
    "max_replication_slots": "40",
    "max_wal_senders": "40",
    "max_logical_replication_workers": "24",
    "max_worker_processes": "32",
    "max_active_replication_origins": "40",
    # How often a reader says how far it is: what lag in seconds can be known to.
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "2s",
}
# A reader that stays away for long must not fill the disk of the writer: beyond this its slot is given up, which
# `lag` tells, and the group is copied anew (`resync`).
KEEP_WAL = "16GB"
_LEAST_VERSION = 160000
HomePlace = Literal["aws", "offsite"]
HOMES: tuple[HomePlace, HomePlace] = ("aws", "offsite")


class ReplicationError(SignalDeltaError):
    """Replication that cannot be set up or brought back; says what is missing where."""


def _other(home: HomePlace) -> HomePlace:
    return "offsite" if home == "aws" else "aws"


def name_of(group: str) -> str:
    """Return the name that publication, subscription and slot of a group share."""
    return f"signaldelta_{group}"


def tables_of(group: str) -> list[Table]:
    """Return the tables of a group, those that others refer to first."""
    return [table for table in metadata.sorted_tables if table.info["group"] == group]


@contextmanager
def _opened(url: str) -> Iterator[Rows]:
    """A connection of the owner that commits each statement."""
    with psycopg.connect(
        plain_url(url), autocommit=True, row_factory=dict_row, connect_timeout=10, application_name="signaldelta"
    ) as connection:
        yield connection


def missing_settings(connection: Rows) -> dict[str, str]:
    """Return the settings of a server that are not enough for replication, as they should be; {} where all are."""
    found = {row["name"]: row["setting"] for row in connection.execute("SELECT name, setting FROM pg_settings")}
    short = {}
    for name, wanted in SERVER_SETTINGS.items():
        if name not in found or name.startswith("wal_re"):
            continue
        enough = found[name] == wanted if not wanted.isdigit() else int(found[name]) >= int(wanted)
        if not enough:
            short[name] = wanted
    return short


def configure(url: str) -> bool:
    """Write the settings of `SERVER_SETTINGS` into the server's configuration; return whether it must restart."""
    with _opened(url) as connection:
        short = missing_settings(connection)
        known = {row["name"] for row in connection.execute("SELECT name FROM pg_settings")}
        for name, value in {**SERVER_SETTINGS, "max_slot_wal_keep_size": KEEP_WAL}.items():
            if name in known:
                connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        connection.execute("SELECT pg_reload_conf()")
    return bool(short)


def embedded_homes(folders: Mapping[Place, Path]) -> dict[Place, str]:
    """Start an embedded PostgreSQL over each folder, configured for replication; return their URLs."""
    urls = {}
    for place, folder in folders.items():
        if configure(embedded_server(folder)):
            restart_embedded(folder)
        urls[place] = embedded_server(folder)
    return urls


def _check_server(place: Place, connection: Rows) -> None:
    version = connection.info.server_version
    if version < _LEAST_VERSION:
        raise ReplicationError(f"{place}: expected PostgreSQL 16 or newer for two homes, found {version // 10000}")
    short = missing_settings(connection)
    if short:
        wanted = ", ".join(f"{name} = {value}" for name, value in short.items())
        raise ReplicationError(f"{place}: set {wanted} in postgresql.conf and restart the server")


def publish(connection: Rows, home: HomePlace) -> list[str]:
    """Make the publications of `home` what the registry says; return the groups whose publication changed."""
    changed = []
    for group in replicated_groups(home):
        name, wanted = name_of(group), sorted(str(table.name) for table in tables_of(group))
        if not wanted:
            continue
        found = [
            row["tablename"]
            for row in connection.execute(
                "SELECT tablename FROM pg_publication_tables WHERE pubname = %s ORDER BY 1", (name,)
            )
        ]
        if found == wanted:
            continue
        listed = sql.SQL(", ").join(sql.Identifier(SCHEMA, table) for table in wanted)
        exists = connection.execute("SELECT FROM pg_publication WHERE pubname = %s", (name,)).fetchone() is not None
        # By the partitioned table's own name: the reader may have other partitions.
        statement = "ALTER PUBLICATION {} SET TABLE {}" if exists else "CREATE PUBLICATION {} FOR TABLE {}"
        options = "" if exists else " WITH (publish_via_partition_root = true)"
        connection.execute(sql.SQL(statement + options).format(sql.Identifier(name), listed))
        changed.append(group)
    return changed


def _subscriptions(connection: Rows) -> dict[str, dict[str, Any]]:
    rows = connection.execute(
        "SELECT subname, subenabled FROM pg_subscription"
        " WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return {row["subname"]: row for row in rows}


def _slots(connection: Rows) -> dict[str, dict[str, Any]]:
    rows = connection.execute("SELECT slot_name, active_pid, wal_status FROM pg_replication_slots WHERE database = current_database()")  # noqa: E501  # fmt: skip
    return {row["slot_name"]: row for row in rows}


def _conninfo(url: str) -> str:
    """Return how a reader reaches the home at `url`, from the server's process."""
    parts = conninfo_to_dict(plain_url(url))
    return make_conninfo("", **{name: str(value) for name, value in parts.items() if value not in (None, "")})


def _subscribe(reader: Rows, group: str, home_url: str, *, copy: bool) -> None:
    """Create the subscription of a group; with `copy` its slot as well, and the rows that are there already."""
    name = sql.Identifier(name_of(group))
    conninfo = _conninfo(home_url)
    options = [
        "enabled = false",
        "origin = none",
        "run_as_owner = true",
        "streaming = parallel",
        "disable_on_error = false",
    ]
    if "password" not in conninfo_to_dict(conninfo):
        options.append("password_required = false")
    if copy:
        # Else a reader that dies during the first copy forgets tables that are done and whose slots the home has
        # dropped, and never gets on: its worker asks for such a slot for ever.
        options.append("synchronous_commit = local")
    else:
        options += ["create_slot = false", "copy_data = false", f"slot_name = '{name_of(group)}'"]
    reader.execute(
        sql.SQL("CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {} WITH ({})").format(
            name, sql.Literal(conninfo), name, sql.SQL(", ".join(options))
        )
    )
    reader.execute(sql.SQL("ALTER SUBSCRIPTION {} OWNER TO {}").format(name, sql.Identifier(REPLICATION)))
    reader.execute(sql.SQL("ALTER SUBSCRIPTION {} ENABLE").format(name))


def _unsubscribe(reader: Rows, home: Rows, group: str) -> None:
    """Drop a group's subscription and its slot at the home, whether both are there or not."""
    name = name_of(group)
    if name in _subscriptions(reader):
        quoted = sql.Identifier(name)
        reader.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(quoted))
        reader.execute(sql.SQL("ALTER SUBSCRIPTION {} SET (slot_name = NONE)").format(quoted))
        reader.execute(sql.SQL("DROP SUBSCRIPTION {}").format(quoted))
    deadline = time.monotonic() + 30
    while name in (slots := _slots(home)):
        pid = slots[name]["active_pid"]
        if pid is not None:
            home.execute("SELECT pg_terminate_backend(%s)", (pid,))
        try:
            home.execute("SELECT pg_drop_replication_slot(%s)", (name,))
        except psycopg.errors.ObjectInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _allow_replication(connection: Rows) -> None:
    """What the role of the replication needs of a server beside the grants of the schema."""
    role = sql.Identifier(REPLICATION)
    database = sql.Identifier(str(connection.info.dbname))
    connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role))
    connection.execute(sql.SQL("GRANT pg_create_subscription TO {}").format(role))
    # Copies are made without the triggers and foreign keys that their home has checked already.
    connection.execute(sql.SQL("GRANT SET ON PARAMETER session_replication_role TO {}").format(role))


def pair(urls: Mapping[Place, str], told: Told | None = None) -> list[str]:
    """Make publications and subscriptions of both homes what the registry says; return what was done.

    Safe to call again at any time: what is right is left alone. A group whose reader is empty is copied by
    PostgreSQL; one whose reader has rows, or whose subscription was lost, is copied anew (`resync`). Raises
    `ReplicationError` for a server that cannot, `WrongSchemaVersionError` for homes of different versions.
    """
    done: list[str] = []

    def note(text: str) -> None:
        done.append(text)
        if told is not None:
            told(text)

    for place in HOMES:
        require_head(urls[place], place=place)
    with ExitStack() as stack:
        opened = {place: stack.enter_context(_opened(urls[place])) for place in HOMES}
        for place in HOMES:
            _check_server(place, opened[place])
            _allow_replication(opened[place])
        for home in HOMES:
            reading = _other(home)
            reader = opened[reading]
            changed = publish(opened[home], home)
            for group in changed:
                note(f"{home} publishes {group}: {len(tables_of(group))} tables")
            subscribed = _subscriptions(reader)
            unread = unread_tables(reader)
            slots = _slots(opened[home])
            for group in replicated_groups(home):
                if not tables_of(group):
                    continue
                name = name_of(group)
                lost = name in slots and slots[name]["wal_status"] == "lost"
                if name in subscribed and name in slots and not lost:
                    if not subscribed[name]["subenabled"]:
                        reader.execute(sql.SQL("ALTER SUBSCRIPTION {} ENABLE").format(sql.Identifier(name)))
                        note(f"{reading} receives {group} again")
                    if not unread.get(group):
                        continue
                    if all(_is_empty(reader, table) for table in unread[group]):
                        # New tables: PostgreSQL copies what their home has.
                        reader.execute(
                            sql.SQL("ALTER SUBSCRIPTION {} REFRESH PUBLICATION").format(sql.Identifier(name))
                        )
                        note(f"{reading} receives {', '.join(unread[group])} of {group} as well")
                        continue
                if name not in subscribed and name not in slots:
                    _refuse_to_lose(opened[home], reader, group, home)
                if name in subscribed or name in slots or _has_rows(reader, group):
                    rows = resync(urls, group)
                    note(f"{reading} copied {group} anew: {sum(rows.values())} rows differed")
                else:
                    _subscribe(reader, group, urls[home], copy=True)
                    note(f"{reading} receives {group}")
    return done


def is_paired(urls: Mapping[Place, str]) -> bool:
    """Say whether either home subscribes to anything of ours: whether there is a pair to keep in order."""
    for place in HOMES:
        with _opened(urls[place]) as connection:
            if any(name.startswith(name_of("")) for name in _subscriptions(connection)):
                return True
    return False


def _refuse_to_lose(home: Rows, reader: Rows, group: str, place: HomePlace) -> None:
    """Raise where the reader of a group, about to be made a copy, has rows that its home has not."""
    for table in tables_of(group):
        with reader.transaction(force_rollback=True):
            _stage(home, reader, table)
            alone = reader.execute(_only_here(table, "count(*) AS rows")).fetchone()
        if alone is not None and alone["rows"]:
            raise ReplicationError(
                f"{_other(place)} has {alone['rows']:,} rows of {table.name} that {place}, its home, has not; "
                f"`signaldelta db adopt {group}` brings them there first"
            )


def _only_here(table: Table, what: str) -> sql.Composed:
    """Return the query of `what` over the rows of a table whose key its staged copy has not."""
    return sql.SQL("SELECT {what} FROM {table} t WHERE NOT EXISTS (SELECT FROM {staging} s WHERE {same})").format(
        what=sql.SQL(what),
        table=sql.Identifier(SCHEMA, str(table.name)),
        staging=sql.Identifier("pg_temp", f"copy_{table.name}"),
        same=_same_key(table),
    )


def _same_key(table: Table) -> sql.Composed:
    keys = [sql.Identifier(column.name) for column in table.primary_key.columns]
    return sql.SQL(" AND ").join(sql.SQL("t.{0} = s.{0}").format(key) for key in keys)


def adopt(urls: Mapping[Place, str], group: str) -> dict[str, int]:
    """Bring the rows of a group that only its reader has to its home; return how many per table.

    For a database that was both homes and is to be one of two. A key that both have stays as the home has it.
    """
    home = _home_of(group)
    tables = tables_of(group)
    brought = {}
    with _opened(urls[home]) as writer, psycopg.connect(plain_url(urls[_other(home)])) as reader, writer.transaction():
        for table in tables:
            _stage(reader, writer, table)
            names = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
            statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING").format(
                sql.Identifier(SCHEMA, str(table.name)), names, names, sql.Identifier("pg_temp", f"copy_{table.name}")
            )
            brought[str(table.name)] = writer.execute(statement).rowcount
    return brought


def unread_tables(reader: Rows) -> dict[str, list[str]]:
    """Return per subscribed group the tables that its subscription does not know: new ones, and replaced ones.

    A subscription knows a table by its identity, not by its name: one that a migration made anew is another.
    """
    rows = reader.execute(
        "SELECT s.subname, coalesce(array_agg(c.relname::text) FILTER (WHERE c.oid IS NOT NULL), '{}') AS tables"
        " FROM pg_subscription s LEFT JOIN pg_subscription_rel r ON r.srsubid = s.oid"
        " LEFT JOIN pg_class c ON c.oid = r.srrelid AND c.relnamespace = to_regnamespace(%s)"
        " WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY 1",
        (SCHEMA,),
    ).fetchall()
    read = {row["subname"]: set(row["tables"]) for row in rows}
    found = {}
    for group in GROUPS:
        if name_of(group) in read:
            missing = {str(table.name) for table in tables_of(group)} - read[name_of(group)]
            found[group] = sorted(missing)
    return found


def _has_rows(connection: Rows, group: str) -> bool:
    return not all(_is_empty(connection, str(table.name)) for table in tables_of(group))


def _is_empty(connection: Rows, table: str) -> bool:
    query = sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(SCHEMA, table))
    return connection.execute(query).fetchone() is None


def unpair(urls: Mapping[Place, str]) -> None:
    """Drop every subscription and publication of ours at both homes; the rows stay."""
    with ExitStack() as stack:
        opened = {place: stack.enter_context(_opened(urls[place])) for place in HOMES}
        for home in HOMES:
            for group in replicated_groups(home):
                _unsubscribe(opened[_other(home)], opened[home], group)
                opened[home].execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name_of(group))))


def _home_of(group: str) -> HomePlace:
    if group not in GROUPS or GROUPS[group].home == "each":
        known = replicated_groups("aws") + replicated_groups("offsite")
        raise ReplicationError(f"table group: expected one of {sorted(known)}, found {group!r}")
    return "aws" if GROUPS[group].home == "aws" else "offsite"


def resync(urls: Mapping[Place, str], group: str) -> dict[str, int]:
    """Copy one group anew from its home; return the rows changed per table of the reader.

    The home is read as it was when the new slot began; what differs at the reader is changed in one transaction, so
    nobody there sees an empty table; the subscription goes on from that very position. Rows that are equal byte for
    byte are not touched.
    """
    home = _home_of(group)
    reading = _other(home)
    with _opened(urls[home]) as writer, _opened(urls[reading]) as reader:
        _check_server(home, writer)
        _unsubscribe(reader, writer, group)
        publish(writer, home)
        with _slot_with_snapshot(urls[home], name_of(group)) as snapshot, psycopg.connect(plain_url(urls[home])) as at:
            at.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            at.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
            changed = _copy_differences(at, reader, group)
        _subscribe(reader, group, urls[home], copy=False)
    return changed


@contextmanager
def _slot_with_snapshot(url: str, name: str) -> Iterator[str]:
    """Create a slot; yield the name of the snapshot of the database at the slot's first position."""
    # The replication protocol knows simple queries only, which psycopg's cursors do not send.
    with psycopg.connect(plain_url(url), autocommit=True, replication="database") as connection:
        command = f"CREATE_REPLICATION_SLOT \"{name}\" LOGICAL pgoutput (SNAPSHOT 'export')"
        result = connection.pgconn.exec_(command.encode())
        snapshot = result.get_value(0, 2)
        if snapshot is None:
            raise ReplicationError(f"slot {name}: {result.error_message.decode(errors='replace').strip()}")
        yield snapshot.decode()


def _copy_differences(home: Connection[Any], reader: Rows, group: str) -> dict[str, int]:
    tables = tables_of(group)
    changed = dict.fromkeys((str(table.name) for table in tables), 0)
    with reader.transaction():
        for table in tables:
            _stage(home, reader, table)
        reader.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(REPLICATION)))
        reader.execute("SET LOCAL session_replication_role = replica")
        for table in tables:
            for statement in _differences(table):
                changed[str(table.name)] += reader.execute(statement).rowcount
        reader.execute("RESET ROLE")
    return changed


def _stage(home: Connection[Any], reader: Rows, table: Table) -> None:
    name = sql.Identifier(SCHEMA, str(table.name))
    staging = sql.Identifier("pg_temp", f"copy_{table.name}")
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    reader.execute(
        # Of the same columns in the same order: rows are compared as wholes.
        sql.SQL("CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DROP").format(sql.Identifier(f"copy_{table.name}"), name)
    )
    source = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)").format(columns, name)
    target = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(staging, columns)
    with home.cursor().copy(source) as out, reader.cursor().copy(target) as into:
        for block in out:
            into.write(block)
    key = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.primary_key.columns)
    reader.execute(sql.SQL("CREATE INDEX ON {} ({})").format(staging, key))
    reader.execute(sql.SQL("ANALYZE {}").format(staging))
    reader.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(staging, sql.Identifier(REPLICATION)))


def _differences(table: Table) -> list[sql.Composed]:
    """Return the statements that make a table what its staged copy is: rows gone, changed, new."""
    keys = [str(column.name) for column in table.primary_key.columns]
    others = [str(column.name) for column in table.columns if column.name not in keys]
    names = [str(column.name) for column in table.columns]
    parts = {
        "table": sql.Identifier(SCHEMA, str(table.name)),
        "staging": sql.Identifier("pg_temp", f"copy_{table.name}"),
        "same": _same_key(table),
        "columns": sql.SQL(", ").join(map(sql.Identifier, names)),
    }
    found = [sql.SQL("DELETE FROM {table} t WHERE NOT EXISTS (SELECT FROM {staging} s WHERE {same})").format(**parts)]
    if others:
        # By their bytes (*<>): two numbers may be equal and not the same.
        settings = sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(sql.Identifier(name)) for name in others)
        found.append(
            sql.SQL("UPDATE {table} t SET {settings} FROM {staging} s WHERE {same} AND (t) *<> (s)").format(
                settings=settings, **parts
            )
        )
    insert = "INSERT INTO {table} ({columns}) SELECT {columns} FROM {staging} s"
    found.append(sql.SQL(insert + " WHERE NOT EXISTS (SELECT FROM {table} t WHERE {same})").format(**parts))
    return found


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
        return Lag(group, home, limit, None, None, "missing", f"{group}: {_other(home)} does not subscribe to it")
    if slot["wal_status"] == "lost":
        words = f"{group}: {_other(home)} stayed away too long; run `signaldelta db resync {group}`"
        return Lag(group, home, limit, slot["bytes"], None, "lost", words)
    seconds = float(slot["seconds"])
    if not slot["active"] and slot["away"] is not None:
        # Gone, and unconfirmed since before anybody marked a position.
        seconds = max(seconds, float(slot["away"])) if slot["bytes"] else seconds
    state = "streaming" if slot["active"] else "disconnected"
    trouble = None
    if seconds > limit:
        trouble = f"{group}: {_other(home)} is {seconds:.0f} s and {slot['bytes']:,} bytes behind, allowed {limit:.0f} s"  # noqa: E501  # fmt: skip
    elif not slot["active"]:
        trouble = f"{group}: {_other(home)} is not connected to {home}"
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
            with _opened(urls[place]) as connection:
                found += lag_of_home(connection, place)
        except psycopg.OperationalError as error:
            found += unknown_lags(place, str(error))
    return found


def wait_until_received(urls: Mapping[Place, str], seconds: float = 60.0) -> None:
    """Wait until both places have what the other had written when this was called. Raises `ReplicationError`."""
    deadline = time.monotonic() + seconds
    for place in HOMES:
        with _opened(urls[place]) as connection:
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
        with _opened(urls[place]) as connection:
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

        with _opened(urls[place]) as connection:
            return fingerprints(connection, progress=say)

    for place in HOMES:
        found[place] = at(place)
    return [
        Compared(name, table.info["group"], found["aws"][name], found["offsite"][name])
        for table in metadata.sorted_tables
        if table.info["home"] != "each" and (name := str(table.name))
    ]
