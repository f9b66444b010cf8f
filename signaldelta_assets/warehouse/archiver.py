"""The write-ahead log, kept: every finished segment goes to a folder, so that any moment can be restored.

The server's own archiver does it (archive_command), not a receiver beside it: the server starts it again whenever it
dies, nothing has to be supervised, and its figures stand in pg_stat_archiver for whoever can connect. A receiver would
lose less (what is written since the last switch of segments, here at most `TIMEOUT_SECONDS`), but one that is down
holds the log back through its slot until the disk is full, and nothing in the database would say so.

The command is one line of POSIX shell: it compresses to a temporary name, syncs, renames. Killed at any point it is run
again for the same segment: the same bytes there already are a success, other bytes a failure that is seen.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from signaldelta_assets.errors import SignalDeltaError

from . import server
from .postgres import embedded_server, plain_url, stop_embedded

# A segment that is not full is switched this long after its first record: the most that is lost with the disk.
TIMEOUT_SECONDS = 60
# What is archived later than this is a failure even if no command has failed: it may hang.
LATE_SECONDS = 5 * TIMEOUT_SECONDS
_SETTINGS = ("archive_mode", "archive_command", "archive_timeout")


class ArchiverError(SignalDeltaError):
    """An archive of the log that cannot be switched on, or does not keep up."""


@dataclass(frozen=True, slots=True)
class ArchiverStatus:
    """How archiving stands. Times are the server's, UTC; ages are seconds at `now`.

    `waiting` counts finished segments that are not archived: they stay in the data directory, `wal_bytes` in all, and
    grow until its disk is full. `free_bytes` is what is left there, None where the directory is on another machine.
    """

    now: datetime
    on: bool
    command: str
    timeout_seconds: int
    archived: int
    last_archived: str | None
    last_archived_at: datetime | None
    last_archived_age: float | None
    failed: int
    last_failed: str | None
    last_failed_at: datetime | None
    waiting: int
    oldest_waiting: str | None
    oldest_waiting_age: float | None
    wal_bytes: int
    free_bytes: int | None

    @property
    def problem(self) -> str | None:
        """What is wrong in one line, None where all is well."""
        if not self.on:
            return "archiving is off: only the moments of backups can be restored"
        if not self.command:
            return "archive_mode is on and archive_command is empty: every segment stays in the data directory"
        failed, archived = self.last_failed_at, self.last_archived_at
        if failed is not None and (archived is None or failed > archived):
            return (
                f"archiving {self.last_failed} fails since it was last tried at {failed:%Y-%m-%d %H:%M:%S}:"
                f" {self.waiting} segments wait, {self.wal_bytes:,} bytes of log in the data directory"
            )
        if self.oldest_waiting_age is not None and self.oldest_waiting_age > LATE_SECONDS:
            return f"{self.oldest_waiting} waits since {self.oldest_waiting_age:.0f} s; {self.waiting} segments in all"
        return None

    def document(self) -> dict[str, Any]:
        """Return the fields and the problem, times as ISO 8601: for JSON."""
        fields = asdict(self) | {"problem": self.problem}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}


def archive_command(folder: Path) -> str:
    """Return the archive_command that keeps the log in `folder`, an absolute path the server's user may write."""
    path = _quotable(folder)
    kept, part = f"'{path}/%f.gz'", f"'{path}/.%f.part'"
    return (
        f"if test -f {kept}; then gzip -dc {kept} | cmp -s - '%p';"
        f" else gzip -1nc '%p' > {part} && sync {part} && mv {part} {kept} && sync '{path}'; fi"
    )


def restore_command(folder: Path) -> str:
    """Return the restore_command that reads what `archive_command` kept, or plain copies of segments."""
    path = _quotable(folder)
    kept = f"'{path}/%f.gz'"
    return f"if test -f {kept}; then gzip -dc {kept} > '%p'; else cp '{path}/%f' '%p'; fi"


def settings(folder: Path) -> dict[str, str]:
    """Return the settings that archive to `folder`, for the configuration of a server of one's own."""
    return {
        "wal_level": "replica",
        "archive_mode": "on",
        "archive_command": archive_command(folder),
        "archive_timeout": f"{TIMEOUT_SECONDS}s",
    }


def switch_on(data_dir: Path, folder: Path) -> str:
    """Let the embedded server over `data_dir` archive to `folder`; return its URL.

    Starts the server where it is down, and starts it again, which ends its connections, unless it archives already.
    Raises `ArchiverError` where the folder holds the log of another server or its name cannot stand in a command.
    """
    folder = folder.expanduser().resolve()
    archive_command(folder)
    folder.mkdir(parents=True, exist_ok=True)
    server.hand_over(folder)
    url = embedded_server(data_dir)
    _claim(url, folder)
    return _configure(url, data_dir, settings(folder) | {"wal_level": None})


