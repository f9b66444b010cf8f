"""Backups of one home: the database as it stands on the disk, and the files that it refers to.

A folder of backups holds

    20260731T101112Z/backup.json     what it is: when, of which server, the content of every table as a hash
    20260731T101112Z/base/           pg_basebackup's copy, with the log it needs and its manifest
    20260731T101112Z/files.txt.gz    every file of the home's stores then, one a line: store, name, bytes
    files/archive/, files/artifacts/ those files, once for all backups: they never change and are named by their SHA-256
    wal/                             the archived log, where the archiver writes it (see `archiver`)

A backup is a moment. While the copy is made everything goes on; then writers wait for one instant, in which a view is
opened and a restore point is written to the log. The hashes are of that view, and restoring stops at that point: so
they must be equal, whatever was written meanwhile.

A backup is built as `.building-<name>` and renamed when all of it is on the disk.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, IsolationLevel, sql
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled
from psycopg.rows import tuple_row

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import hash_document, new_ulid, sha256_file

from . import server
from .artifacts import IntegrityError
from .fingerprint import Fingerprint, fingerprints
from .manifest import LogRange, log_range, verify_base
from .migrations import current_revision
from .postgres import plain_url
from .server import Progress
from .tables import SCHEMA
from .wal import SEGMENT, format_lsn, parse_lsn, segment_name, segments

DOCUMENT = "signaldelta.backup/1"
BASE, FILES, LISTING, DESCRIPTION, WAL = "base", "files", "files.txt.gz", "backup.json", "wal"
TOOLS = ("pg_basebackup", "pg_receivewal", "pg_waldump", "pg_ctl")

_BUILDING, _REMOVING = ".building-", ".removing-"
_FILE = re.compile(r"[0-9a-f]{64}(\.[a-z0-9]+)?")
_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
# All tables are locked at once or given back after this: less than the second after which others look for deadlocks,
# so that it is never another's transaction that is ended for it.
_LOCK_MILLISECONDS = 800
# Autovacuum makes way once somebody has waited this long.
_DEADLOCK_MILLISECONDS = 100
_PATIENCE_SECONDS = 600.0

# Which tables name files, by store. A file is in the store before a row that names it.
REFERENCES: dict[str, dict[str, str]] = {
    "archive": {
        "raw_documents": "SELECT body_hash FROM {table}",
        "http_validators": "SELECT body_hash FROM {table}",
        "quarantined_records": "SELECT body_hash FROM {table}",
        "clock_decisions": "SELECT body_hash FROM {table}",
    },
    "artifacts": {
        "backtest_artifacts": "SELECT file_hash FROM {table}",
        "backtest_snapshots": "SELECT jsonb_path_query(manifest, '$.parts[*].file_hash') #>> '{{}}' FROM {table}",
    },
}


class BackupError(SignalDeltaError):
    """A backup that cannot be made, or is not what it should be."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup: its folder and its description (`backup.json`)."""

    folder: Path
    description: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name: the moment it was begun, UTC."""
        return self.folder.name

    @property
    def moment(self) -> datetime:
        """The moment it holds: everything committed before it and nothing committed after."""
        return datetime.fromisoformat(self.description["moment"])

    @property
    def tables(self) -> dict[str, Fingerprint]:
        """What each table held at that moment."""
        return {name: Fingerprint(**found) for name, found in self.description["tables"].items()}

    @property
    def problems(self) -> list[str]:
        """Files that the database named and the home did not have, or not with the bytes of their name."""
        return list(self.description["files"]["problems"])


def backup(
    url: str,
    folder: Path,
    *,
    archive_dir: Path,
    artifacts_dir: Path,
    sync: bool = True,
    progress: Progress | None = None,
) -> Backup:
    """Back the server of `url` up into `folder`, with the files of the home's two stores; return the backup.

    The role is a superuser, or has REPLICATION, pg_monitor, MAINTAIN on our tables and EXECUTE on
    pg_create_restore_point and pg_switch_wal. Writers of our schema wait for an instant at the end of the copy. A file
    that a table names and the home lacks does not stop it: see `Backup.problems`. sync: all of it is on the disk before
    it is called a backup. Raises `BackupError` and `ServerError`; then, and when killed, nothing looks like a backup.
    """
    say = progress or _silent
    folder = folder.expanduser().resolve()
    began = time.monotonic()
    with locked(folder) as lock, psycopg.connect(plain_url(url), autocommit=True) as control:
        about = _examine(control)
        revision = current_revision(url)
        if revision is None:
            raise BackupError(f"database {control.info.dbname!r}: expected our schema in it, found none")
        programs = server.binaries(about["server_version_num"] // 10000, *TOOLS)
        name = _new_name(folder)
        building = folder / f"{_BUILDING}{name}"
        base = building / BASE
        building.mkdir()
        base.mkdir(0o700)
        try:
            # Of this session and gone with it: until then the server keeps the log from here on.
            slot = f"sd_backup_{new_ulid().lower()}"
            control.execute("SELECT pg_create_physical_replication_slot(%s, true, true)", (slot,))
            unsynced = [] if sync else ["--no-sync"]
            say("copying the database")
            server.run(
                [programs / "pg_basebackup", "-d", plain_url(url), "-D", base, "-F", "plain", "-X", "stream",
                 "-c", "fast", "-l", f"signaldelta {name}", "--manifest-checksums=SHA256", "--no-password", *unsynced],
                progress=progress, keep_open=[lock],
            )  # fmt: skip
            copied = log_range(base)
            point = f"signaldelta {name}"
            with _view(control, url, point, say) as (view, moment, last), ThreadPoolExecutor(1) as aside:
                size = about["wal_segment_bytes"]
                control.execute("SELECT pg_switch_wal()")
                streamed = aside.submit(
                    _stream,
                    [programs / "pg_receivewal", "-d", plain_url(url), *unsynced],
                    building,
                    copied,
                    last,
                    size,
                    lock,
                )
                tables = fingerprints(view, progress=lambda table: say(f"hashing {table}"))
                named = references(view)
                streamed.result()
            say("checking the copy")
            log = _hash_log(base, list(segments(copied.timeline, copied.start, last - 1, size)))
            checker = verify_base(base, programs, log, last, progress)
            # After the view: a file is in its store before a row names it.
            taken = _take_files(folder, {"archive": archive_dir, "artifacts": artifacts_dir}, say)
            problems = taken.problems + missing_files(named, taken.listing)
            _write_listing(building / LISTING, taken.listing)
            description: dict[str, Any] = {
                "schema": DOCUMENT,
                "name": name,
                "moment": moment.isoformat(),
                **about,
                "schema_revision": revision,
                "timeline": copied.timeline,
                "lsn": {"start": format_lsn(copied.start), "copied": format_lsn(copied.end), "end": format_lsn(last)},
                "restore_point": point,
                "wal": log,
                "manifest_sha256": sha256_file(base / "backup_manifest"),
                "checked_by": checker,
                "size_bytes": sum(path.stat().st_size for path in base.rglob("*") if path.is_file()),
                "tables": {table: asdict(found) for table, found in tables.items()},
                "files": {
                    "count": sum(map(len, taken.listing.values())),
                    "size_bytes": sum(sum(names.values()) for names in taken.listing.values()),
                    "new": taken.new,
                    "new_bytes": taken.new_bytes,
                    "listing_sha256": sha256_file(building / LISTING),
                    "problems": problems,
                },
                "seconds": round(time.monotonic() - began, 1),
            }
            description["sha256"] = hash_document(description)
            (building / DESCRIPTION).write_text(json.dumps(description, indent=1, sort_keys=True) + "\n", "utf-8")
            if sync:
                say("waiting for the disk")
                # Everything at once: a call per file takes minutes for a large archive.
                os.sync()
            building.rename(folder / name)
            _sync_folder(folder)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        return Backup(folder / name, description)


def backups(folder: Path) -> list[Backup]:
    """Return the finished backups in `folder`, oldest first. Raises `BackupError` for a description that is wrong."""
    folder = folder.expanduser().resolve()
    names = sorted(path.name for path in folder.iterdir() if _NAME.fullmatch(path.name)) if folder.is_dir() else []
    return [open_backup(folder / name) for name in names]


def open_backup(path: Path) -> Backup:
    """Return the backup at `path`. Raises `BackupError` where none is, or where its description was changed."""
    path = path.expanduser().resolve()
    file = path / DESCRIPTION
    if not file.is_file():
        raise BackupError(f"{path}: expected a finished backup, found no {DESCRIPTION} there")
    try:
        description = json.loads(file.read_bytes())
        found = description.get("schema")
        unsealed = {key: value for key, value in description.items() if key != "sha256"}
        sealed = hash_document(unsealed) == description.get("sha256")
    except (ValueError, AttributeError) as error:
        raise BackupError(f"{file}: expected a description as JSON, found none: {error}") from error
    if found != DOCUMENT:
        raise BackupError(f"{file}: field 'schema': expected {DOCUMENT!r}, found {found!r}")
    if not sealed:
        raise BackupError(f"{file}: field 'sha256': expected the hash of the other fields, found another")
    return Backup(path, description)


def back_up_files(
    folder: Path, *, archive_dir: Path, artifacts_dir: Path, progress: Progress | None = None
) -> tuple[int, int, list[str]]:
    """Take the files that `folder` does not have yet, without a copy of the database.

    To be called often where the log is archived: a moment after the last backup names files that came after it.
    Returns how many were taken, their bytes, and what is wrong with those that were not.
    """
    folder = folder.expanduser().resolve()
    with locked(folder):
        taken = _take_files(folder, {"archive": archive_dir, "artifacts": artifacts_dir}, progress or _silent)
        os.sync()
        return taken.new, taken.new_bytes, taken.problems


def prune(folder: Path, keep: int) -> list[str]:
    """Remove all but the newest `keep` backups, the log before the oldest kept, and the files of removed ones alone.

    Returns the names of the removed backups. Raises `BackupError` for a `keep` below 1.
    """
    if keep < 1:
        raise BackupError(f"keep: expected at least 1, found {keep}")
    folder = folder.expanduser().resolve()
    with locked(folder):
        found = backups(folder)
        removed, kept = found[:-keep], found[-keep:]
        if not removed:
            return []
        needed = {entry for one in kept for entry in _entries(read_listing(one.folder / LISTING))}
        spare = {entry for one in removed for entry in _entries(read_listing(one.folder / LISTING))} - needed
        for one in removed:
            gone = folder / f"{_REMOVING}{one.name}"
            one.folder.rename(gone)
            shutil.rmtree(gone)
        for store, name in spare:
            stored_file(folder, store, name).unlink(missing_ok=True)
        # Names order as places do; the timeline, their first eight digits, says nothing about age.
        oldest = min(kept[0].description["wal"])[8:]
        for path in (folder / WAL).glob("*"):
            if SEGMENT.match(path.name) and path.name[8:24] < oldest:
                path.unlink()
        return [one.name for one in removed]


def references(connection: Connection[Any]) -> dict[str, dict[str, str]]:
    """Return the files that the database names: by store, the hash and the table that names it."""
    found: dict[str, dict[str, str]] = {store: {} for store in REFERENCES}
    with connection.cursor(row_factory=tuple_row) as cursor:
        for store, queries in REFERENCES.items():
            for table, query in queries.items():
                for (name,) in cursor.execute(sql.SQL(query).format(table=sql.Identifier(SCHEMA, table))):
                    if name is None:
                        continue
                    found[store].setdefault(name, table)
    return found


def missing_files(named: dict[str, dict[str, str]], listing: dict[str, dict[str, int]]) -> list[str]:
    """Return a line for every file that is named (`references`) and is not in `listing`."""
    there = {store: {name[:64] for name in names} for store, names in listing.items()}
    return [
        f"{store}/{name}: named by table {table}, not there"
        for store, names in named.items()
        for name, table in sorted(names.items())
        if name not in there.get(store, ())
    ]


def stored_file(folder: Path, store: str, name: str) -> Path:
    """Return where a folder of backups keeps the file `name` of a store."""
    return folder / FILES / store / name[:2] / name


def read_listing(path: Path) -> dict[str, dict[str, int]]:
    """Return the listing of a backup: by store, the names of the files and their bytes."""
    listing: dict[str, dict[str, int]] = {store: {} for store in REFERENCES}
    with gzip.open(path, "rt", encoding="ascii") as file:
        for line in file:
            store, name, size = line.split()
            listing[store][name] = int(size)
    return listing


def scan_store(root: Path) -> dict[str, int]:
    """Return the files of a content-addressed store, with their bytes."""
    found: dict[str, int] = {}
    if root.is_dir():
        for folder in sorted(path for path in root.iterdir() if len(path.name) == 2 and path.is_dir()):
            with os.scandir(folder) as entries:
                found |= {entry.name: entry.stat().st_size for entry in entries if _FILE.fullmatch(entry.name)}
    return found


def place_file(source: Path, target: Path) -> None:
    """Make `target` the file `source`, as a second name of it where both are on one file system, else as a copy.

    The bytes are hashed first; raises `IntegrityError` where they are not those of the name.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    incoming = target.parent / f".incoming-{target.name}"
    incoming.unlink(missing_ok=True)
    try:
        try:
            os.link(source, incoming)
        except OSError:
            shutil.copyfile(source, incoming)
            incoming.chmod(0o444)
        found = sha256_file(incoming)
        if found != source.name[:64]:
            raise IntegrityError(f"{source}: the bytes are not those of its name (found {found})")
        incoming.replace(target)
    finally:
        incoming.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the lock of a folder of backups (yields its descriptor), after clearing what killed processes left.

    Raises `BackupError` where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(f"{folder}: expected no other backup under way, found one that holds its lock") from error
        for prefix in (_BUILDING, _REMOVING):
            for leftover in folder.glob(f"{prefix}*"):
                shutil.rmtree(leftover)
        yield file.fileno()


