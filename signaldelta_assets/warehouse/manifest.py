"""Is a base backup whole: every file its manifest lists, with its bytes, nothing else, and the log it needs.

That is what pg_verifybackup says, and it is asked where it runs. In the wheel of the embedded server it does not: the
program is damaged there and ends before it has read its arguments. So the same checks are here, in the manifest's terms
(PostgreSQL documentation, Backup Manifest Format); the log is read by pg_waldump either way.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signaldelta_assets.versioning import sha256_file

from . import server
from .artifacts import IntegrityError
from .server import Progress
from .wal import format_lsn, parse_lsn

# Not in the manifest, or allowed to differ from it: as pg_verifybackup has it.
_APART = ("backup_manifest", "postgresql.auto.conf", "standby.signal", "recovery.signal", "pg_wal")
_NAMED_AT_MOST = 5


class DamagedBackupError(IntegrityError):
    """A base backup that is not what its manifest says."""


@dataclass(frozen=True, slots=True)
class LogRange:
    """The log that a copy needs to become consistent."""

    timeline: int
    start: int
    end: int


def log_range(base: Path) -> LogRange:
    """Return the range that the manifest of a backup names. Raises `DamagedBackupError`."""
    ranges = _manifest(base)["WAL-Ranges"]
    if len(ranges) != 1:
        raise DamagedBackupError(f"{base}: field 'WAL-Ranges': expected one, found {len(ranges)}")
    (found,) = ranges
    return LogRange(found["Timeline"], parse_lsn(found["Start-LSN"]), parse_lsn(found["End-LSN"]))


def verify_base(base: Path, programs: Path, log: Mapping[str, str], end: int, progress: Progress | None = None) -> str:
    """Check the copy in `base`; return what checked it. Raises `DamagedBackupError` naming the files that are wrong.

    programs: the folder of pg_waldump and pg_verifybackup. log: the SHA-256 of every segment up to `end`, the place
    that the log must reach.
    """
    wrong = [f"pg_wal/{name}: not there" for name in log if not (base / "pg_wal" / name).is_file()]
    if not wrong:
        wrong = [
            f"pg_wal/{name}: the bytes are not those it was made with"
            for name, digest in log.items()
            if sha256_file(base / "pg_wal" / name) != digest
        ]
    if wrong:
        raise DamagedBackupError(_several(base, wrong))
    program = programs / "pg_verifybackup"
    if _runs(program):
        try:
            server.run([program, "-q", "-n", base], progress=progress)
        except server.ServerError as error:
            raise DamagedBackupError(f"{base}: {error}") from error
        checker = "pg_verifybackup"
    else:
        _verify_files(base, progress)
        checker = "signaldelta"
    needed = log_range(base)
    for first, last in ((needed.start, needed.end), (needed.end, end)):
        command: list[str | Path] = [programs / "pg_waldump", "-q", "-p", base / "pg_wal", "-t", str(needed.timeline),
                   "-s", format_lsn(first), "-e", format_lsn(last)]  # fmt: skip
        try:
            server.run(command, progress=progress)
        except server.ServerError as error:
            raise DamagedBackupError(f"{base}/pg_wal: {error}") from error
    return checker


def _runs(program: Path) -> bool:
    if not program.is_file():
        return False
    return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0


def _verify_files(base: Path, progress: Progress | None) -> None:
    entries = {_path(entry): entry for entry in _manifest(base)["Files"]}
    there = {
        str(path.relative_to(base))
        for path in base.rglob("*")
        if not path.is_dir() and path.relative_to(base).parts[0] not in _APART
    }
    listed = {name for name in entries if name.split("/")[0] not in _APART}
    wrong = [f"{name}: in the manifest and not there" for name in sorted(listed - there)]
    wrong += [f"{name}: there and not in the manifest" for name in sorted(there - listed)]

    def check(name: str) -> str | None:
        entry, path = entries[name], base / name
        if path.stat().st_size != entry["Size"]:
            return f"{name}: expected {entry['Size']} bytes, found {path.stat().st_size}"
        found = sha256_file(path)
        if found != entry["Checksum"]:
            return f"{name}: expected the bytes {entry['Checksum']}, found {found}"
        return None

    common = sorted(listed & there)
    # Hashing waits for neither the interpreter nor, for long, the disk.
    with ThreadPoolExecutor(2) as pool:
        for number, complaint in enumerate(pool.map(check, common)):
            if progress is not None and number % 500 == 0:
                progress(f"checking files: {number:,} of {len(common):,}")
            if complaint is not None:
                wrong.append(complaint)
    if wrong:
        raise DamagedBackupError(_several(base, wrong))


def _manifest(base: Path) -> Any:
    """Return the manifest after comparing it with the checksum that is its last line."""
    path = base / "backup_manifest"
    try:
        text = path.read_bytes()
        manifest = json.loads(text)
        expected = manifest["Manifest-Checksum"]
        algorithms = {entry.get("Checksum-Algorithm") for entry in manifest["Files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedBackupError(f"{path}: expected a backup manifest, found none: {error}") from error
    found = hashlib.sha256(text[: text.rstrip(b"\n").rfind(b"\n") + 1]).hexdigest()
    if found != expected:
        raise DamagedBackupError(f"{path}: expected the manifest {expected}, found {found}")
    if algorithms != {"SHA256"}:
        raise DamagedBackupError(f"{path}: expected checksums by SHA256, found {sorted(map(str, algorithms))}")
    return manifest


def _path(entry: dict[str, Any]) -> str:
    # A name that is no UTF-8 is given in hexadecimal.
    return entry["Path"] if "Path" in entry else bytes.fromhex(entry["Encoded-Path"]).decode("utf-8", "surrogateescape")


def _several(base: Path, wrong: list[str]) -> str:
    more = len(wrong) - _NAMED_AT_MOST
    return f"{base}: {'; '.join(wrong[:_NAMED_AT_MOST])}" + (f"; and {more} more" if more > 0 else "")
