"""A home with a server of its own is backed up, damaged, killed and restored to a third server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from signaldelta_assets.versioning import sha256_hex
from signaldelta_assets.warehouse import ArtifactStore, embedded_server, metadata, migrate
from signaldelta_assets.warehouse.archiver import archive_now, archiver_status, settings, switch_on
from signaldelta_assets.warehouse.backup import (
    REFERENCES,
    Backup,
    BackupError,
    back_up_files,
    backup,
    backups,
    locked,
    prune,
    stored_file,
)
from signaldelta_assets.warehouse.fingerprint import fingerprints
from signaldelta_assets.warehouse.manifest import DamagedBackupError
from signaldelta_assets.warehouse.restore import Restored, RestoreError, restore, stop_restored
from signaldelta_assets.warehouse.server import ServerError, binaries
from signaldelta_assets.warehouse.wal import format_lsn, parse_lsn, segments
from tests.paths import ROOT
from tests.warehouse.servers import kill_server, own_server, short_folder

pytestmark = pytest.mark.postgres

_DOCUMENT = (
    "INSERT INTO signaldelta.raw_documents (body_hash, size_bytes, source_url, http_status, observed_time)"
    " VALUES (%s, %s, 'https://example.test/', 200, now())"
)
_ABSENCE = "INSERT INTO signaldelta.http_absences VALUES (%s, now(), now())"


@dataclass
class Home:
    """A home: its folder, the URL of its running server, its two stores, and the first backup of it."""

    folder: Path
    url: str
    archive: ArtifactStore
    artifacts: ArtifactStore
    backed_up: list[Backup]

    @property
    def data_dir(self) -> Path:
        return self.folder / "postgres"

    @property
    def backups(self) -> Path:
        return self.folder / "backups"

    def execute(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            done = connection.execute(query, values)  # type: ignore[arg-type]
            return done.fetchall() if done.description else []

    def add_document(self, body: bytes) -> str:
        name = self.archive.put_bytes(body)
        self.execute(_DOCUMENT, name, len(body))
        return name

    def back_up(self) -> Backup:
        stores = {"archive_dir": self.archive.root, "artifacts_dir": self.artifacts.root}
        return backup(self.url, self.backups, **stores, sync=False)


# A transaction of two rows, again and again without waiting for a client: some end within any instant.
_WRITE = """
DO $$ BEGIN FOR round IN 1..200 LOOP
  INSERT INTO signaldelta.http_absences SELECT gen_random_uuid()::text, now(), now() FROM generate_series(1, 2);
  COMMIT;
END LOOP; END $$
"""


@contextmanager
def _load(home: Home) -> Iterator[list[int]]:
    """A writer that does nothing else; yields a list of one number: the rows it has committed."""
    stop, counts = threading.Event(), [0]

    def write() -> None:
        with psycopg.connect(home.url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute(_WRITE)
                counts[0] += 400

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield counts
    finally:
        stop.set()
        writer.join()


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with short_folder() as folder, own_server(folder) as (data_dir, url):
        migrate(url)
        url = switch_on(data_dir, folder / "backups" / "wal")
        found = Home(folder, url, ArtifactStore(folder / "archive"), ArtifactStore(folder / "artifacts"), [])
        for number in range(3):
            found.add_document(b"body %d" % number)
        # As Dagster's events name it: no table of ours does, and it is kept all the same.
        found.artifacts.put_bytes(b"{}", ".json")
        yield found


@pytest.fixture
def third(home: Home) -> Iterator[Callable[..., Restored]]:
    """Restores into a directory of the test's own; the server is stopped after it."""
    done: list[Restored] = []

    def make(made: Backup, name: str, **options: object) -> Restored:
        done.append(restore(made.folder, home.folder / name, sync=False, **options))  # type: ignore[arg-type]
        return done[-1]

    yield make
    for one in done:
        stop_restored(one)


def _slow_point(execute: Callable[..., object]) -> Callable[..., object]:
    """What a busy machine may do: time passes between the view of the tables and the point in the log."""

    def slow(connection: object, query: object, *more: object, **options: object) -> object:
        if "pg_create_restore_point" in str(query):
            time.sleep(0.1)
        return execute(connection, query, *more, **options)

    return slow