@dataclass(frozen=True, slots=True)
class _Taken:
    listing: dict[str, dict[str, int]]
    new: int
    new_bytes: int
    problems: list[str]


def _take_files(folder: Path, stores: dict[str, Path], say: Progress) -> _Taken:
    """Take into the folder what it does not have of the stores; a file whose bytes are wrong is left out and named."""
    listing: dict[str, dict[str, int]] = {}
    problems: list[str] = []
    new = new_bytes = 0
    for store, root in stores.items():
        there, kept = scan_store(root), scan_store(folder / FILES / store)
        wanted = [name for name, size in there.items() if kept.get(name) != size]
        for number, name in enumerate(wanted):
            if number % 1000 == 0:
                say(f"taking files of the {store}: {number:,} of {len(wanted):,}")
            try:
                place_file(root / name[:2] / name, stored_file(folder, store, name))
            except IntegrityError as error:
                problems.append(f"{store}/{name}: {error}")
                del there[name]
            else:
                new, new_bytes = new + 1, new_bytes + there[name]
        listing[store] = there
    return _Taken(listing, new, new_bytes, problems)


def _examine(control: Connection[Any]) -> dict[str, Any]:
    """Return what the description says of the server. Raises `BackupError` for one that cannot be backed up so."""
    row = control.execute(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int,"
        " (SELECT system_identifier::text FROM pg_control_system()), current_database(), current_user,"
        " pg_size_bytes(current_setting('wal_segment_size')), current_setting('wal_level'),"
        " (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user), pg_is_in_recovery(),"
        " (SELECT array_agg(spcname::text) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global'))"
    ).fetchone()
    assert row is not None
    if row[8]:
        raise BackupError("server: expected a primary, found one in recovery: back its primary up")
    if row[6] == "minimal":
        raise BackupError("wal_level: expected replica or logical, found 'minimal'")
    if not row[7]:
        raise BackupError(f"role {row[4]!r}: expected REPLICATION or a superuser, found neither")
    if row[9]:
        raise BackupError(f"tablespaces: expected none besides the data directory, found {row[9]}")
    names = ("server_version", "server_version_num", "system_identifier", "database", "role", "wal_segment_bytes")
    return dict(zip(names, row, strict=False))


