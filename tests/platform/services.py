"""The services of one deployment for tests of jobs: code server, webserver, daemon and API, each killed on its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from tests.platform.deployment import Deployment, kill, wait_until
from tests.ports import free_port

# A run that lost its launch is noticed after three minutes (`dagster.yaml`).
PATIENCE = 300.0


@dataclass
class Services:
    """One code server, which webserver and daemon share: loading the definitions is what costs."""

    deployment: Deployment
    ports: dict[str, int] = field(default_factory=lambda: {n: free_port() for n in ("code", "webserver", "api", "way")})
    processes: dict[str, subprocess.Popen[Any]] = field(default_factory=dict)
    # Settings of one of them alone, by its name.
    own: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.deployment = self.deployment.with_variables(
            SIGNALDELTA_WEBSERVER_PORT=str(self.ports["webserver"]), SIGNALDELTA_API_PORT=str(self.ports["api"])
        )
        self.workspace = self.deployment.home / "workspace.yaml"
        self.workspace.write_text(
            f"load_from:\n  - grpc_server:\n      host: localhost\n      port: {self.ports['code']}\n"
            "      location_name: signaldelta\n"
        )
        place = ["-w", str(self.workspace)]
        self.commands = {
            "code": ["dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(self.ports["code"]),
                     "-m", "signaldelta_assets.definitions", "--location-name", "signaldelta"],
            "webserver": ["dagster-webserver", "-h", "127.0.0.1", "-p", str(self.ports["webserver"]), *place],
            "daemon": ["dagster-daemon", "run", *place],
            "api": ["signaldelta", "api"],
        }  # fmt: skip

    def start(self, name: str) -> None:
        """Start one, without waiting for it."""
        with (self.deployment.home / f"{name}.log").open("ab") as log:
            program, *arguments = self.commands[name]
            deployment = self.deployment.with_variables(**self.own.get(name, {}))
            self.processes[name] = deployment.start(program, *arguments, stdout=log, stderr=log)

    def answers(self, name: str) -> bool:
        """Whether it takes connections."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.ports[name])) == 0

    def up(self, name: str) -> None:
        """Start one and wait until it takes connections."""
        self.start(name)
        self.wait(name)

    def wait(self, name: str) -> None:
        """Wait until it takes connections; its log where it ended."""
        try:
            wait_until(lambda: self.answers(name), PATIENCE, name, self.processes[name])
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log(name)[-4000:]}") from error

    def kill(self, name: str) -> None:
        """`kill -9` of one and all that it started."""
        kill(self.processes[name])

    def stop(self, name: str, seconds: float = 20) -> int:
        """SIGTERM, as a process manager sends it; its exit code."""
        self.processes[name].send_signal(signal.SIGTERM)
        return self.processes[name].wait(seconds)

    def log(self, name: str) -> str:
        """What one has said."""
        path = self.deployment.home / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Wait for something; where it does not come, say what everybody was doing."""
        try:
            wait_until(condition, seconds, what)
        except AssertionError as error:
            ended = {name: process.poll() for name, process in self.processes.items()}
            tables = {
                "jobs": "SELECT job_id, kind, state, attempts, dagster_run_id, reason FROM jobs",
                "runs": "SELECT run_id, pipeline_name, status, start_time, end_time FROM dagster.runs ORDER BY id",
            }
            rows = [f"{name}: {row}" for name, query in tables.items() for row in self.deployment.rows(query)]
            logs = [f"--- {name}\n{self.log(name)[-3000:]}" for name in self.processes]
            raise AssertionError("\n".join([str(error), f"exit codes {ended}", *rows, *logs])) from error

    def client(self, key: str | None = None) -> httpx.Client:
        """A client of the API."""
        headers = {} if key is None else {"X-API-Key": key}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.ports['api']}", headers=headers, timeout=30)

    def workers(self) -> list[psutil.Process]:
        """The processes that work on runs."""
        found = []
        for process in psutil.Process(self.processes["code"].pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "spawn_main" in " ".join(process.cmdline()) or "multiprocessing" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def end(self) -> None:
        """Kill everything."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


@contextmanager
def services(deployment: Deployment) -> Iterator[Services]:
    """Services of a deployment, none of them started; all are killed at the end."""
    made = Services(deployment)
    try:
        yield made
    finally:
        made.end()
