"""`signaldelta daemon`: Dagster's daemon as a child of the process that holds the lock for it, so that there is one."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import psycopg
import typer

from signaldelta_assets.observability import channels_of, send_unkept
from signaldelta_assets.settings import Settings, load_settings
from signaldelta_assets.warehouse import ready_urls
from signaldelta_assets.warehouse.daemonlock import DaemonLock, DaemonRunsError
from signaldelta_assets.warehouse.watch import Trouble

from .environment import PROJECT, apply, prepare, published

# How long the database may be away before the daemon is stopped for want of its lock.
AWAY_SECONDS = 60.0
# And before it is sent to the webhooks: a server that is started again takes some seconds.
TELL_AWAY_SECONDS = 10.0
_LOOK_SECONDS = 2.0
_TELLING = "telling that the database is away"
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
        _keep(lock, child, partial(_tell_away, settings))
    finally:
        _end(child)
        lock.release()
    return child.returncode


def _tell_away(settings: Settings, error: str | None) -> None:
    """Send that the database is away, or, without an error, that it is back. In a thread: nobody waits for webhooks."""
    words = f"{settings.place}: the database does not answer: {error}"
    troubles = [] if error is None else [Trouble("home_down", settings.place, "critical", words)]
    arguments = (settings.home_dir, channels_of(settings), settings.place, troubles)
    busy = any(thread.name == _TELLING for thread in threading.enumerate())
    if error is None or not busy:
        threading.Thread(target=send_unkept, args=arguments, name=_TELLING, daemon=True).start()


def _keep(lock: DaemonLock, child: subprocess.Popen[bytes], told: Callable[[str | None], None]) -> None:
    """Hold the lock while the child lives; look who else is heard of. `told` hears of the database going and coming."""
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
                told(None)
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
            if time.monotonic() - gone_since > TELL_AWAY_SECONDS:
                told(str(error).strip().splitlines()[0])
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
