"""Arms the guard in this process and tries everything; prints what was refused and what was let through as JSON.

Run as ``python -m tests.backtests.runs.tries FOLDER READABLE OUTSIDE``.
"""

from __future__ import annotations

import datetime as datetime_module
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any

import numpy as np
import pandas as pd

from signaldelta_assets.backtests.guard import SandboxViolation, arm

folder, readable, outside = map(Path, sys.argv[1:])


def in_a_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> None:
        caught: list[BaseException] = []

        def inside() -> None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                caught.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if caught:
            raise caught[0]

    return run


refused: dict[str, Callable[[], Any]] = {
    "socket": socket.socket,
    "dns": lambda: socket.getaddrinfo("example.test", 80),
    "host": lambda: socket.gethostbyname("example.test"),
    "read outside": outside.read_text,
    "write outside": lambda: outside.write_text("x"),
    "write readable": lambda: readable.write_text("x"),
    "append readable": lambda: readable.open("ab"),
    "os.open": lambda: os.open(outside, os.O_RDONLY),
    "dotted": lambda: (folder / ".." / outside.parent.name / outside.name).read_text(),
    "link": lambda: (folder / "link").symlink_to(outside),
    "prefix": lambda: Path(f"{folder}-beside").write_text("x"),
    "remove": outside.unlink,
    "rename": lambda: readable.rename(folder / "moved"),
    "list": lambda: os.listdir(outside.parent),
    "home": lambda: Path("/etc/passwd").read_text(),
    "numpy file": lambda: np.fromfile(outside),
    "pandas file": lambda: pd.read_csv(outside),
    "subprocess": lambda: subprocess.run(["true"], check=False),
    "system": lambda: os.system("true"),
    "fork": os.fork,
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "time.time": lambda: time.time(),
    "time.monotonic": lambda: time.monotonic(),
    "time_ns imported": time_ns,
    "perf_counter imported": lambda: perf_counter(),
    "localtime": lambda: time.localtime(),
    "datetime.now": lambda: datetime.now(),
    "datetime.utcnow": lambda: datetime_module.datetime.utcnow(),
    "date.today": lambda: date.today(),
    "pandas now": lambda: pd.Timestamp.now(),
    "pandas today": lambda: pd.Timestamp.today("UTC"),
    "urandom": lambda: os.urandom(1),
    "unseeded numpy": lambda: np.random.default_rng(),
    "random": lambda: random.random(),
    "clock in a thread": in_a_thread(lambda: time_ns()),
    "file in a thread": in_a_thread(outside.read_text),
    "profile": lambda: sys.setprofile(None),
}
allowed: dict[str, Callable[[], Any]] = {
    "read part": readable.read_text,
    "write folder": lambda: (folder / "sub").mkdir() or (folder / "sub" / "x").write_text("x"),
    "library": lambda: Path(json.__file__).read_text(),
    "import": lambda: __import__("colorsys"),
    "seeded": lambda: np.random.Generator(np.random.PCG64(1)).random(),
    "thread": in_a_thread(lambda: 1),
    "sleep": lambda: time.sleep(0.001),
    "make a time": lambda: datetime(2024, 1, 1) + datetime_module.timedelta(hours=1),
}

arm([readable], folder)
found: dict[str, str] = {}
for name, call in {**refused, **allowed}.items():
    try:
        call()
        found[name] = "let through"
    except SandboxViolation as error:
        found[name] = str(error)
(folder / "found.json").write_text(
    json.dumps({"refused": {k: found[k] for k in refused}, "allowed": {k: found[k] for k in allowed}})
)
