"""A warmed process that forks: an attempt costs what it does, not what starting an interpreter twice does.

`serve` takes one attempt a line and forks it from a process that has imported and compiled everything and has neither
threads nor connections. A `Standby` is forked from an attempt before that has any of its own, and becomes the run's
process when the sandbox starts one: the same main, descriptors, folder and environment variables, no new interpreter.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Any


def serve(attempt: Callable[[str, str, str], None]) -> None:
    """For each line [url, root, when] fork `attempt(url, root, when)`; print [status, output, errors] at its end."""
    for line in sys.stdin:
        out, err = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            _end(functools.partial(attempt, *json.loads(line)), {1: out[1], 2: err[1]})
        os.close(out[1])
        os.close(err[1])
        # Until nobody can write any more: the attempt, and the run's process that it may have left.
        texts = []
        for reading in (out[0], err[0]):
            with os.fdopen(reading) as file:
                texts.append(file.read())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps([status, *texts]), flush=True)


def _end(work: Callable[[], Any], descriptors: dict[int, int]) -> None:
    """In a fork: do `work` with these descriptors and no others, and end with its status (None is 0)."""
    status = 1
    try:
        for number, descriptor in descriptors.items():
            os.dup2(descriptor, number)
        os.closerange(3, 1024)
        status = work() or 0
    except BaseException:  # noqa: BLE001 - a fork must never go on as the process it came from
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class Standby:
    """The run's process before it is started: stands in for `subprocess.Popen`, once, for one command."""

    def __init__(self, main: Callable[[list[str]], int]) -> None:
        self._ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self._ours.close()
            _wait(theirs, main)
        theirs.close()
        self._status: int | None = None

    def __call__(self, command: Sequence[str], *, cwd: Any, env: dict[str, str], stdin: int, stdout: int,
                 pass_fds: Sequence[int]) -> Standby:  # fmt: skip
        """Start it, as `sandbox.execute` calls Popen: ``python -P -m MODULE FOLDER REPORT`` with pipes."""
        assert (stdin, stdout) == (subprocess.PIPE, subprocess.PIPE)
        *_, folder, report = command
        assert pass_fds == [int(report)]
        (reading, writing), (hearing, saying) = os.pipe(), os.pipe()
        request = json.dumps([folder, str(cwd), env]).encode()
        socket.send_fds(self._ours, [request], [reading, saying, *pass_fds])
        self._ours.close()
        os.close(reading)
        os.close(saying)
        self.stdin, self.stdout = os.fdopen(writing, "wb"), os.fdopen(hearing, "rb")
        return self

    def kill(self) -> None:
        """Kill it unless it has ended."""
        if self._status is None:
            os.kill(self.pid, 9)

    def wait(self) -> int:
        """Wait for its end; return its status."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status


def _wait(control: socket.socket, main: Callable[[list[str]], int]) -> None:
    request, descriptors, *_ = socket.recv_fds(control, 1 << 16, 3)
    control.detach()
    if not request:
        os._exit(0)
    folder, cwd, environment = json.loads(request)
    stdin, stdout, report = descriptors

    def work() -> int:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = None
        return main([folder, str(kept)])

    # Above what is closed: the number is an argument, so any will do.
    kept = 2000
    os.dup2(report, kept)
    _end(work, {0: stdin, 1: stdout})