def test_a_backup_under_load_is_a_moment_and_restores_with_equal_hashes(
    home: Home, third: Callable[..., Restored], monkeypatch: pytest.MonkeyPatch
) -> None:
    with _load(home) as counts, monkeypatch.context() as patched:
        patched.setattr(psycopg.Connection, "execute", _slow_point(psycopg.Connection.execute))
        made = home.back_up()
        at_end = sum(counts)
        while sum(counts) == at_end:
            time.sleep(0.01)
    written = sum(counts)
    assert made.problems == []
    assert 0 < made.tables["http_absences"].rows < written and made.tables["http_absences"].rows % 2 == 0
    assert made.description["files"] | {"new": 4, "count": 4} == made.description["files"]
    before = _tree(home.data_dir / "base"), home.execute("SELECT count(*) FROM signaldelta.http_absences")

    fresh = home.folder / "fresh"
    restored = third(made, "third", home=fresh)
    assert restored.problems == []
    assert restored.tables == restored.expected == made.tables
    assert len(restored.tables) >= len(metadata.sorted_tables)
    assert (restored.files, restored.placed) == (4, 4)
    assert ArtifactStore(fresh / "archive").read_bytes(sha256_hex(b"body 1")) == b"body 1"
    # It is a server of its own that takes writes, archives nowhere, and will not replay again.
    with psycopg.connect(restored.url, autocommit=True) as connection:
        connection.execute(_ABSENCE, ("only there",))
        shown = connection.execute(
            "SELECT current_setting('archive_mode'), current_setting('listen_addresses'),"
            " (SELECT count(*) FROM pg_file_settings WHERE name ~ '^(archive|recovery|restore)')"
        ).fetchone()
        assert shown == ("off", "", 0)
        assert fingerprints(connection)["http_absences"] != made.tables["http_absences"]
    assert (_tree(home.data_dir / "base"), home.execute("SELECT count(*) FROM signaldelta.http_absences")) == before
    with pytest.raises(RestoreError, match="expected no such directory or an empty one"):
        restore(made.folder, restored.data_dir)
    home.backed_up.append(made)


