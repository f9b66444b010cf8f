"""Which runs have lost their process: asked of the code server, and of this machine where that server is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test

from signaldelta_assets.launcher import WatchingRunLauncher, _lives


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def _started(instance: dg.DagsterInstance, where: dict[str, object] | None, pid: int | None) -> dg.DagsterRun:
    tags = {} if where is None else {GRPC_INFO_TAG: json.dumps(where)}
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=tags)
    if pid is not None:
        instance.report_engine_event("Executing steps in process", run, EngineEventData.in_process(pid))
    return run


def _status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    launcher = WatchingRunLauncher()
    launcher.register_instance(instance)
    assert launcher.supports_check_run_worker_health
    return launcher.check_run_worker_health(run).status


def test_a_run_whose_server_and_process_are_gone_has_failed(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    where = {"host": "localhost", "socket": str(tmp_path / "no.sock")}
    assert _status(instance, _started(instance, where, gone.pid)) == WorkerStatus.FAILED
    # It ended before it could say which process it is.
    assert _status(instance, _started(instance, where, None)) == WorkerStatus.FAILED


def test_a_process_that_outlived_its_server_goes_on(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    where = {"host": "localhost", "socket": str(tmp_path / "no.sock")}
    assert _status(instance, _started(instance, where, os.getpid())) == WorkerStatus.RUNNING


def test_of_other_machines_and_command_lines_nothing_is_claimed(instance: dg.DagsterInstance) -> None:
    assert _status(instance, _started(instance, None, None)) == WorkerStatus.RUNNING
    elsewhere = {"host": "elsewhere.invalid", "port": 4000}
    assert _status(instance, _started(instance, elsewhere, None)) == WorkerStatus.RUNNING


def test_a_number_that_was_given_out_again_is_another_process() -> None:
    assert _lives(os.getpid(), time.time())
    assert not _lives(os.getpid(), time.time() - 365 * 86400)
