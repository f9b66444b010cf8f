"""`signaldelta daemon`: Dagster's daemon as a child of the process that holds the lock for it, so that there is one."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psycopg
import typer

from signaldelta_assets.settings import load_settings
from signaldelta_assets.warehouse import ready_urls
from signaldelta_assets.warehouse.daemonlock import DaemonLock, DaemonRunsError

from .environment import PROJECT, apply, prepare, published

# How long the database may be away before the daemon is stopped for want of its lock.
AWAY_SECONDS = 60.0
_LOOK_SECONDS = 2.0
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def run_daemon() -> int:
    """Take the lock, run dagster-daemon until it ends or a signal comes; return its exit code.

    Raises `DaemonRunsError` where another process holds the lock. A SIGTERM or SIGINT is passed on. The child dies
    with this process, however that ends. While it runs, this process looks whether other daemons are heard of.
    """
    settings = load_settings()
    settings = apply(prepare(settings) | published(settings))
    lock = DaemonLock(ready_urls(settings)[0])
    lock.take()
    server = [sys.executable, "-m", "signaldelta_assets.cli.dagster_process", "dagster-daemon"]
    command = [*server, "run", "-w", str(PROJECT / "workspace.yaml")]
    child = subprocess.Popen(command, cwd=PROJECT, start_new_session=True, preexec_fn=_die_with_parent)

    def passed_on(number: int, _: object) -> None:
        if child.poll() is None:
            os.killpg(child.pid, number)

    signal.signal(signal.SIGTERM, passed_on)
    signal.signal(signal.SIGINT, passed_on)
    try:
        _keep(lock, child)
    finally:
        _end(child)
        lock.release()
    return child.returncode


def _keep(lock: DaemonLock, child: subprocess.Popen[bytes]) -> None:
    """Hold the lock while the child lives; look who else is heard of."""
    heard: dict[str, float] = {}
    gone_since: float | None = None
    began = time.monotonic()
    while child.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_LOOK_SECONDS)
        try:
            if gone_since is not None:
                lock.take()
                gone_since = None
            now = time.monotonic()
            # A predecessor may be heard of in the first seconds.
            if now - began > _LOOK_SECONDS + 10:
                heard |= dict.fromkeys(lock.ids(), now)
            else:
                lock.ids()
            heard = {name: at for name, at in heard.items() if now - at < 75}
            lock.tell(sorted(heard)[1:])
        except DaemonRunsError:
            # Another took the lock while the database was away.
            raise
        except psycopg.Error as error:
            gone_since = gone_since or time.monotonic()
            if time.monotonic() - gone_since > AWAY_SECONDS:
                typer.echo(f"the database is away and the lock with it, so the daemon is stopped: {error}", err=True)
                return


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
