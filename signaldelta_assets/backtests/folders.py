"""The working folder of a run: locked while its process lives, swept once it is gone.

A process that is killed cannot clean up after itself. Whoever starts the next run removes the folders whose lock
nobody holds: the system lets go of a lock with the last process that had it, however that ended.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A name of its own: earlier versions made folders without a lock, and may be running beside this one.
PREFIX = "signaldelta-sandbox-"


@contextmanager
def run_folder() -> Iterator[Path]:
    """Sweep, then make an empty folder under the system's temporary folder; it is removed at the end."""
    sweep()
    folder, handle = _locked()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep() -> int:
    """Remove the folders of processes that are gone; return how many. Live ones are never touched."""
    swept = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            # Somebody else's, no folder, or removed meanwhile.
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
        except BlockingIOError:
            continue
        finally:
            os.close(handle)
    return swept


def _locked() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        # A sweep may come before the lock: then there is no folder, or this is a lock on nothing.
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.is_dir() and os.fstat(handle).st_ino == folder.stat().st_ino:
            return folder, handle
        os.close(handle)