def _tree(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def test_a_moment_between_two_writes_has_the_first_and_not_the_second(
    home: Home, third: Callable[..., Restored]
) -> None:
    made = home.back_up()
    first = home.add_document(b"A")
    with psycopg.connect(home.url) as connection:
        at_that_moment = fingerprints(connection)
    ((between,),) = home.execute("SELECT clock_timestamp()")
    assert isinstance(between, datetime)
    second = home.add_document(b"B")
    last = archive_now(home.url)
    # Named by a row after the backup: only the files are taken again, and one of them is lost, another damaged.
    taken = back_up_files(home.backups, archive_dir=home.archive.root, artifacts_dir=home.artifacts.root)
    assert taken == (2, 2, [])
    _rewrite(stored_file(home.backups, "archive", sha256_hex(b"body 0")), b"bodY 0")
    stored_file(home.backups, "archive", first).unlink()
    (lost,) = home.artifacts.root.glob("*/*.json")
    stored_file(home.backups, "artifacts", lost.name).unlink()

    restored = third(made, "between", until=between)
    with psycopg.connect(restored.url) as connection:
        found = {name for (name,) in connection.execute("SELECT body_hash FROM signaldelta.raw_documents").fetchall()}
    assert first in found and second not in found
    assert restored.tables == at_that_moment
    assert restored.expected == {} and restored.last_transaction is not None
    assert made.moment < restored.last_transaction < between
    assert [re.sub(r"/\S+/files/", "", line) for line in restored.problems] == [
        f"archive/{sha256_hex(b'body 0')}: the bytes are not those of its name",
        f"artifacts/{lost.name}: not in the backup",
        f"archive/{first}: named by table raw_documents, not there",
    ]

    with pytest.raises(RestoreError, match="take an older backup"):
        restore(made.folder, home.folder / "x", until=made.moment - timedelta(microseconds=1), sync=False)
    with pytest.raises(RestoreError, match="with a time zone"):
        restore(made.folder, home.folder / "x", until=datetime(2030, 1, 1), sync=False)
    with pytest.raises(RestoreError, match="it ends with the transaction of 20"):
        restore(made.folder, home.folder / "x", until=datetime.now(UTC) + timedelta(days=1), sync=False)
    # Without the segment that has the second write nothing after it can be reached; its name is told.
    kept = home.backups / "wal" / f"{last}.gz"
    whole = kept.read_bytes()
    home.execute(_ABSENCE, "after B")
    archive_now(home.url)
    for damage, said in ((lambda: kept.unlink(), "missing"), (lambda: kept.write_bytes(whole[:-9]), "damaged")):
        damage()
        with pytest.raises(DamagedBackupError, match=f"segment {last} is {said}"):
            restore(made.folder, home.folder / "x", until="latest", sync=False)
    with pytest.raises(DamagedBackupError, match=f"segment {last} is damaged.*; it is needed"):
        restore(made.folder, home.folder / "x", until=datetime.now(UTC), sync=False)
    kept.write_bytes(whole)
    assert not any((home.folder / "x").iterdir())


def _rewrite(path: Path, content: bytes) -> None:
    """Other bytes under the same name, and not in the home, whose file may be the same one."""
    path.unlink()
    path.write_bytes(content)


def test_a_changed_byte_or_a_lost_file_of_the_copy_is_named_before_anything_starts(home: Home) -> None:
    made = backups(home.backups)[0]
    base = made.folder / "base"
    segment = min(made.description["wal"])
    victim = next(path for path in sorted((base / "base").rglob("*")) if path.is_file() and path.stat().st_size > 9000)
    name = str(victim.relative_to(base))
    for path, error, telling in (
        (victim, DamagedBackupError, f"{name}: expected the bytes"),
        (base / "pg_wal" / segment, DamagedBackupError, f"pg_wal/{segment}: the bytes"),
        (base / "backup_manifest", DamagedBackupError, "expected the manifest"),
        (made.folder / "files.txt.gz", DamagedBackupError, "files.txt.gz"),
        (made.folder / "backup.json", BackupError, "field 'sha256'"),
    ):
        whole = path.read_bytes()
        # A digit, so that what is JSON stays it.
        place = max(whole.rfind(digit) for digit in (b"1", b"2", b"\0"))
        path.write_bytes(whole[:place] + b"3" + whole[place + 1 :])
        with pytest.raises(error, match=re.escape(telling)):
            restore(made.folder, home.folder / "y")
        path.write_bytes(whole)
    for path, telling in (
        (victim, f"{name}: in the manifest and not there"),
        (base / "pg_wal" / segment, f"pg_wal/{segment}: not there"),
    ):
        aside = path.rename(home.folder / "aside")
        with pytest.raises(DamagedBackupError, match=re.escape(telling)):
            restore(made.folder, home.folder / "y")
        aside.rename(path)
    extra = base / "base" / "stowaway"
    extra.touch()
    with pytest.raises(DamagedBackupError, match="base/stowaway: there and not in the manifest"):
        restore(made.folder, home.folder / "y")
    extra.unlink()
    assert not (home.folder / "y").exists()


def test_a_backup_that_is_killed_is_none_and_the_next_one_is_cheap_and_names_what_the_home_lost(home: Home) -> None:
    before = backups(home.backups)
    code = (
        "import sys; from pathlib import Path; from signaldelta_assets.warehouse.backup import backup;"
        " backup(sys.argv[1], Path(sys.argv[2]), archive_dir=Path(sys.argv[3]), artifacts_dir=Path(sys.argv[4]),"
        " sync=False)"
    )
    arguments = [home.url, home.backups, home.archive.root, home.artifacts.root]
    with psycopg.connect(home.url) as writer:
        # A writer that does not end: the copy is complete, and the moment does not come.
        writer.execute(_ABSENCE, ("never committed",))
        child = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT)
        deadline = time.monotonic() + 30
        while not list(home.backups.glob(".building-*/base/backup_manifest")) and time.monotonic() < deadline:
            assert child.poll() is None
            time.sleep(0.01)
        with pytest.raises(BackupError, match="no other backup under way"), locked(home.backups):
            pytest.fail("two at once")
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert [one.name for one in backups(home.backups)] == [one.name for one in before]
        writer.rollback()
    assert list(home.backups.glob(".building-*"))

    lost = home.add_document(b"lost")
    home.archive.path(lost).unlink()
    # What a test before this one took away from the pool comes again, the rest stays.
    back_up_files(home.backups, archive_dir=home.archive.root, artifacts_dir=home.artifacts.root)
    made = home.back_up()
    assert made.description["files"]["new"] == 0
    assert made.problems == [f"archive/{lost}: named by table raw_documents, not there"]
    assert [one.name for one in backups(home.backups)] == [*(one.name for one in before), made.name]
    assert not list(home.backups.glob(".building-*"))
    assert home.execute("SELECT count(*) FROM pg_replication_slots") == [(0,)]


