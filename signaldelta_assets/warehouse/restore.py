"""Restoring: a backup becomes a server of its own beside the running one, at the backup's moment or at any later one.

Nothing is written outside the new data directory (and the home that is to get the files, where one is named): the
restored server does not archive, listens on a Unix socket alone, and knows no standby.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import IsolationLevel, sql

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import sha256_file

from . import server
from .archiver import restore_command
from .artifacts import IntegrityError
from .backup import (
    BASE,
    LISTING,
    WAL,
    Backup,
    missing_files,
    open_backup,
    place_file,
    read_listing,
    references,
    scan_store,
    stored_file,
)
from .backup import FILES as POOL
from .fingerprint import Fingerprint, fingerprints
from .manifest import DamagedBackupError, verify_base
from .server import Progress, ServerError
from .wal import SEGMENT, parse_lsn, segment_name, segment_start

Until = datetime | Literal["latest"] | None

# Left behind by the wheel, or of no use to another server.
_NOT_COPIED = ("log", ".handle_pids.json", "backup_manifest", "postmaster.pid", "postmaster.opts")
# What a server must not inherit: where it archives, whom it follows, who confirms its commits.
_DROPPED = re.compile(r"\s*(archive_|restore_|recovery_|primary_|synchronous_standby_names)", re.IGNORECASE)
_RECOVERY = (
    "restore_command",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_inclusive",
    "recovery_target_timeline",
    "recovery_target_action",
)
_HBA = "restored_hba.conf"
_LAST = re.compile(r"last completed transaction was at log time (\S+ \S+)")


class RestoreError(SignalDeltaError):
    """A restore that cannot be begun, or whose moment the log does not reach."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored server that runs: its URL, and what was compared.

    `last_transaction` is the time of the last one replayed, None where none was. `expected` is what the backup says of
    each table, empty where it was restored to another moment. `files` counts what the stores of the backup hold.
    `problems` names every table and file that is not as it should be.
    """

    url: str
    data_dir: Path
    last_transaction: datetime | None
    tables: dict[str, Fingerprint]
    expected: dict[str, Fingerprint]
    files: int
    placed: int
    problems: list[str]


def restore(
    path: Path,
    data_dir: Path,
    *,
    until: Until = None,
    wal: Path | None = None,
    home: Path | None = None,
    sync: bool = True,
    progress: Progress | None = None,
) -> Restored:
    """Restore the backup at `path` into `data_dir`, which must not exist or be empty; return the server it became.

    until: None is the moment of the backup, and then every table must be what the backup says. A time, with its zone,
    replays the archived log: transactions committed at or before it are in, later ones are not. "latest" replays all
    of the log. wal: where that is archived; the folder of backups has it. home: a home whose stores get the files they
    do not have. sync: the copy is on the disk before the server starts.

    Raises `RestoreError`, `ServerError`, and `DamagedBackupError` naming the file or segment; nothing is left in
    `data_dir` then. Where the server runs and something is not equal, it is named in `Restored.problems`.
    """
    say = progress or _silent
    backup = open_backup(path)
    about = backup.description
    data_dir = data_dir.expanduser().resolve()
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise RestoreError(f"{data_dir}: expected no such directory or an empty one, found something in it")
    _check_moment(backup, until)
    programs = server.binaries(about["server_version_num"] // 10000, "pg_ctl", "pg_waldump")
    say("checking the copy")
    if sha256_file(backup.folder / LISTING) != about["files"]["listing_sha256"]:
        raise DamagedBackupError(f"{backup.folder / LISTING}: the bytes are not those it was made with")
    verify_base(backup.folder / BASE, programs, about["wal"], parse_lsn(about["lsn"]["end"]), progress)
    gap: str | None = None
    source: Path | None = None
    if until is not None:
        source = (wal or backup.folder.parent / WAL).expanduser().resolve()
        say("checking the archived log")
        gap = _gap(backup, source)
        if gap is not None and until == "latest":
            raise DamagedBackupError(f"archived log: {gap}")
    try:
        say("copying the database")
        shutil.copytree(backup.folder / BASE, data_dir, ignore=_ignore, copy_function=shutil.copy, dirs_exist_ok=True)
        data_dir.chmod(0o700)
        _configure(backup, data_dir, until, source)
        if sync:
            os.sync()
        server.hand_over(data_dir)
        say("replaying the log")
        log = data_dir / "log"
        sockets = _start(data_dir, programs, log, until, gap, progress)
    except BaseException:
        _undo(data_dir, programs)
        raise
    url = server.socket_url(sockets, about["role"], about["database"])
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            for name in _RECOVERY:
                connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
        with psycopg.connect(url) as view:
            view.isolation_level = IsolationLevel.REPEATABLE_READ
            tables = fingerprints(view, progress=lambda table: say(f"hashing {table}"))
            named = references(view)
        expected = backup.tables if until is None else {}
        problems = [
            f"table {name}: expected {_shown(expected.get(name))}, found {_shown(tables.get(name))}"
            for name in sorted(expected.keys() | tables.keys())
            if expected and expected.get(name) != tables.get(name)
        ]
        files, placed, wrong = _check_files(backup, named, home, say)
    except BaseException:
        _undo(data_dir, programs)
        raise
    return Restored(url, data_dir, _last_transaction(log), tables, expected, files, placed, problems + wrong)


def stop_restored(restored: Restored) -> None:
    """Stop a restored server; its data directory stays."""
    major = int((restored.data_dir / "PG_VERSION").read_text())
    server.stop(restored.data_dir, server.binaries(major, "pg_ctl"))


def _check_moment(backup: Backup, until: Until) -> None:
    if not isinstance(until, datetime):
        return
    if until.tzinfo is None:
        raise RestoreError(f"until: expected a moment with a time zone, found {until.isoformat()}")
    if until < backup.moment:
        raise RestoreError(
            f"until: expected a moment at or after that of the backup, {backup.moment.isoformat()}, found"
            f" {until.isoformat()}: take an older backup"
        )


def _configure(backup: Backup, data_dir: Path, until: Until, source: Path | None) -> None:
    """Write what recovery is to do, and the files that a server elsewhere keeps outside its data directory."""
    auto = data_dir / "postgresql.auto.conf"
    kept = [line for line in auto.read_text("utf-8").splitlines() if not _DROPPED.match(line)] if auto.exists() else []
    recovery = {
        "restore_command": "false" if source is None else restore_command(source),
        "recovery_target_timeline": "latest",
        "recovery_target_action": "promote",
    }
    if until is None:
        recovery["recovery_target_name"] = backup.description["restore_point"]
    elif isinstance(until, datetime):
        recovery["recovery_target_time"] = f"{until.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f+00}"
        recovery["recovery_target_inclusive"] = "on"
    kept += ["{} = '{}'".format(name, value.replace("'", "''")) for name, value in recovery.items()]
    auto.write_text("\n".join(kept) + "\n", "utf-8")
    (data_dir / "recovery.signal").touch()
    (data_dir / _HBA).write_text("# Reached through the socket in this directory alone.\nlocal all all trust\n")
    for name in ("postgresql.conf", "pg_ident.conf"):
        if not (data_dir / name).exists():
            (data_dir / name).write_text("# The server that was backed up keeps this file elsewhere.\n")
    if not (data_dir / "pg_hba.conf").exists():
        shutil.copy(data_dir / _HBA, data_dir / "pg_hba.conf")


def _start(data_dir: Path, programs: Path, log: Path, until: Until, gap: str | None, progress: Progress | None) -> Path:
    options = {
        # No connection before the end of recovery: then it does not matter how many the primary allowed.
        "hot_standby": "off",
        "hba_file": str(data_dir / _HBA),
        "ident_file": str(data_dir / "pg_ident.conf"),
        "data_directory": str(data_dir),
        "external_pid_file": "",
        "archive_mode": "off",
        "synchronous_standby_names": "",
        "shared_preload_libraries": "",
        "ssl": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_timezone": "UTC",
        "lc_messages": "C",
    }
    try:
        return server.start(data_dir, programs, options=options, log=log, progress=progress)
    except ServerError as error:
        if "recovery ended before configured recovery target was reached" not in str(error):
            raise
        if gap is not None:
            raise DamagedBackupError(f"archived log: {gap}; it is needed to reach {until}") from error
        last = _last_transaction(log)
        reached = "no transaction after the backup" if last is None else f"the transaction of {last.isoformat()}"
        raise RestoreError(
            f"until: expected log up to {until}, found that it ends with {reached}: what came later is not archived yet"
            ', or nothing was written (then "latest" is the moment)'
        ) from error


def _gap(backup: Backup, source: Path) -> str | None:
    """Return the first segment after the backup that is missing or damaged in the archived log, None where none is."""
    if not source.is_dir():
        raise RestoreError(f"{source}: expected the archived log, found no folder")
    size = backup.description["wal_segment_bytes"]
    found = {path.name[:24]: path for path in source.iterdir() if SEGMENT.fullmatch(path.name.removesuffix(".gz"))}
    newest = max(backup.description["wal"])
    for timeline in sorted({name[:8] for name in found if name[:8] >= newest[:8]}):
        names = sorted(name for name in found if name[:8] == timeline)
        if timeline == newest[:8]:
            names = [name for name in names if name > newest]
            expected = _next(newest, size)
        else:
            expected = names[0]
        for name in names:
            if name != expected:
                return f"segment {expected} is missing, {name} is there"
            if _bytes_of(found[name]) != size:
                return f"segment {name} is damaged: {found[name]} does not give {size:,} bytes"
            expected = _next(name, size)
    return None


def _next(name: str, size: int) -> str:
    return segment_name(int(name[:8], 16), segment_start(name, size) + size, size)


def _bytes_of(path: Path) -> int | None:
    """Return how many bytes a kept segment gives, None where its checksum or its form is wrong."""
    if path.suffix != ".gz":
        return path.stat().st_size
    count = 0
    try:
        with gzip.open(path) as file:
            while block := file.read(1 << 20):
                count += len(block)
    except (OSError, EOFError, zlib.error):
        return None
    return count


def _check_files(
    backup: Backup, named: dict[str, dict[str, str]], home: Path | None, say: Progress
) -> tuple[int, int, list[str]]:
    """Hash every file of the backup and every other that the restored tables name; put them into `home` if given.

    Returns how many there are, how many were placed, and what is wrong.
    """
    folder = backup.folder.parent
    listing = read_listing(backup.folder / LISTING)
    # What was taken since: a later moment names it.
    for store, there in listing.items():
        since = scan_store(folder / POOL / store)
        there |= {name: size for name, size in since.items() if name[:64] in named[store] and name not in there}
    entries = [(store, name) for store, names in listing.items() for name in names]

    def check(entry: tuple[str, str]) -> str | None:
        store, name = entry
        path = stored_file(folder, *entry)
        if not path.is_file():
            return f"{store}/{name}: not in the backup"
        if home is None:
            return None if sha256_file(path) == name[:64] else f"{store}/{name}: the bytes are not those of its name"
        target = home / store / name[:2] / name
        try:
            place_file(path, target)
        except IntegrityError as error:
            return f"{store}/{name}: {error}"
        return None

    there_already = [] if home is None else [e for e in entries if (home / e[0] / e[1][:2] / e[1]).is_file()]
    known = set(there_already)
    todo = [entry for entry in entries if entry not in known]
    problems = []
    with ThreadPoolExecutor(2) as pool:
        for number, complaint in enumerate(pool.map(check, todo)):
            if number % 1000 == 0:
                say(f"checking files of the stores: {number:,} of {len(todo):,}")
            if complaint is not None:
                problems.append(complaint)
    placed = 0 if home is None else len(todo) - len(problems)
    return len(entries), placed, problems + missing_files(named, listing)


def _last_transaction(log: Path) -> datetime | None:
    found = _LAST.findall(log.read_text("utf-8", "replace")) if log.is_file() else []
    return datetime.fromisoformat(found[-1]).replace(tzinfo=UTC) if found else None


def _ignore(folder: str, names: list[str]) -> list[str]:
    if Path(folder).name != BASE:
        return []
    return [name for name in names if name in _NOT_COPIED or name.startswith(".s.PGSQL")]


def _undo(data_dir: Path, programs: Path) -> None:
    if (data_dir / "postmaster.pid").exists():
        with suppress(ServerError):
            server.stop(data_dir, programs)
    for path in data_dir.iterdir() if data_dir.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _shown(found: Fingerprint | None) -> str:
    return "no such table" if found is None else f"{found.rows:,} rows, {found.sha256[:12]}"


def _silent(_: str) -> None:
    pass
