"""The server as a process and as an object: starting, being ready, stopping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from signaldelta_assets.replay import ReplayServer, SimulatedArchive


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "signaldelta_assets.replay", *arguments]


@pytest.mark.platform
@pytest.mark.parametrize("kept", [True, False])
def test_the_command_serves_a_simulation_and_ends_when_told(tmp_path: Path, kept: bool) -> None:
    ready, root, scratch = tmp_path / "ready", tmp_path / "archive", tmp_path / "scratch"
    scratch.mkdir()
    wish = "simulated:seed=5,entities=3,days=130,pools=1"
    process = subprocess.Popen(
        _command("--archive", wish, "--ready-file", str(ready), *(["--root", str(root)] if kept else [])),
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        url = ready.read_text().strip()
        # The address is bound before the file appears: a request may wait, it is never refused.
        assert httpx.get(f"{url}/__replay__/health", timeout=30).json() == {"status": "ok", "archive": "simulated"}
        written = root if kept else next(scratch.iterdir())
        assert (written / "plan.json").is_file()
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert out.strip() == url
    # A folder that nobody named is gone with the server.
    assert (root / "plan.json").is_file() == kept
    assert list(scratch.iterdir()) == []


@pytest.mark.platform
@pytest.mark.parametrize("archive", ["simulated:entities=0", "simulated:colour=red", "/nowhere/at/all"])
def test_a_wrong_archive_is_refused(archive: str) -> None:
    done = subprocess.run(_command("--archive", archive), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "expected" in done.stderr


def test_a_server_frees_its_port_and_two_can_stand_side_by_side(simulated: SimulatedArchive) -> None:
    with ReplayServer(simulated) as one, ReplayServer(simulated) as two:
        assert one.port != two.port
        for server in (one, two):
            assert httpx.get(f"{server.base('__replay__')}/health").status_code == 200
        port = one.port
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/__replay__/health")
    with ReplayServer(simulated, port) as again:
        assert again.port == port
        assert httpx.get(f"{again.url}/__replay__/health").status_code == 200
