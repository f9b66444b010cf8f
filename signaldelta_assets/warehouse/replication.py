"""One-way logical replication per table group: who publishes, who subscribes, and copying anew.

A group's home publishes it as `signaldelta_<group>`; the other place subscribes under the same name, with a slot of
that name at the home. A subscription belongs to the role `signaldelta_replication`, which may write copies and
nothing else. Needs PostgreSQL 16 or newer at both places, and a server for itself at each: slots are the server's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from sqlalchemy import Table

from .copying import ReplicationError, Rows, copy_differences, only_here, slot_with_snapshot, stage
from .migrations import require_head
from .postgres import embedded_server, plain_url, restart_embedded
from .roles import REPLICATION
from .tables import GROUPS, SCHEMA, Place, metadata, replicated_groups

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


def _other(home: HomePlace) -> HomePlace:
    return "offsite" if home == "aws" else "aws"


def name_of(group: str) -> str:
    """Return the name that publication, subscription and slot of a group share."""
    return f"signaldelta_{group}"


def tables_of(group: str) -> list[Table]:
    """Return the tables of a group, those that others refer to first."""
    return [table for table in metadata.sorted_tables if table.info["group"] == group]


@contextmanager
def opened(url: str) -> Iterator[Rows]:
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
    with opened(url) as connection:
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
        homes = {place: stack.enter_context(opened(urls[place])) for place in HOMES}
        for place in HOMES:
            _check_server(place, homes[place])
            _allow_replication(homes[place])
        for home in HOMES:
            reading = _other(home)
            reader = homes[reading]
            changed = publish(homes[home], home)
            for group in changed:
                note(f"{home} publishes {group}: {len(tables_of(group))} tables")
            subscribed = _subscriptions(reader)
            unread = unread_tables(reader)
            slots = _slots(homes[home])
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
                    _refuse_to_lose(homes[home], reader, group, home)
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
        with opened(urls[place]) as connection:
            if any(name.startswith(name_of("")) for name in _subscriptions(connection)):
                return True
    return False


def _refuse_to_lose(home: Rows, reader: Rows, group: str, place: HomePlace) -> None:
    """Raise where the reader of a group, about to be made a copy, has rows that its home has not."""
    for table in tables_of(group):
        with reader.transaction(force_rollback=True):
            stage(home, reader, table)
            alone = reader.execute(only_here(table, "count(*) AS rows")).fetchone()
        if alone is not None and alone["rows"]:
            raise ReplicationError(
                f"{_other(place)} has {alone['rows']:,} rows of {table.name} that {place}, its home, has not; "
                f"`signaldelta db adopt {group}` brings them there first"
            )


def adopt(urls: Mapping[Place, str], group: str) -> dict[str, int]:
    """Bring the rows of a group that only its reader has to its home; return how many per table.

    For a database that was both homes and is to be one of two. A key that both have stays as the home has it.
    """
    home = _home_of(group)
    tables = tables_of(group)
    brought = {}
    with opened(urls[home]) as writer, psycopg.connect(plain_url(urls[_other(home)])) as reader, writer.transaction():
        for table in tables:
            stage(reader, writer, table)
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
        homes = {place: stack.enter_context(opened(urls[place])) for place in HOMES}
        for home in HOMES:
            for group in replicated_groups(home):
                _unsubscribe(homes[_other(home)], homes[home], group)
                homes[home].execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name_of(group))))


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
    with opened(urls[home]) as writer, opened(urls[reading]) as reader:
        _check_server(home, writer)
        _unsubscribe(reader, writer, group)
        publish(writer, home)
        with slot_with_snapshot(urls[home], name_of(group)) as snapshot, psycopg.connect(plain_url(urls[home])) as at:
            at.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            at.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
            changed = copy_differences(at, reader, tables_of(group))
        _subscribe(reader, group, urls[home], copy=False)
    return changed
