"""Backups from the command line: make, list, restore; and the archive of the log between them."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import IsolationLevel
from rich.console import Console
from rich.table import Table

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.settings import Settings, load_settings
from signaldelta_assets.warehouse import archiver as archiving
from signaldelta_assets.warehouse import backup as making
from signaldelta_assets.warehouse import embedded_server
from signaldelta_assets.warehouse import restore as restoring
from signaldelta_assets.warehouse.fingerprint import fingerprints
from signaldelta_assets.warehouse.postgres import plain_url


class BackupRequestError(SignalDeltaError):
    """A command that asks for what cannot be."""


def backup(
    console: Console, folder: Path | None, *, files_only: bool = False, keep: int | None = None, as_json: bool = False
) -> bool:
    """Make a backup in `folder`, or take new files alone; say what is there now. Returns whether nothing is missing."""
    settings = load_settings()
    folder = folder or default_folder(settings)
    archive, artifacts = settings.archive_dir, settings.artifacts_dir
    with _progress(console, as_json) as say:
        if files_only:
            new, new_bytes, problems = making.back_up_files(
                folder, archive_dir=archive, artifacts_dir=artifacts, progress=say
            )
            found: dict[str, Any] = {"new": new, "new_bytes": new_bytes, "problems": problems}
        else:
            made = making.backup(_url(settings), folder, archive_dir=archive, artifacts_dir=artifacts, progress=say)
            problems, found = made.problems, made.description
            removed = making.prune(folder, keep) if keep is not None else []
    if as_json:
        print(json.dumps(found, sort_keys=True))
        return not problems
    if files_only:
        console.print(f"{new:,} new files, {_size(new_bytes)}, in {folder}", highlight=False, soft_wrap=True)
    else:
        files = found["files"]
        console.print(
            f"{made.folder}\n  moment    {found['moment']}\n  database  {_size(found['size_bytes'])},"
            f" {sum(table.rows for table in made.tables.values()):,} rows in {len(made.tables)} tables,"
            f" schema {found['schema_revision']}, PostgreSQL {found['server_version']}\n"
            f"  log       {found['lsn']['start']} to {found['lsn']['end']}\n"
            f"  files     {files['count']:,} ({_size(files['size_bytes'])}), of them new {files['new']:,}"
            f" ({_size(files['new_bytes'])})\n  seconds   {found['seconds']}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        for name in removed:
            console.print(f"removed   {name}", highlight=False)
    _tell(console, problems)
    return not problems


def backups(console: Console, folder: Path | None, *, as_json: bool = False) -> None:
    """List the finished backups in `folder`, oldest first."""
    found = making.backups(folder or default_folder(load_settings()))
    if as_json:
        print(json.dumps([one.description for one in found], sort_keys=True))
        return
    shown = Table("backup", "moment", "database", "rows", "files", "schema", "PostgreSQL", "problems")
    for one in found:
        about = one.description
        shown.add_row(
            one.name, f"{one.moment:%Y-%m-%d %H:%M:%S}", _size(about["size_bytes"]),
            f"{sum(table.rows for table in one.tables.values()):,}", f"{about['files']['count']:,}",
            about["schema_revision"], about["server_version"].split()[0], str(len(one.problems) or ""),
        )  # fmt: skip
    console.print(shown)


def restore(
    console: Console,
    path: str,
    data_dir: Path,
    *,
    until: str | None = None,
    home: Path | None = None,
    wal: Path | None = None,
    stop: bool = False,
    as_json: bool = False,
) -> bool:
    """Restore a backup, by path or by name in the default folder; print the tables and the URL of the server.

    Returns whether all is equal and every file is there.
    """
    named = default_folder(load_settings()) / path
    backup_path = named if "/" not in path and named.is_dir() else Path(path)
    with _progress(console, as_json) as say:
        done = restoring.restore(
            backup_path, data_dir, until=_until(until), wal=wal, home=home.expanduser() if home else None, progress=say
        )
        if stop:
            restoring.stop_restored(done)
    if as_json:
        tables = {name: asdict(found) for name, found in done.tables.items()}
        last = done.last_transaction.isoformat() if done.last_transaction else None
        print(json.dumps({"url": done.url, "last_transaction": last, "tables": tables, "files": done.files,
                          "placed": done.placed, "problems": done.problems}, sort_keys=True))  # fmt: skip
        return not done.problems
    shown = Table("table", "rows", "sha256", *(["as backed up"] if done.expected else []))
    for name, found in done.tables.items():
        equal = [] if not done.expected else ["equal" if done.expected.get(name) == found else "DIFFERS"]
        shown.add_row(name, f"{found.rows:,}", found.sha256[:16], *equal)
    console.print(shown)
    if done.last_transaction is not None:
        console.print(f"last transaction  {done.last_transaction.isoformat()}", highlight=False)
    placed = f", {done.placed:,} put into {home}" if home else ""
    console.print(f"files             {done.files:,} in the backup{placed}", highlight=False, soft_wrap=True)
    console.print(f"server            {'stopped: ' if stop else ''}{done.url}", highlight=False, soft_wrap=True)
    _tell(console, done.problems)
    return not done.problems


def show_fingerprints(console: Console, *, as_json: bool = False) -> None:
    """Print the content of every table of the home as rows and hash, all as of one moment."""
    with psycopg.connect(plain_url(_url(load_settings()))) as view, _progress(console, as_json) as say:
        view.isolation_level = IsolationLevel.REPEATABLE_READ
        view.read_only = True
        found = fingerprints(view, progress=say)
    if as_json:
        print(json.dumps({name: asdict(one) for name, one in found.items()}, sort_keys=True))
        return
    shown = Table("table", "rows", "sha256")
    for name, one in found.items():
        shown.add_row(name, f"{one.rows:,}", one.sha256[:16])
    console.print(shown)


def archiver(
    console: Console, action: Literal["status", "on", "off", "now"], folder: Path | None, *, as_json: bool = False
) -> bool:
    """Switch the archiving of the log on or off, wait for all of it to be archived, or say how it stands.

    Returns whether all is well. Raises `BackupRequestError` where a server of one's own is to be switched: it says
    with which settings.
    """
    settings = load_settings()
    kept = (folder or default_folder(settings)).expanduser().resolve() / making.WAL
    if action in ("on", "off") and settings.database_url is not None:
        wanted = archiving.settings(kept) if action == "on" else {"archive_mode": "off"}
        lines = "\n".join("  {} = '{}'".format(name, value.replace("'", "''")) for name, value in wanted.items())
        raise BackupRequestError(
            "archiving: expected the embedded server, found SIGNALDELTA_DATABASE_URL: a server of your own is switched"
            f" in its postgresql.conf, with a folder that its user may write, and started again\n{lines}"
        )
    if action == "on":
        archiving.switch_on(settings.postgres_dir, kept)
    elif action == "off":
        archiving.switch_off(settings.postgres_dir)
    url = _url(settings)
    if action == "now":
        archiving.archive_now(url)
    status = archiving.archiver_status(url)
    if as_json:
        print(json.dumps(status.document(), sort_keys=True))
    else:
        age = "" if status.last_archived_age is None else f", {status.last_archived_age:.0f} s ago"
        free = "" if status.free_bytes is None else f", {_size(status.free_bytes)} free there"
        console.print(
            f"archiving      {'on' if status.on else 'off'}\n"
            f"last archived  {status.last_archived or 'none'}{age} ({status.archived:,} in all)\n"
            f"failures       {status.failed:,}{f', last of {status.last_failed}' if status.last_failed else ''}\n"
            f"waiting        {status.waiting:,} segments, {_size(status.wal_bytes)} of log{free}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        _tell(console, [status.problem] if status.problem else [])
    return status.problem is None or action == "off"


def default_folder(settings: Settings) -> Path:
    """Return where backups of a home go if nothing else is said; another disk is better."""
    return settings.home_dir / "backups"


def _url(settings: Settings) -> str:
    """The deployment's server, without importing Dagster for it."""
    return settings.database_url or embedded_server(settings.postgres_dir)


def _until(text: str | None) -> restoring.Until:
    if text is None or text == "latest":
        return text  # type: ignore[return-value]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise BackupRequestError(
            f"until: expected a moment with a time zone such as 2025-07-01T12:00:00Z, or latest; found {text!r}"
        )
    return found


class _progress:
    """A line that says what goes on, where somebody looks; none where the answer is for a program."""

    def __init__(self, console: Console, silent: bool) -> None:
        self._status = None if silent else console.status("starting")

    def __enter__(self) -> Any:
        if self._status is None:
            return lambda _: None
        self._status.start()
        return self._status.update

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()


def _tell(console: Console, problems: list[str]) -> None:
    for line in problems[:20]:
        console.print(f"problem   {line}", highlight=False, soft_wrap=True, markup=False)
    if len(problems) > 20:
        console.print(f"problem   and {len(problems) - 20:,} more; --json lists them")


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