def switch_off(data_dir: Path) -> str:
    """Let the embedded server over `data_dir` archive no longer; return its URL. Starts it again, as `switch_on`."""
    return _configure(embedded_server(data_dir), data_dir, dict.fromkeys(_SETTINGS))


def _configure(url: str, data_dir: Path, values: dict[str, str] | dict[str, str | None]) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        before = _setting(connection, "archive_mode")
        for name, value in values.items():
            if value is None:
                connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
            else:
                statement = sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                connection.execute(statement)
        connection.execute("SELECT pg_reload_conf()")
    if before != (values["archive_mode"] or "off"):
        stop_embedded(data_dir)
        url = embedded_server(data_dir)
    return url


def _claim(url: str, folder: Path) -> None:
    """Say in `folder` whose log it holds: segments of two servers have the same names."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    assert row is not None
    owner = folder / "system_identifier"
    found = owner.read_text().strip() if owner.exists() else None
    if found is None:
        owner.write_text(f"{row[0]}\n")
    elif found != row[0]:
        raise ArchiverError(f"{folder}: expected the log of system {row[0]} or an empty folder, found that of {found}")


def _setting(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def archiver_status(url: str) -> ArchiverStatus:
    """Return how archiving stands at the server of `url`. A role of its own needs pg_monitor."""
    with psycopg.connect(plain_url(url), autocommit=True, row_factory=dict_row) as connection:
        row = connection.execute(
            "WITH ready AS (SELECT name, modification FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready')"
            " SELECT clock_timestamp() AS now, current_setting('archive_mode') <> 'off' AS on,"
            " current_setting('archive_command') AS command, current_setting('data_directory') AS data_dir,"
            " (SELECT setting::int FROM pg_settings WHERE name = 'archive_timeout') AS timeout_seconds,"
            " archived_count AS archived, last_archived_wal AS last_archived, last_archived_time AS last_archived_at,"
            " extract(epoch FROM clock_timestamp() - last_archived_time)::float8 AS last_archived_age,"
            " failed_count AS failed, last_failed_wal AS last_failed, last_failed_time AS last_failed_at,"
            " (SELECT count(*) FROM ready) AS waiting,"
            " (SELECT replace(name, '.ready', '') FROM ready ORDER BY modification, name LIMIT 1) AS oldest_waiting,"
            " (SELECT extract(epoch FROM clock_timestamp() - min(modification))::float8 FROM ready)"
            " AS oldest_waiting_age, (SELECT coalesce(sum(size), 0)::int8 FROM pg_ls_waldir()) AS wal_bytes"
            " FROM pg_stat_archiver"
        ).fetchone()
    assert row is not None
    if row["command"] == "(disabled)":
        row["command"] = ""
    here = Path(row.pop("data_dir"))
    free = shutil.disk_usage(here / "pg_wal").free if (here / "pg_wal").is_dir() else None
    return ArchiverStatus(**row, free_bytes=free)


def archive_now(url: str, *, timeout_seconds: float = 60.0) -> str:
    """Switch to a new segment and wait until all before it are archived; return the name of the last one.

    Raises `ArchiverError` with the archiver's problem where that takes longer than `timeout_seconds`.
    """
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        row = connection.execute(
            "SELECT pg_walfile_name(pg_switch_wal() - 1), current_setting('archive_mode') <> 'off'"
        ).fetchone()
        assert row is not None
        segment, on = row
        if not on:
            raise ArchiverError("archive_mode: expected on, found off")
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            row = connection.execute("SELECT last_archived_wal FROM pg_stat_archiver").fetchone()
            # Names of segments order as their moments do; a history file is archived before the segments of its line.
            if row is not None and row[0] is not None and len(row[0]) >= 24 and row[0][:24] >= segment:
                return str(segment)
            time.sleep(0.05)
    problem = archiver_status(url).problem or "the archiver is slow"
    raise ArchiverError(f"{segment}: expected to be archived within {timeout_seconds:.0f} s: {problem}")


def _quotable(folder: Path) -> str:
    path = str(folder)
    if not folder.is_absolute() or any(character in path for character in "'%\\\n"):
        raise ArchiverError(f"folder of the log: expected an absolute path without quotes, % or \\, found {path!r}")
    return path
