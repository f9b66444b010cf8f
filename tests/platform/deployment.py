"""A deployment of its own for a test: home, database, replayed archive, and the environment of its commands.

Commands run as a data engineer types them: real processes of the `dagster` and `signaldelta` command lines. The
environment is handed to them alone, so that nothing here touches the state of the checkout or of another deployment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from signaldelta_assets.cli.environment import prepare, replay_environment
from signaldelta_assets.replay import SimulationPlan
from signaldelta_assets.settings import Settings
from signaldelta_assets.warehouse import Warehouse
from tests.paths import BIN, ROOT

# Whether it can be seen which processes a deployment has.
PROCESSES = Path("/proc/self/environ").exists()


@dataclass(frozen=True)
class Deployment:
    """One deployment: where its state is, its database, and the variables its processes get."""

    home: Path
    url: str
    variables: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of a command: this deployment's settings and nobody else's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIGNALDELTA_", "DAGSTER_"))}
        return kept | self.variables

    def with_variables(self, **variables: str) -> Deployment:
        """The same deployment with other settings."""
        return replace(self, variables=self.variables | variables)

    def start(self, program: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command of the environment's bin directory in a process group of its own."""
        return subprocess.Popen(
            [str(BIN / program), *arguments],
            cwd=ROOT,
            env=self.environment,
            text=True,
            start_new_session=True,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options),
        )

    def run(self, program: str, *arguments: str, succeeds: bool = True, **options: Any) -> str:
        """Run a command to its end and return what it printed; its exit code must be as expected."""
        process = self.start(program, *arguments, **options)
        said, _ = process.communicate()
        assert (process.returncode == 0) is succeeds, f"exit code {process.returncode} of {arguments}:\n{said[-6000:]}"
        return said

    def materialize(self, select: str, partition: str | None = None, *, succeeds: bool = True) -> str:
        """`dagster asset materialize` of a selection for one partition, a range ``first...last``, or none."""
        return self.run("dagster", *materialize_arguments(select, partition), succeeds=succeeds)

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a query on the deployment's database."""
        with Warehouse(self.url) as warehouse, warehouse.read_pool().connection() as connection:
            return [tuple(row.values()) for row in connection.execute(query, parameters).fetchall()]  # type: ignore[arg-type]

    def count(self, table: str, where: str = "true") -> int:
        """How many rows a table has."""
        return int(self.rows(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])

    def processes(self) -> list[str]:
        """Command lines of every living process of this deployment, known by the home in their environment."""
        mark = f"SIGNALDELTA_HOME={self.home}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return [command for command in found if command]


def materialize_arguments(select: str, partition: str | None) -> list[str]:
    """The arguments of `dagster asset materialize`."""
    chosen: list[str] = []
    if partition is not None:
        chosen = ["--partition-range" if "..." in partition else "--partition", partition]
    return ["asset", "materialize", "-m", "signaldelta_assets.definitions", "--select", select, *chosen]


def make_deployment(home: Path, database_url: str, replay_url: str, plan: SimulationPlan) -> Deployment:
    """Prepare a deployment on a migrated database, its collectors pointed at a replay server.

    The clock stands on the day after the archive's last, as in the demo: whoever replays it observes the same.
    """
    settings = Settings(home=home, database_url=database_url)
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    observed = datetime(plan.end.year, plan.end.month, plan.end.day, tzinfo=UTC) + timedelta(days=1)
    variables = {
        **prepare(settings),
        **replay_environment(settings, replay_url),
        "SIGNALDELTA_DATABASE_URL": database_url,
        "SIGNALDELTA_FIXED_CLOCK": observed.isoformat(),
        # Partitions before the archive's are none of its business, and cost time to enumerate.
        "SIGNALDELTA_FIRST_DAY": "2022-01-01",
        "TMPDIR": str(temporary),
    }
    return Deployment(home, database_url, variables)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder with a short path: what Dagster's processes talk through may have about 100 characters."""
    with tempfile.TemporaryDirectory(prefix="sd-", ignore_cleanup_errors=True) as raw:
        yield Path(raw).resolve()


@contextmanager
def serving(archive: Path, folder: Path) -> Iterator[str]:
    """`python -m signaldelta_assets.replay` over an archive, on a free port; yields its URL."""
    ready = folder / f"{archive.name}.address"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "signaldelta_assets.replay", "--archive", str(archive), "--port", "0"]
    process = subprocess.Popen([*command, "--ready-file", str(ready)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_until(ready.exists, 60, "the replay server", process)
        yield ready.read_text().strip()
    finally:
        process.terminate()
        process.wait(20)


def wait_until(
    condition: Callable[[], bool], seconds: float, what: str, process: subprocess.Popen[Any] | None = None
) -> None:
    """Wait for a condition; fail naming what did not come, at once where the process it depends on has ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        ended = process is not None and process.poll() is not None
        assert not ended, f"waiting for {what}: the process ended with {process.returncode}"  # type: ignore[union-attr]
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:.0f} s"
        time.sleep(0.1)


def kill(process: subprocess.Popen[Any]) -> None:
    """`kill -9` of a command and everything it started, whether or not it has ended itself."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)
