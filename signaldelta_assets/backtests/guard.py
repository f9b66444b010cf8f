"""What a run may not do, and what happens when it does: the guard inside the sandbox's process.

`arm` cannot be undone. From then on a socket, a file outside the run's own, another process, the clock or the
system's randomness raises `SandboxViolation` naming the call. The call is also written to standard output, where the
parent reads it and ends the process: code that swallows the exception, or a thread that dies of it, fails the run too.
"""

from __future__ import annotations

import datetime
import os
import random
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from signaldelta_assets.errors import SignalDeltaError


class SandboxViolation(SignalDeltaError):
    """A call that a run may not make: sockets, files, processes, clocks, randomness from the system."""


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REFUSED_PREFIXES = ("socket.", "subprocess.", "ctypes.", "http.", "urllib.", "ftplib.", "smtplib.", "sqlite3.", "pty.",
                     "winreg.")  # fmt: skip
_REFUSED = {"os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.kill", "os.putenv",
            "os.unsetenv", "sys.setprofile", "sys.settrace", "webbrowser.open"}  # fmt: skip
_ON_PATHS = {"os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
             "os.truncate", "os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile"}  # fmt: skip
_LISTING = {"os.listdir", "os.scandir", "glob.glob"}

_STANDARD = sysconfig.get_path("stdlib") + os.sep

_CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "clock_gettime",
           "clock_gettime_ns", "localtime", "gmtime", "ctime")  # fmt: skip


class Paths:
    """Which files a run may open: `readable` and the libraries for reading, what is in `folder` for anything."""

    def __init__(self, readable: Iterable[Path], folder: Path) -> None:
        self._files = {os.path.realpath(path) for path in readable}
        self._folder = os.path.realpath(folder) + os.sep
        self._libraries = tuple(os.path.realpath(path) + os.sep for path in _library_folders())

    def allows(self, path: Any, flags: int) -> bool:
        """Say whether `path` may be opened with the flags of open(2)."""
        if self.inside(path):
            return True
        real = os.path.realpath(_text(path))
        return not flags & _WRITING and (real in self._files or real.startswith(self._libraries))

    def inside(self, path: Any) -> bool:
        """Say whether `path` is the run's folder or in it."""
        return (os.path.realpath(_text(path)) + os.sep).startswith(self._folder)

    def library(self, path: Any) -> bool:
        """Say whether `path` is a folder of libraries or in it."""
        return (os.path.realpath(_text(path)) + os.sep).startswith(self._libraries)


class _Guard:
    """The rules of one process, once armed."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._listable = {os.path.realpath(path or ".") for path in sys.path}
        self._forbidden = _forbidden_builtins()
        self._lock_clock = time.monotonic
        self._pending = threading.local()

    def refuse(self, call: str) -> NoReturn:
        call = f"{call} (from {_caller()})"
        # The parent hears of it at once, whatever the code here makes of the exception.
        os.write(1, b"!" + call.encode(errors="replace").replace(b"\n", b" ") + b"\n")
        raise SandboxViolation(f"a backtest run may not call {call}")

    def arm(self) -> None:
        for name in _CLOCKS:
            setattr(time, name, self._refusing(f"time.{name}"))
        _patch_pandas_clock(self)
        # The profiler sees every call of a builtin from Python, also by a name imported before the patches.
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        sys.addaudithook(self._audit)

    def _refusing(self, call: str) -> Any:
        def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
            self.refuse(call)

        return refuse

    def _profile(self, frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call" or called not in self._forbidden:
            return
        # A lock's own time-out (a thread pool takes one of 0 s) asks the clock and tells nobody.
        if called is self._lock_clock and frame.f_globals.get("__name__") == "threading":
            return
        self._pending.call = self._forbidden[called]
        self.refuse(self._forbidden[called])

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            self._open(args[0], args[2] if isinstance(args[2], int) else 0)
        elif event == "sys.setprofile" and getattr(self._pending, "call", None):
            # The interpreter takes off a profile that raised: refused in its turn, and under the first call's name.
            call, self._pending.call = self._pending.call, None
            raise SandboxViolation(f"a backtest run may not call {call} (from {_caller()})")
        elif event == "sys.setprofile" and sys._getframe(1).f_globals.get("__name__") == "threading":
            # A new thread putting on the guard's own profile.
            return
        elif event.startswith(_REFUSED_PREFIXES) or event in _REFUSED:
            self.refuse(f"{event}{_shown(args)}")
        elif event in _ON_PATHS:
            for path in args[:2]:
                if isinstance(path, str | bytes | os.PathLike) and not self._paths.inside(path):
                    self.refuse(f"{event}({_text(path)!r})")
        elif event in _LISTING:
            path = args[0] if args and args[0] is not None else "."
            if not isinstance(path, int) and not self._listed(path):
                self.refuse(f"{event}({_text(path)!r})")

    def _open(self, path: Any, flags: int) -> None:
        if not isinstance(path, int) and not self._paths.allows(path, flags):
            mode = "writing" if flags & _WRITING else "reading"
            self.refuse(f"open({_text(path)!r}) for {mode}")

    def _listed(self, path: Any) -> bool:
        return os.path.realpath(_text(path)) in self._listable or self._paths.inside(path) or self._paths.library(path)


def _caller() -> str:
    """The innermost frame that is neither the guard's own nor the standard library's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename == __file__ or frame.f_code.co_filename.startswith((_STANDARD, "<frozen"))
    ):
        frame = frame.f_back
    return "unknown" if frame is None else f"{frame.f_globals.get('__name__')}:{frame.f_lineno}"


def _text(path: Any) -> str:
    return os.fsdecode(path)


def _shown(args: tuple[Any, ...]) -> str:
    # Addresses and commands are worth seeing; objects (the socket itself) are not.
    shown = [repr(arg)[:200] for arg in args if isinstance(arg, str | bytes | int | tuple | list | None)]
    return f"({', '.join(shown)})"


def _library_folders() -> list[str]:
    """Where code is imported from: the interpreter's libraries and this project's packages, not their parents."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return [*paths, str(Path(__file__).resolve().parents[1])]


def _forbidden_builtins() -> dict[Any, str]:
    """Builtins that read the clock or the system's randomness, by object: calls by any name are recognised."""
    found: dict[Any, str] = {getattr(time, name): f"time.{name}" for name in _CLOCKS}
    found |= {
        datetime.datetime.now: "datetime.datetime.now",
        datetime.datetime.utcnow: "datetime.datetime.utcnow",
        datetime.datetime.today: "datetime.datetime.today",
        datetime.date.today: "datetime.date.today",
        os.urandom: "os.urandom",
        random.random: "random.random",
        random.getrandbits: "random.getrandbits",
    }
    if hasattr(os, "getrandom"):
        found[os.getrandom] = "os.getrandom"
    return found


def _patch_pandas_clock(guard: _Guard) -> None:
    # Compiled by Cython, so that neither the profiler nor the patches of `time` see the clock inside.
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        for name in ("now", "utcnow", "today"):
            setattr(pandas.Timestamp, name, staticmethod(guard._refusing(f"pandas.Timestamp.{name}")))


def arm(readable: Iterable[Path], folder: Path) -> None:
    """Close this process: only `readable`, `folder` and the libraries may be opened, only `folder` written.

    Import and compile everything before.
    """
    sys.dont_write_bytecode = True
    _Guard(Paths(readable, folder)).arm()
