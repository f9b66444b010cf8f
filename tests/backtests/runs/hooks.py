"""What a run might try. Called inside the sandbox after it is armed; never part of a real run."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from time import time as imported_earlier


def open_socket() -> None:
    import socket

    socket.create_connection(("127.0.0.1", 9))


def ask_the_clock_and_say_nothing() -> None:
    try:
        imported_earlier()
        datetime.now()
    except Exception:  # noqa: BLE001 - the point: swallowing it does not help
        return


def wait_for_the_end() -> None:
    sys.stdout.buffer.write(b'[0,1,"waiting"]\n')
    sys.stdout.buffer.flush()
    time.sleep(600)
