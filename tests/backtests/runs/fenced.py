"""Closes this process as a run's is closed and calls one thing below Python that a run may not do.

Run as ``python -m tests.backtests.runs.fenced CALL FOLDER OUTSIDE SOCKET``; prints "let through" where nothing stopped
it. With SOCKET -1 there is no fence, and with "-" as CALL nothing is called.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from signaldelta_assets.backtests.fence import close_process
from signaldelta_assets.backtests.guard import arm

libc = ctypes.CDLL(None)
c_open, c_socket, c_fork, c_unlink, c_execv = libc.open, libc.socket, libc.fork, libc.unlink, libc.execv
c_rename, c_exit = libc.rename, libc._exit
c_chmod, c_chown, c_mkfifo, c_setxattr = libc.chmod, libc.chown, libc.mkfifo, libc.setxattr


def in_a_child() -> None:
    if c_fork() == 0:
        c_exit(0)


CALLS: dict[str, Callable[[Path, Path], Any]] = {
    "-": lambda folder, outside: None,
    "arrow read_table": lambda folder, outside: pq.read_table(str(outside)),
    "arrow memory_map": lambda folder, outside: pa.memory_map(str(outside)).read(),
    "arrow write": lambda folder, outside: pa.OSFile(f"{outside}.new", "wb").write(b"x"),
    "arrow csv": lambda folder, outside: pyarrow.csv.read_csv(str(outside)),
    "duckdb": lambda folder, outside: duckdb.sql(f"SELECT * FROM read_parquet('{outside}')").fetchall(),
    "libpq": lambda folder, outside: psycopg.pq.PGconn.connect(b"host=127.0.0.1 port=9 connect_timeout=2"),
    "C open": lambda folder, outside: c_open(os.fsencode(outside), os.O_RDONLY),
    "C open beside": lambda folder, outside: c_open(b"../outside.parquet", os.O_RDONLY),
    "C open to write": lambda folder, outside: c_open(os.fsencode(outside), os.O_WRONLY),
    "C socket": lambda folder, outside: c_socket(2, 1, 0),
    "C fork": lambda folder, outside: in_a_child(),
    "C exec": lambda folder, outside: c_execv(b"/bin/true", (ctypes.c_char_p * 2)(b"true", None)),
    "C unlink": lambda folder, outside: c_unlink(os.fsencode(outside)),
    "C chmod": lambda folder, outside: c_chmod(os.fsencode(outside), 0o755),
    "C chown": lambda folder, outside: c_chown(os.fsencode(outside), os.getuid(), os.getgid()),
    "C mkfifo": lambda folder, outside: c_mkfifo(os.fsencode(outside) + b".new", 0o600),
    "C setxattr": lambda folder, outside: c_setxattr(os.fsencode(outside), b"user.a", b"1", 1, 0),
    "C rename": lambda folder, outside: c_rename(os.fsencode(outside), os.fsencode(folder / "taken")),
}

if __name__ == "__main__":
    call, folder, outside, report = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    os.chdir(folder)
    # DuckDB's first query reads what the machine has.
    duckdb.sql("SELECT 1").fetchall()
    if report >= 0:
        close_process(report)
    arm([], folder)
    try:
        CALLS[call](folder, outside)
    except Exception as error:  # noqa: BLE001 - the point: swallowing it does not help
        print("swallowed", type(error).__name__, error, flush=True)
    (folder / "went on").write_text(pq.read_table(folder / "inside.parquet").to_pydict()["a"][0])
    print("let through", flush=True)
