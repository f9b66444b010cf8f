"""The content-addressed store: files named by the SHA-256 of their bytes, written once, read-only from then on.

Raw bodies, snapshot parts and run artifacts are all kept this way, each kind under a root of its own.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import sha256_file, sha256_hex

if TYPE_CHECKING:
    from typing_extensions import Buffer

_NAME = re.compile(r"[0-9a-f]{64}")
_REMOVING = ".removing-"


class IntegrityError(SignalDeltaError):
    """Stored bytes that are missing or are not what their name says."""


class StoreFullError(SignalDeltaError, OSError):
    """A file that did not fit on the disk of its store; nothing of it was kept."""


class HashingFile(io.RawIOBase):
    """A file to be written from its beginning to its end, which knows the SHA-256 of what has passed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        """Say that it may be written."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Write all of `data`."""
        self._digest.update(data)
        written = self._file.write(data)
        self.size += written
        return written

    def tell(self) -> int:
        """Return how many bytes have passed."""
        return self.size

    @property
    def sha256(self) -> str:
        """The hash of the bytes so far."""
        return self._digest.hexdigest()


class ArtifactStore:
    """Files under `root` as ``ab/abcdef...<suffix>``; the name is the hash of the bytes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._swept = False

    def path(self, name: str, suffix: str = "") -> Path:
        """Return where the file named `name` is kept, whether or not it is there."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"artifact name: expected a SHA-256 in hexadecimal, found {name!r}")
        return self.root / name[:2] / f"{name}{suffix}"

    def put_bytes(self, data: bytes, suffix: str = "") -> str:
        """Store `data`; return its name. Storing the same bytes again only says that they are wanted (`remove`)."""
        name = sha256_hex(data)
        try:
            os.utime(self.path(name, suffix))
        except FileNotFoundError:
            self.put_file(lambda file: file.write(data), suffix)
        return name

    def remove(self, name: str, suffix: str = "", *, unwanted_since: float) -> int | None:
        """Remove a file that nobody has stored since `unwanted_since` (seconds of the epoch); return its size.

        None where it is not there or was stored later: whoever stores it may not have written yet what refers to it.
        """
        path = self.path(name, suffix)
        aside = path.with_name(f"{_REMOVING}{path.name}")
        try:
            if path.stat().st_mtime >= unwanted_since:
                return None
            # Whoever stores it from now on finds no file and writes one.
            path.replace(aside)
            found = aside.stat()
        except FileNotFoundError:
            return None
        if found.st_mtime >= unwanted_since:
            aside.replace(path)
            return None
        aside.unlink()
        return found.st_size

    def names(self) -> Iterator[str]:
        """Yield the name of every file of the store, in no order."""
        for folder in self.root.glob("[0-9a-f][0-9a-f]"):
            for path in folder.iterdir():
                if path.name.startswith(_REMOVING):
                    # Whoever was to remove it was killed before it could decide.
                    path = path.replace(path.with_name(path.name.removeprefix(_REMOVING)))
                found = _NAME.match(path.name)
                if found is not None:
                    yield found.group()

    def put_file(self, write: Callable[[HashingFile], object], suffix: str = "") -> str:
        """Let `write` fill a temporary file, named by its bytes as they pass; return the name.

        The rename is atomic and comes after the bytes are on disk: a killed process leaves a temporary file, which
        the next one to write here sweeps, never a half-written artifact. Raises `StoreFullError`.
        """
        try:
            return self._put(write, suffix)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            free = shutil.disk_usage(self.root).free
            raise StoreFullError(
                errno.ENOSPC, f"no space is left ({free:,} bytes free), nothing of it was kept: make room, start again",
                str(self.root),
            ) from error  # fmt: skip

    def _put(self, write: Callable[[HashingFile], object], suffix: str) -> str:
        self.root.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            self.sweep()
        handle, incoming = self._incoming(suffix)
        try:
            with os.fdopen(handle, "wb") as file:
                hashing = HashingFile(file)
                write(hashing)
                file.flush()
                os.fsync(file.fileno())
            name = hashing.sha256
            target = self.path(name, suffix)
            target.parent.mkdir(parents=True, exist_ok=True)
            incoming.chmod(0o444)
            incoming.replace(target)
        finally:
            incoming.unlink(missing_ok=True)
        return name

    def read_bytes(self, name: str, suffix: str = "") -> bytes:
        """Return the bytes named `name`, checked against the name. Raises `IntegrityError`."""
        path = self.path(name, suffix)
        if not path.is_file():
            raise IntegrityError(f"{path}: no such artifact")
        data = path.read_bytes()
        if sha256_hex(data) != name:
            raise IntegrityError(f"{path}: the bytes are not those of its name (found {sha256_hex(data)})")
        return data

    def verify(self, name: str, suffix: str = "") -> Path:
        """Return the path of `name` after hashing the whole file. Raises `IntegrityError`."""
        path = self.path(name, suffix)
        if not path.is_file():
            raise IntegrityError(f"{path}: no such artifact")
        found = sha256_file(path)
        if found != name:
            raise IntegrityError(f"{path}: the bytes are not those of its name (found {found})")
        return path

    def _incoming(self, suffix: str) -> tuple[int, Path]:
        """Make a temporary file that is locked while its process lives; return its handle and where it is."""
        while True:
            handle, raw = tempfile.mkstemp(prefix=".incoming-", suffix=suffix, dir=self.root)
            fcntl.flock(handle, fcntl.LOCK_EX)
            # A sweep may have come before the lock: then this is a lock on nothing.
            if os.fstat(handle).st_nlink:
                return handle, Path(raw)
            os.close(handle)

    def sweep(self) -> int:
        """Remove temporary files that killed processes left; return how many. What is being written is left alone."""
        swept = 0
        for leftover in self.root.glob(".incoming-*") if self.root.is_dir() else ():
            try:
                with leftover.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    leftover.unlink(missing_ok=True)
                    swept += 1
            except (FileNotFoundError, BlockingIOError):
                # Put in its place meanwhile, or at work.
                continue
        return swept
