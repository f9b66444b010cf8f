"""Dagster's run launcher, with eyes: it says which runs it launches, and which have lost their process.

Dagster's own launcher starts a run in its code server and never asks again: a run whose worker died together with the
code server would stay "started" for ever. Run monitoring asks this one every few seconds (`dagster.yaml`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import psutil
from dagster import DagsterEventType, DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value

from signaldelta_assets.correlation import RUN_TAG

log = logging.getLogger("signaldelta.launcher")
_LOCAL = ("localhost", "127.0.0.1", "::1")


class WatchingRunLauncher(DefaultRunLauncher):
    """DefaultRunLauncher that knows whether the worker of a run lives."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> WatchingRunLauncher:
        """Return this launcher, of which the inherited one would make its own kind."""
        return cls(inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start a run in its code server. Dagster's daemon says only how many it launches."""
        run = context.dagster_run
        log.info("run %s (%s) is launched", run.run_id, run.job_name, extra={"correlation_id": run.tags.get(RUN_TAG)})
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It does."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return whether the process of a started run lives, failed where it is known to be gone.

        The code server that started a run knows its processes. Where that server is gone itself, the process may have
        outlived it: on this machine it is looked for by the number it wrote into the run's log. Of a run that no code
        server started, such as one of a command line, and of one on another machine, nothing is known: it runs.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "not started by a code server")
        try:
            known = deserialize_value(
                client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=5),
                CanCancelExecutionResult,
            )
        except DagsterUserCodeUnreachableError:
            return self._without_server(run, client.socket is not None or client.host in _LOCAL)
        if known.can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "the code server that started it has no process for it")

    def _without_server(self, run: DagsterRun, here: bool) -> CheckRunHealthResult:
        if not here:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its code server on another machine does not answer")
        worker = self._worker(run.run_id)
        if worker is not None and _lives(*worker):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its code server is gone, its process is not")
        return CheckRunHealthResult(WorkerStatus.FAILED, "its code server and its process are gone")

    def _worker(self, run_id: str) -> tuple[int, float] | None:
        """Return the number of the process that last said it works on a run, and when it said so."""
        for entry in reversed(self._instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT)):
            metadata = entry.get_dagster_event().engine_event_data.metadata
            if "pid" in metadata:
                return int(str(metadata["pid"].value)), entry.timestamp
        return None


def _lives(pid: int, said_at: float) -> bool:
    """Say whether a process is there that was there when it spoke: numbers are given out again."""
    try:
        process = psutil.Process(pid)
        # A second for the clock's grain.
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= said_at + 1)
    except psutil.NoSuchProcess:
        return False