@contextmanager
def _view(
    control: Connection[Any], url: str, point: str, say: Progress
) -> Iterator[tuple[Connection[Any], datetime, int]]:
    """A connection that sees the tables as they are at a restore point, that moment, and its place in the log.

    Every transaction that wrote to the tables has ended once all are locked: it is in the view and before the point.
    """
    tables = control.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1",
        (SCHEMA,),
    ).fetchall()
    lock = sql.SQL("LOCK TABLE {} IN SHARE MODE").format(
        sql.SQL(", ").join(sql.Identifier(SCHEMA, t) for (t,) in tables)
    )
    superuser = control.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with psycopg.connect(plain_url(url)) as view:
        view.isolation_level = IsolationLevel.REPEATABLE_READ
        view.read_only = True
        while True:
            try:
                with control.transaction():
                    if superuser == (True,):
                        control.execute(
                            "SELECT set_config('deadlock_timeout', %s, true)", (f"{_DEADLOCK_MILLISECONDS}ms",)
                        )
                    control.execute("SELECT set_config('statement_timeout', %s, true)", (f"{_LOCK_MILLISECONDS}ms",))
                    control.execute(lock)
                    row = view.execute("SELECT clock_timestamp()").fetchone()
                    place = control.execute("SELECT pg_create_restore_point(%s)::text", (point,)).fetchone()
                break
            except (QueryCanceled, LockNotAvailable, DeadlockDetected) as error:
                view.rollback()
                if time.monotonic() > deadline:
                    raise BackupError(
                        f"tables: expected an instant without a writer within {_PATIENCE_SECONDS:.0f} s, found none:"
                        f" {_writers(control)}"
                    ) from error
                say(f"waiting for writers: {_writers(control)}")
                time.sleep(0.2)
        assert row is not None and place is not None
        yield view, row[0].astimezone(UTC), parse_lsn(place[0])


