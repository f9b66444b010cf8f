"""A load generator of its own process: raw sockets that keep a fixed number of requests under way, and their latencies.

``python -m tests.benchmarks.load PORT CONNECTIONS SECONDS`` with the requests, complete and each of one line per
target with its headers, as a JSON list on standard input; prints a JSON object. It does as little as it can: what it
takes of a processor is missing elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a round: answers a second, latencies in seconds, answers that were not 200."""

    per_second: float
    p50: float
    p99: float
    answers: int
    failed: int


class _Caller(asyncio.Protocol):
    def __init__(self, requests: Sequence[bytes], until: float, took: list[float], seed: int) -> None:
        self._requests, self._until, self._took = requests, until, took
        self._random = random.Random(seed)
        self._waiting = b""
        self.failed = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._random.choice(self._requests))

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        head = self._waiting.find(b"\r\n\r\n")
        if head < 0:
            return
        found = _LENGTH.search(self._waiting, 0, head + 2)
        length = int(found[1]) if found else 0
        if len(self._waiting) < head + 4 + length:
            return
        now = time.perf_counter()
        self._took.append(now - self._began)
        self.failed += self._waiting[9:12] != b"200"
        self._waiting = b""
        if now < self._until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def _run(port: int, connections: int, seconds: float, requests: Sequence[bytes]) -> Load:
    took: list[float] = []
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    callers = []
    for number in range(connections):
        _, caller = await loop.create_connection(
            lambda number=number: _Caller(requests, began + seconds, took, number),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        callers.append(caller)
    await asyncio.gather(*(caller.done for caller in callers))
    elapsed = time.perf_counter() - began
    took.sort()
    at = [took[min(int(len(took) * share), len(took) - 1)] for share in (0.5, 0.99)] if took else [0.0, 0.0]
    return Load(len(took) / elapsed, at[0], at[1], len(took), sum(caller.failed for caller in callers))


def request(path: str, headers: Mapping[str, str] | None = None) -> str:
    """Return a whole GET as text."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines) + "\r\n\r\n"


def load(port: int, connections: int, seconds: float, requests: Sequence[str]) -> Load:
    """Ask the server at `port` from another process and return what came of it."""
    line = [sys.executable, "-m", "tests.benchmarks.load", str(port), str(connections), str(seconds)]
    done = subprocess.run(line, input=json.dumps(list(requests)), capture_output=True, text=True, check=True)
    return Load(**json.loads(done.stdout))


if __name__ == "__main__":
    import dataclasses

    import uvloop

    given = [one.encode() for one in json.load(sys.stdin)]
    print(
        json.dumps(dataclasses.asdict(uvloop.run(_run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), given))))
    )