def test_a_full_archive_shows_and_a_killed_server_loses_nothing_of_the_log(home: Home) -> None:
    assert archiver_status(home.url).problem is None
    ((segment,),) = home.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    wal = home.backups / "wal"
    # Every byte written there finds the disk full.
    part = wal / f".{segment}.part"
    part.unlink(missing_ok=True)
    part.symlink_to("/dev/full")
    home.execute(_ABSENCE, "full")
    home.execute("SELECT pg_switch_wal()")
    deadline = time.monotonic() + 20
    while (status := archiver_status(home.url)).failed == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status.last_failed == status.oldest_waiting == segment and status.waiting >= 1
    assert status.problem is not None and str(segment) in status.problem and "fails" in status.problem
    assert json.loads(json.dumps(status.document()))["failed"] >= 1
    assert not (wal / f"{segment}.gz").exists()
    part.unlink()

    home.execute(_ABSENCE, "killed after")
    kill_server(home.data_dir)
    home.url = embedded_server(home.data_dir)
    assert home.execute("SELECT count(*) FROM signaldelta.http_absences WHERE url = 'killed after'") == [(1,)]
    last = archive_now(home.url)
    assert archiver_status(home.url).problem is None
    made = backups(home.backups)[0]
    # Every segment from the first backup to now: a hole would be one that the kill lost.
    first = parse_lsn(made.description["lsn"]["end"])
    end = parse_lsn(str(home.execute("SELECT pg_current_wal_lsn()::text")[0][0]))
    names = [name for name in segments(1, first, end, made.description["wal_segment_bytes"]) if name <= last]
    assert segment in names and [name for name in names if not (wal / f"{name}.gz").is_file()] == []


def test_the_commands_list_and_refuse_and_pruning_keeps_what_is_needed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from signaldelta_assets.cli import app
    from signaldelta_assets.cli import backups as commands

    monkeypatch.setenv("SIGNALDELTA_HOME", str(home.folder))
    monkeypatch.delenv("SIGNALDELTA_DATABASE_URL", raising=False)
    run = CliRunner().invoke
    kept = backups(home.backups)
    assert [one["name"] for one in json.loads(run(app, ["db", "backups", "--json"]).stdout)] == [b.name for b in kept]
    hashes = json.loads(run(app, ["db", "fingerprints", "--json"]).stdout)
    assert hashes.keys() == kept[0].tables.keys() and hashes["raw_documents"]["rows"] == 6
    status = run(app, ["db", "archiver", "status"])
    assert (status.exit_code, "archiving      on" in status.stdout) == (0, True)
    console = Console()
    with pytest.raises(RestoreError, match="found something in it"):
        commands.restore(console, kept[0].name, home.folder)
    with pytest.raises(commands.BackupRequestError, match="until: expected a moment with a time zone"):
        commands.restore(console, kept[0].name, home.folder / "z", until="2025-01-01T00:00")
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", home.url)
    with pytest.raises(commands.BackupRequestError, match="archive_command = 'if test -f"):
        commands.archiver(console, "on", None)

    wal = home.backups / "wal"
    needed = min(kept[-1].description["wal"])
    assert any(path.name < needed for path in wal.glob("0*"))
    assert prune(home.backups, 1) == [one.name for one in kept[:-1]]
    assert [one.name for one in backups(home.backups)] == [kept[-1].name]
    assert not any(path.name < needed for path in wal.glob("0*")) and (wal / f"{needed}.gz").exists()
    assert stored_file(home.backups, "archive", sha256_hex(b"body 1")).is_file()
    with pytest.raises(BackupError, match="at least 1"):
        prune(home.backups, 0)


def test_programs_of_another_version_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match=r"pg_basebackup: expected that of PostgreSQL 99 on PATH.*found none"):
        binaries(99, "pg_basebackup")
    program = tmp_path / "pg_basebackup"
    program.write_text("#!/bin/sh\necho 'pg_basebackup (PostgreSQL) 15.8 (Debian)'\n")
    program.chmod(0o755)
    with pytest.raises(ServerError, match=r"found .*/pg_basebackup of PostgreSQL 15"):
        binaries(99, "pg_basebackup")
    assert binaries(15, "pg_basebackup") == tmp_path


def test_every_column_that_names_a_file_is_read_and_places_in_the_log_are_named_right() -> None:
    named = {table.name for table in metadata.sorted_tables if {"body_hash", "file_hash"} & set(table.columns.keys())}
    # What names a document that another table must name as well.
    assert named - {"raw_records"} | {"backtest_snapshots"} == {t for tables in REFERENCES.values() for t in tables}
    assert format_lsn(parse_lsn("16/B374D848")) == "16/B374D848"
    size = 16 * 1024 * 1024
    assert list(segments(1, parse_lsn("0/FEFFFFFF"), parse_lsn("1/0"), size)) == [
        "0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000",
    ]  # fmt: skip
    assert settings(Path("/srv/wal"))["archive_mode"] == "on"
    with pytest.raises(Exception, match="absolute path without quotes"):
        settings(Path("/srv/it's"))
