"""Temporary files of the store: those of the dead are swept by the next one to write, those of the living are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from signaldelta_assets.warehouse import ArtifactStore, StoreFullError

_WRITER = """
import sys
from pathlib import Path
from signaldelta_assets.warehouse.artifacts import ArtifactStore
def write(file):
    file.write(b"half")
    print("amid", flush=True)
    sys.stdin.read()
ArtifactStore(Path(sys.argv[1])).put_file(write)
"""


def test_half_written_files_go_with_their_writer(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == b"amid\n"
        assert len(list(tmp_path.glob(".incoming-*"))) == 2
        writers[0].kill()
        writers[0].wait()
        name = ArtifactStore(tmp_path).put_bytes(b"whole")
        assert len(list(tmp_path.glob(".incoming-*"))) == 1
        # The living one goes on and ends as if nothing had been.
        assert writers[1].communicate(b"")[0] == b"" and writers[1].returncode == 0
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert name in kept and len(kept) == 2 and not any(name.startswith(".") for name in kept)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    def full(_: object) -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    with pytest.raises(StoreFullError, match=f"no space is left.*{tmp_path}"):
        ArtifactStore(tmp_path).put_file(full)
    assert list(tmp_path.iterdir()) == []