def _writers(control: Connection[Any]) -> str:
    """Return who writes to our tables now, and since when."""
    rows = control.execute(
        "SELECT DISTINCT a.pid, a.application_name, a.xact_start FROM pg_locks l"
        " JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_stat_activity a ON a.pid = l.pid"
        " WHERE n.nspname = %s AND l.mode <> 'AccessShareLock' AND l.granted AND a.pid <> pg_backend_pid()"
        " ORDER BY a.xact_start LIMIT 3",
        (SCHEMA,),
    ).fetchall()
    return (
        "; ".join(f"process {pid} ({name or 'no name'}) since {began:%H:%M:%S}" for pid, name, began in rows) or "none"
    )


def _stream(command: list[str | Path], building: Path, copied: LogRange, last: int, size: int, lock: int) -> None:
    """Bring the log of the copy from where pg_basebackup stopped to the end of the segment with the byte before `last`.

    It stopped somewhere behind the end of the copy and filled that segment with zeros, which a receiver takes for the
    whole segment. So they are received again, from the segment with the end of the copy on.
    """
    stream = building / "stream"
    stream.mkdir()
    # A receiver begins after the newest segment that it finds.
    first = (copied.end - 1) // size * size
    seen = stream / segment_name(copied.timeline, first - size, size)
    seen.touch()
    os.truncate(seen, size)
    # The switch has the server fill the segment, so the stream gets beyond this place whatever is written next.
    end = ((last - 1) // size + 1) * size - 1
    server.run([*command, "-D", stream, "--no-loop", "--no-password", "--endpos", format_lsn(end)], keep_open=[lock])
    seen.unlink()
    kept = building / BASE / "pg_wal"
    for path in kept.iterdir():
        if SEGMENT.fullmatch(path.name) and path.name >= segment_name(copied.timeline, first, size):
            path.unlink()
    for name in segments(copied.timeline, first, last - 1, size):
        if (stream / name).is_file():
            (stream / name).replace(kept / name)
    shutil.rmtree(stream)


def _hash_log(base: Path, names: list[str]) -> dict[str, str]:
    missing = [name for name in names if not (base / "pg_wal" / name).is_file()]
    if missing:
        raise BackupError(f"log of the copy: expected segments {names[0]} to {names[-1]}, found none of {missing}")
    return {name: sha256_file(base / "pg_wal" / name) for name in names}


def _write_listing(path: Path, listing: dict[str, dict[str, int]]) -> None:
    lines = [
        f"{store} {name} {size}\n" for store, names in sorted(listing.items()) for name, size in sorted(names.items())
    ]
    # No time in it: the same files are the same bytes.
    path.write_bytes(gzip.compress("".join(lines).encode("ascii"), 6, mtime=0))


def _entries(listing: dict[str, dict[str, int]]) -> Iterator[tuple[str, str]]:
    for store, names in listing.items():
        for name in names:
            yield store, name


def _new_name(folder: Path) -> str:
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    others = (f"{stem}-{number}" for number in range(2, 1000))
    return next(name for name in (stem, *others) if not (folder / name).exists())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _silent(_: str) -> None:
    pass
