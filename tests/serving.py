"""A real server of an app on a loopback port, in a thread of this process, by the protocol it has in production."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from api.walls.patience import PatientProtocol


@contextmanager
def serving(app: FastAPI, protocol: type[PatientProtocol] = PatientProtocol) -> Iterator[str]:
    """Serve `app`; yield its address. Streams that are open at the end are cut."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="warning", http=protocol, proxy_headers=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
