"""A real server of an app on a loopback port, in a thread of this process, by the protocol it has in production."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from api.server import Serving
from api.walls.patience import PatientProtocol


@contextmanager
def serving(app: FastAPI, protocol: type[PatientProtocol] = PatientProtocol) -> Iterator[str]:
    """Serve `app`; yield its address. Streams that are open at the end are cut."""
    server = uvicorn.Server(Serving(port=0, graceful_seconds=1, protocol=protocol).config(app))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
