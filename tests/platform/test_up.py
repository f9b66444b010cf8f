"""`signaldelta up`: every service of a deployment starts, answers, and stops together."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from tests.platform.conftest import MakeDeployment
from tests.platform.deployment import PROCESSES, kill, wait_until
from tests.ports import free_port

pytestmark = [pytest.mark.platform, pytest.mark.postgres]


@pytest.mark.skipif(not PROCESSES, reason="needs /proc to see which processes are left")
def test_everything_starts_answers_and_stops_together(
    deploy: MakeDeployment, small_replay: str, small_archive: Path
) -> None:
    webserver, api = free_port(), free_port()
    deployment = deploy(small_replay).with_variables(
        SIGNALDELTA_WEBSERVER_PORT=str(webserver), SIGNALDELTA_API_PORT=str(api)
    )
    # To a file: a pipe that nobody reads would fill up.
    said = deployment.home / "up.log"
    with said.open("w") as log:
        up = deployment.start("signaldelta", "up", "--archive", str(small_archive), stdout=log)
    try:
        wait_until(lambda: "Ctrl-C stops all" in said.read_text(), 150, "the services", up)
        health = httpx.get(f"http://127.0.0.1:{api}/health", timeout=20)
        assert health.is_success and f"http://127.0.0.1:{api}" in said.read_text()
        # The key is shown as a line to paste, and the README's requests work with it and not without.
        [shown] = re.findall(r"^ +export SIGNALDELTA_API_KEY=(sd_\w+)$", said.read_text(), flags=re.MULTILINE)
        for headers, status in (({"X-API-Key": shown}, 200), ({}, 401)):
            assert httpx.get(f"http://127.0.0.1:{api}/status", headers=headers, timeout=60).status_code == status
        stored = deployment.rows("SELECT t::text FROM api_keys t")
        assert len(stored) == 1 and shown.rpartition("_")[2] not in str(stored)
        query = "{ assetNodes { assetKey { path } } runsOrError { __typename } }"
        answer = httpx.post(f"http://127.0.0.1:{webserver}/graphql", json={"query": query}, timeout=60).json()
        paths = [node["assetKey"]["path"] for node in answer["data"]["assetNodes"]]
        assert ["raw", "edgar", "submissions"] in paths and ["backtests", "run"] in paths
        running = " ".join(deployment.processes())
        assert all(name in running for name in ("dagster-webserver", "dagster-daemon", "signaldelta api", "replay"))
        # What Ctrl-C in a terminal sends, to the command alone: stopping the others is its work.
        os.kill(up.pid, signal.SIGINT)
        assert up.wait(60) == 0, said.read_text()
    finally:
        if up.poll() is None:
            kill(up)
    wait_until(lambda: not deployment.processes(), 30, f"the end of {deployment.processes()}")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{api}/health", timeout=5)
