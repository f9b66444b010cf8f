"""Running the application on a loopback port, in a thread of this process."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

import uvicorn

from .app import create_app
from .archive import Archive

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 10.0


class ReplayServer:
    """An archive behind a loopback address: `with ReplayServer(archive) as server: server.url`.

    The port is bound when the object is made, so `url` is known before `start`. Port 0 takes a free one.
    """

    def __init__(self, archive: Archive, port: int = 0, *, max_log_range: int = 10_000, max_logs: int = 10_000) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((_HOST, port))
        self.port: int = self._socket.getsockname()[1]
        app = create_app(archive, max_log_range=max_log_range, max_logs=max_logs)
        # A cut connection is asked for; uvicorn would report it as an error of the application.
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address, without trailing slash."""
        return f"http://{_HOST}:{self.port}"

    def base(self, host: str) -> str:
        """Return the address that stands for `https://<host>`, or for the chain (`ethereum`)."""
        return f"{self.url}/{host}"

    def start(self) -> ReplayServer:
        """Serve in a thread; returns when requests are answered."""
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="replay", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"replay server: expected to answer at {self.url}, did not start")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)
        self._socket.close()

    def run(self, ready_file: Path | None = None) -> None:
        """Serve in this thread until interrupted; `ready_file` gets the address once it is bound."""
        self._socket.listen()
        if ready_file is not None:
            partial = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
            partial.write_text(self.url + "\n")
            partial.replace(ready_file)
        self._server.run([self._socket])

    def __enter__(self) -> ReplayServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
