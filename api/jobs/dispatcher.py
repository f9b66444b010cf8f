"""The dispatcher: launches what waits, follows what runs, ends what is over. One thread, elected over all processes.

It remembers nothing that would be missed: what was launched is found again by its tags, so that a process may end at
any line, and another goes on. Tries are its own affair: a run whose worker, database or Dagster itself failed is
launched again after a while, one whose step refused its input is not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from signaldelta_assets.correlation import correlated
from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.jobs import ATTEMPT_TAG, JOB_TAG
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import dead_letters, jobs

from . import letters
from .client import DagsterClient, DagsterError, Failure, Found, RefusedLaunchError, RunLaunch, UnreachableError
from .election import Election, home_url
from .kinds import launch_of, result_of

log = logging.getLogger("signaldelta.api.jobs")
Row = dict[str, Any]

# Classes of errors that say nothing of the input: a database that went away, a worker that was told to stop.
TRANSIENT = frozenset(
    {
        "OperationalError", "HomeLostError", "InterfaceError", "AdminShutdown", "CrashShutdown", "CannotConnectNow",
        "PoolTimeout", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError",
        "DagsterExecutionInterruptedError",
    }
)  # fmt: skip


_ASK_AGAIN = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the dispatcher looks, how much it launches, how long it waits. Seconds.

    settle: after a launch whose answer was lost, how long a run may take to appear before it counts as not launched.
    """

    at_once: int = 4
    attempts: int = 3
    every: float = 1.0
    settle: float = 45.0
    first_wait: float = 5.0
    longest_wait: float = 300.0
    sweep_every: float = 30.0


