"""What a run might try. Called inside the sandbox after it is armed; never part of a real run."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from time import time as imported_earlier

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# A library that was loaded in time: its calls are seen by the system alone.
c_fork, c_exit = ctypes.CDLL(None).fork, ctypes.CDLL(None)._exit


def open_socket() -> None:
    import socket

    socket.create_connection(("127.0.0.1", 9))


def look_up_a_name() -> None:
    import socket

    socket.gethostbyname("example.test")


def read_a_file() -> None:
    Path(__file__).read_text()


def write_a_file() -> None:
    Path(__file__ + ".new").write_text("x")


def read_a_file_by_arrow() -> None:
    pq.read_table(__file__)


def map_a_file_by_arrow() -> None:
    try:
        pa.memory_map(__file__).read()
    except Exception:  # noqa: BLE001 - the point: swallowing it does not help
        return


def ask_the_clock_and_say_nothing() -> None:
    try:
        imported_earlier()
        datetime.now()
    except Exception:  # noqa: BLE001 - the point: swallowing it does not help
        return


def ask_for_today() -> None:
    datetime.today()


def start_a_process() -> None:
    subprocess.run(["true"], check=False)


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def fork_in_c() -> None:
    if c_fork() == 0:
        c_exit(0)


def start_processes() -> None:
    multiprocessing.Process(target=len, args=("",)).start()


def draw_without_a_seed() -> None:
    np.random.default_rng().random()


def load_a_library() -> None:
    ctypes.CDLL("libc.so.6")


def wait_for_the_end() -> None:
    sys.stdout.buffer.write(b'[0,1,"waiting"]\n')
    sys.stdout.buffer.flush()
    time.sleep(600)
