"""A real Dagster daemon over two homes, under `signaldelta daemon`, and what kills it or what it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from signaldelta_assets.cli.environment import prepare
from signaldelta_assets.defs.partitions import RANGE_END, RANGE_START
from tests.homes.places import Homes, Outcome
from tests.paths import BIN, ROOT

# The daemon looks for work every few seconds, and a process of its own imports everything first.
PATIENCE = 150.0


@dataclass
class Daemons:
    """The daemon of a place, the processes it has, and runs launched through it."""

    homes: Homes
    process: subprocess.Popen[bytes] | None = None
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.variables = self.homes.variables() | prepare(self.homes.settings())

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its commands."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIGNALDELTA_", "DAGSTER_"))}
        return kept | self.variables

    def command(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]], cwd=ROOT, env=self.environment, capture_output=True, text=True,
            check=False, timeout=180,
        )  # fmt: skip

    def start(self) -> None:
        """`signaldelta daemon`; returns once it is heard of."""
        log = (self.homes.folder / "daemon.log").open("ab")
        self.process = subprocess.Popen(
            [str(BIN / "signaldelta"), "daemon"], cwd=ROOT, env=self.environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        log.close()
        began = time.monotonic()
        while not self._heard():
            assert self.process.poll() is None, (self.homes.folder / "daemon.log").read_text()[-3000:]
            assert time.monotonic() - began < PATIENCE, "the daemon was not heard of"
            time.sleep(0.2)

    def _heard(self) -> bool:
        there = self.homes.rows("offsite", "SELECT to_regclass('dagster.daemon_heartbeats') IS NOT NULL AS it")
        return there[0]["it"] and bool(self.homes.rows(
            "offsite", "SELECT 1 FROM dagster.daemon_heartbeats"
            " WHERE timestamp > (now() AT TIME ZONE 'UTC') - interval '3 seconds'"))  # fmt: skip

    def kill(self) -> None:
        """`kill -9` of `signaldelta daemon` alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def processes(self, of: str) -> list[psutil.Process]:
        """Living processes of this deployment whose command line contains `of`."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if (
                    process.environ().get("SIGNALDELTA_HOME") == str(self.homes.state)
                    and of in " ".join(process.cmdline())
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found

    def stop(self) -> int:
        """SIGTERM, as a process manager sends it; return the exit code. Ends what is left as well."""
        code = -1
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(60)
        for left in self.processes(""):
            with suppress(psutil.Error):
                if left.pid != os.getpid():
                    left.kill()
        return code

    # --- runs -------------------------------------------------------------------------------------------------

    def launch(self, job: str, tags: dict[str, str]) -> str:
        """`dagster job launch`; return the run's id."""
        run = str(uuid.uuid4())
        done = self.command("dagster", "job", "launch", "-w", "workspace.yaml", "-j", job,
                            "--run-id", run, "--tags", json.dumps(tags))  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return run

    def runs(self, job: str) -> list[tuple[str, str]]:
        """Ids and states of a job's runs, in the order of their creation."""
        query = "SELECT run_id, status FROM dagster.runs WHERE pipeline_name = %s ORDER BY id"
        rows = self.homes.rows("offsite", query, job)
        return [(row["run_id"], row["status"]) for row in rows]

    def workers(self) -> list[psutil.Process]:
        """The processes that work on runs."""
        return self.processes("multiprocessing.spawn")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> float:
        """Wait for something; how long it took."""
        began = time.monotonic()
        while not condition():
            log = (self.homes.folder / "daemon.log").read_text()[-3000:]
            assert time.monotonic() - began < seconds, f"{what} did not come within {seconds:.0f} s\n{log}"
            time.sleep(0.05)
        return time.monotonic() - began


COLLECT = "collect_edgar_submissions"


def collecting(first: str, last: str) -> dict[str, str]:
    """The tags of a run over a range of days."""
    return {RANGE_START: first, RANGE_END: last}


