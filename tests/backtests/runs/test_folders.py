"""Working folders: swept once their process is gone, however it ended, and never while it lives."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from signaldelta_assets.backtests.folders import PREFIX, run_folder, sweep

_HOLD = """
import sys
from signaldelta_assets.backtests.folders import run_folder
with run_folder() as folder:
    (folder / "part").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def _hold() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_killed_process_leaves_a_folder_that_the_next_start_removes() -> None:
    process, folder = _hold()
    assert sweep() == 0 and (folder / "part").read_text() == "x"
    with run_folder() as own:
        # One's own and the other's live one stay.
        assert sweep() == 0 and folder.is_dir() and own.is_dir()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (folder / "part").exists()
    with run_folder() as own:
        assert not folder.exists() and own.is_dir()
    assert not own.exists()


def test_what_is_not_a_runs_folder_is_left(temporary: Path) -> None:
    (temporary / f"{PREFIX}file").write_text("x")
    (temporary / "other").mkdir()
    (temporary / f"{PREFIX}link").symlink_to(temporary / "other")
    assert sweep() == 0
    assert {path.name for path in temporary.iterdir()} == {f"{PREFIX}file", "other", f"{PREFIX}link"}


@pytest.mark.parametrize("moment", ["before it is opened", "before it is locked"])
def test_a_folder_swept_before_it_was_locked_is_made_again(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    make, lock, made = tempfile.mkdtemp, fcntl.flock, []

    def making(prefix: str) -> str:
        made.append(Path(make(prefix=prefix)).resolve())
        if len(made) == 1 and moment == "before it is opened":
            assert sweep() == 1
        return str(made[-1])

    def locking(handle: int, operation: int) -> None:
        if len(made) == 1 and operation == fcntl.LOCK_EX and made[0].exists():
            shutil.rmtree(made[0])
        lock(handle, operation)

    monkeypatch.setattr(tempfile, "mkdtemp", making)
    monkeypatch.setattr(fcntl, "flock", locking)
    with run_folder() as folder:
        assert folder == made[1] and folder.is_dir() and not made[0].exists()