@dataclass
class Dispatcher:
    """The thread. `start` and `stop` it; `wake` where a job has come."""

    warehouse: Warehouse
    client: DagsterClient
    pace: Pace = Pace()
    leading: bool = False
    _stopping: threading.Event = field(default_factory=threading.Event, repr=False)
    _woken: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)
    _cursors: dict[tuple[str, int], str | None] = field(default_factory=dict, repr=False)
    _asked: dict[str, float] = field(default_factory=dict, repr=False)
    # Not None at first: what another process told whoever waits may be over.
    _told: str | None = field(default="", repr=False)
    _swept: float | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start the thread; nothing where this place cannot write jobs."""
        url = home_url(self.warehouse)
        if url is None:
            log.info("jobs are dispatched at their home, which is not known here")
            return
        self._thread = threading.Thread(target=self._run, args=(Election(url),), name="jobs", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """End the thread, a call under way included."""
        self._stopping.set()
        self._woken.set()
        self.client.close()
        if self._thread is not None:
            self._thread.join(seconds)

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    def _run(self, election: Election) -> None:
        while not self._stopping.is_set():
            try:
                self.leading = election.won()
                if self.leading:
                    self.turn()
            except (psycopg.Error, PoolTimeout, SignalDeltaError) as error:
                self.leading = self.leading and not isinstance(error, psycopg.Error)
                log.warning("jobs: %s", error)
            except Exception:
                # Whatever it is, the jobs after it are not left alone.
                log.exception("jobs: a turn failed")
            self._woken.wait(self.pace.every)
            self._woken.clear()
        election.resign()
        self.leading = False

    # --- one turn ---------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Look once: follow what is under way, then launch what may be, then bury what failed without a job."""
        try:
            self._follow()
            self._launch()
            self._sweep()
        except UnreachableError as error:
            self._tell(str(error))
        except DagsterError as error:
            self._tell(f"Dagster cannot launch now: {error}")
        else:
            self._tell(None)

    def _tell(self, reason: str | None) -> None:
        """Say why nothing is launched to whoever waits, once for each reason; to who came since, every time."""
        if reason is not None or self._told is not None:
            jobs.tell_waiting(self.warehouse, reason)
        if reason != self._told and reason is not None and not self._stopping.is_set():
            log.warning("jobs wait: %s", reason)
        self._told = reason

    def _follow(self) -> None:
        rows = jobs.under_way(self.warehouse)
        kept = {(row["job_id"], row["attempts"]) for row in rows}
        self._cursors = {key: value for key, value in self._cursors.items() if key in kept}
        self._asked = {name: at for name, at in self._asked.items() if time.monotonic() - at < 10 * _ASK_AGAIN}
        runs = self.client.runs_of([row["job_id"] for row in rows if row["kind"] != "backfill"])
        for row in rows:
            with correlated(row["correlation_id"] or row["job_id"]):
                try:
                    backfill = row["kind"] == "backfill"
                    self._judge(row, self._backfill(row) if backfill else self._one_run(row, runs[row["job_id"]]))
                except DagsterError as error:
                    if error.elsewhere:
                        raise
                    # Of this one alone; the next turn asks again.
                    log.warning("job %s: %s", row["job_id"], error)
                    jobs.note_unread(self.warehouse, row, f"what became of it cannot be read now: {error}")
                except (psycopg.Error, PoolTimeout, SignalDeltaError):
                    raise
                except Exception as error:
                    # Its work goes on in Dagster and is asked for again; the jobs after it are not kept waiting.
                    log.exception("job %s: what became of it cannot be read", row["job_id"])
                    words = f"what became of it cannot be read now: {type(error).__name__}"
                    jobs.note_unread(self.warehouse, row, words)

    def _one_run(self, row: Row, runs: list[Found]) -> Found | None:
        """The run of this attempt. Should a lost answer have led to two, the younger is ended."""
        own = [run for run in runs if run.tags.get(ATTEMPT_TAG) == str(row["attempts"])]
        first = next((run for run in own if run.id == row["dagster_run_id"]), own[0] if own else None)
        for other in own:
            if other is not first and other.state in ("waiting", "running"):
                log.warning("job %s: run %s is there twice; %s is ended", row["job_id"], first and first.id, other.id)
                self.client.end(other.id)
        if first is not None and row["dagster_run_id"] != first.id:
            row["dagster_run_id"] = first.id
            jobs.attach(self.warehouse, row, run=first.id)
        return first

    def _backfill(self, row: Row) -> Found | None:
        if row["backfill_id"] is not None:
            return self.client.backfill(row["backfill_id"])
        since = row["launched_at"].timestamp() - 60
        for found in self.client.backfills_since(since):
            if (found.tags.get(JOB_TAG), found.tags.get(ATTEMPT_TAG)) == (row["job_id"], str(row["attempts"])):
                row["backfill_id"] = found.id
                jobs.attach(self.warehouse, row, backfill=found.id)
                return found
        return None

    def _judge(self, row: Row, found: Found | None) -> None:
        """Note what Dagster says of an attempt."""
        if found is None:
            self._missing(row)
        elif found.state == "complete":
            said = self.client.outcome(found.id) if row["kind"] != "backfill" else {}
            progress = found.progress or self._progress(row)
            jobs.note_progress(self.warehouse, row, running=True, progress=progress)
            jobs.finish(self.warehouse, row, "complete", result=result_of(row, said, self.client.url))
        elif found.state == "canceled":
            by = "as was asked" if row["cancel_requested_at"] else "in Dagster"
            jobs.finish(self.warehouse, row, "canceled", reason=f"ended {by}")
        elif found.state == "failed":
            backfill = row["kind"] == "backfill"
            # The runs of a backfill were tried again by Dagster already.
            failure = Failure(found.reason or "runs of the backfill failed", ("BackfillFailed",)) if backfill else (
                self.client.failure(found.id)
            )  # fmt: skip
            self._failed(row, failure)
        else:
            if row["cancel_requested_at"] is not None:
                self._ask_end(row, found.id)
            if found.state == "running":
                progress = found.progress or self._progress(row)
                if progress is not None or row["state"] != "running":
                    jobs.note_progress(self.warehouse, row, running=True, progress=progress)

    def _ask_end(self, row: Row, name: str) -> None:
        """Ask for the end of a run or backfill, and again where it takes long: a worker may be busy for a while."""
        now = time.monotonic()
        if now - self._asked.get(name, -_ASK_AGAIN) >= _ASK_AGAIN:
            self._asked[name] = now
            (self.client.end_backfill if row["kind"] == "backfill" else self.client.end)(name)

    def _progress(self, row: Row) -> Mapping[str, Any] | None:
        key = (row["job_id"], row["attempts"])
        told, self._cursors[key] = self.client.steps(row["dagster_run_id"], self._cursors.get(key))
        return told

    def _missing(self, row: Row) -> None:
        """Nothing of this attempt is in Dagster: its launch did not arrive, or Dagster has lost the run."""
        if row["dagster_run_id"] is None and row["backfill_id"] is None:
            if row["since"] > self.pace.settle:
                self._back(row, "its launch did not reach Dagster", counts=False)
        else:
            self._failed(row, Failure("Dagster knows nothing of its run any more", ()))

    def _failed(self, row: Row, failure: Failure) -> None:
        if row["cancel_requested_at"] is not None:
            jobs.finish(self.warehouse, row, "canceled", reason=f"ended as was asked: {failure.words}")
            return
        again = not failure.classes or bool(TRANSIENT & set(failure.classes))
        if again and row["attempts"] < self.pace.attempts:
            self._back(row, f"attempt {row['attempts']} of {self.pace.attempts} failed: {failure.words}", counts=True)
        else:
            self._end(row, failure.words)

    def _back(self, row: Row, reason: str, *, counts: bool) -> None:
        wait = min(self.pace.first_wait * 2 ** max(row["attempts"] - 1, 0), self.pace.longest_wait)
        jobs.put_back(self.warehouse, row, reason, wait_seconds=wait, counts=counts)

    def _end(self, row: Row, reason: str) -> None:
        # The letter first: should this process end in between, the job is judged again, and the letter is there once.
        dead_letters.bury(self.warehouse, letters.of_job(row, reason))
        jobs.finish(self.warehouse, row, "failed", reason=reason)

    def _launch(self) -> None:
        chosen = jobs.next_up(self.warehouse, self.pace.at_once)
        if chosen:
            # Before any is claimed: a job is not launched and put back every second while Dagster is away.
            self.client.require_code()
        for waiting in chosen:
            if self._stopping.is_set():
                return
            row = jobs.claim(self.warehouse, waiting["job_id"])
            if row is not None:
                with correlated(row["correlation_id"] or row["job_id"]):
                    self._launch_one(row)

    def _launch_one(self, row: Row) -> None:
        try:
            wanted = launch_of(row)
        except Exception as error:
            # Nothing was launched, and nothing ever would be: it ends where its owner sees why.
            log.exception("job %s: its input cannot be launched", row["job_id"])
            self._end(row, f"its input cannot be launched: {type(error).__name__}: {error}")
            return
        try:
            if isinstance(wanted, RunLaunch):
                jobs.attach(self.warehouse, row, run=self.client.launch(wanted))
            else:
                jobs.attach(self.warehouse, row, backfill=self.client.launch_backfill(wanted))
        except RefusedLaunchError as error:
            self._end(row, str(error))
        except UnreachableError as error:
            # What was sent may have been done: then its tags are looked for.
            if not error.sent:
                jobs.put_back(self.warehouse, row, str(error), wait_seconds=0, counts=False)
            raise
        except DagsterError as error:
            if error.elsewhere:
                self._back(row, str(error), counts=False)
                raise
            self._failed(row, Failure(str(error), ()))

    def _sweep(self) -> None:
        now = time.time()
        if self._swept is None or now - self._swept >= self.pace.sweep_every:
            letters.sweep(self.warehouse, self.client, self._swept)
            self._swept = now
