"""A way to Dagster's webserver that loses answers: what was asked is done, and who asked is not told."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


class LosingProxy:
    """Forwards requests on loopback. `lose`: of so many requests that hold those bytes the answer is thrown away."""

    def __init__(self, port: int, target: str) -> None:
        self.lose, self.of, self.lost = 0, b"", 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                try:
                    answer = httpx.post(
                        target + self.path, content=body, headers={"content-type": self.headers["content-type"]},
                        timeout=60,
                    )  # fmt: skip
                except httpx.TransportError:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if proxy.lose and proxy.of in body:
                    proxy.lose, proxy.lost = proxy.lose - 1, proxy.lost + 1
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status_code)
                self.send_header("content-type", answer.headers["content-type"])
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def lose_answers(self, count: int, of: bytes) -> None:
        """Throw away the next answers to requests that hold `of`."""
        self.of, self.lose = of, count

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()