def a_second_one(daemons: Daemons) -> Outcome:
    """`signaldelta daemon` started twice, and heartbeats of a daemon that nobody locked out."""
    since = time.monotonic()
    second = daemons.command("signaldelta", "daemon")
    told = time.monotonic() - since
    assert second.returncode == 2, (second.returncode, second.stderr)
    assert daemons.process is not None
    words = second.stderr.strip()
    assert f"process {daemons.process.pid}@" in words and words.count("\n") == 0, words
    assert daemons.homes.look().troubles == []
    return Outcome("two daemons: `signaldelta daemon` twice", "any time", [], 0.0, words, told)


def one_outside_the_lock(daemons: Daemons) -> Outcome:
    """A daemon beside the one with the lock: it writes its heartbeats over the other's, every half minute."""
    since = time.monotonic()
    other = str(uuid.uuid4())
    while True:
        daemons.homes.rows("offsite", "UPDATE dagster.daemon_heartbeats SET daemon_id = %s,"
                           " timestamp = now() AT TIME ZONE 'UTC' WHERE daemon_type = 'SENSOR'", other)  # fmt: skip
        found = [t for t in daemons.homes.look().troubles if t.kind == "daemons"]
        if found:
            break
        assert time.monotonic() - since < 90, "not told of a second daemon"
        time.sleep(2)
    return Outcome("two daemons: one outside the lock", "any time", [], 0.0, found[0].words, time.monotonic() - since)


def worker_killed(daemons: Daemons, job: str, tags: dict[str, str], amid: Callable[[], bool], *,
                  server_too: bool = False, failed: Callable[[str], None] | None = None) -> Outcome:  # fmt: skip
    """`kill -9` of the process of a run, alone or with the code server that started it: noticed, and run again.

    failed: called once the run counts as failed; until it has come back, whom the next run asks does not answer.
    """
    replay = [one for one in psutil.Process().children() if "signaldelta_assets.replay" in " ".join(one.cmdline())]
    run = daemons.launch(job, tags)
    daemons.until(lambda: amid() and bool(daemons.workers()), "the middle of the run")
    since = time.monotonic()
    if server_too:
        for server in daemons.processes("api grpc"):
            server.kill()
    for worker in daemons.workers():
        worker.kill()
    if failed is not None:
        for process in replay:
            process.suspend()
    try:
        words, told = daemons.homes.told(f"run {run} ({job}) failed", since, 60)
        daemons.until(lambda: dict(daemons.runs(job))[run] == "FAILURE", "the failure")
        if failed is not None:
            failed(run)
    finally:
        for process in replay:
            process.resume()
    if server_too:
        # Dagster tries once to run it again, before its code server is back, and then no more: an operator does.
        daemons.launch(job, tags)
    daemons.until(lambda: daemons.runs(job)[-1][1] == "SUCCESS", f"a run in its place; found {daemons.runs(job)}")
    took = daemons.homes.settle(since)
    daemons.homes.quiet(*(["failed at"] if server_too else []))
    what = "the worker and its code server" if server_too else "the worker of a run"
    return Outcome(f"kill -9 of {what}", f"Dagster: {job}", [], took, words, told, {"runs": daemons.runs(job)})


def daemon_killed(daemons: Daemons, job: str, tags: dict[str, str], amid: Callable[[], bool]) -> Outcome:
    """`kill -9` of `signaldelta daemon` during a run, which goes on; and the daemon started again."""
    run = daemons.launch(job, tags)
    daemons.until(lambda: amid() and bool(daemons.workers()), "the middle of the run")
    since = time.monotonic()
    daemons.kill()
    daemons.until(lambda: not daemons.processes("dagster-daemon"), "the end of its child", 10)
    words, told = daemons.homes.told("none holds the lock", since)
    daemons.start()
    daemons.until(lambda: dict(daemons.runs(job))[run] == "SUCCESS", f"the end of the run; found {daemons.runs(job)}")
    took = daemons.homes.settle(since)
    return Outcome("kill -9 of the daemon", f"Dagster: {job}", [], took, words, told, {"runs": daemons.runs(job)})
