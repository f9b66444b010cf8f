"""A receiver of alerts on loopback: keeps what it is sent, and answers as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What came: (path, Idempotency-Key, document, moment). `answers`: statuses for the next requests, then 200."""

    url: str = ""
    came: list[tuple[str, str, Any, float]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    slow_seconds: float = 0.0
    # After the head of an answer: so long a byte now and then, of a body that would go on.
    dripping_seconds: float = 0.0

    def ids(self, path: str = "/hook") -> list[str]:
        """The ids of the messages that were taken at a path, in the order in which they came."""
        return [key for where, key, _, _ in self.came if where == path]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve until the end of the block, on a free port."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(made.slow_seconds)
            status = made.answers.pop(0) if made.answers else 200
            if status == 200:
                made.came.append((self.path, self.headers["Idempotency-Key"], json.loads(body), time.time()))
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "7")
            until = time.monotonic() + made.dripping_seconds
            self.send_header("Content-Length", "1000" if made.dripping_seconds else "0")
            self.end_headers()
            while made.dripping_seconds and time.monotonic() < until:
                try:
                    self.wfile.write(b".")
                except OSError:
                    break
                time.sleep(0.05)

        def log_message(self, *_: Any) -> None:
            """Say nothing: pytest shows what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
