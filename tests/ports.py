"""Ports for servers that have to be told theirs before they start."""

from __future__ import annotations

import random
import socket

# Below those that the system gives to whoever asks for any: no server and no client takes one in between. Each process
# draws by itself, whatever seed a test has set.
_FIRST, _LAST = 20_000, 32_000
_drawn = random.SystemRandom()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    while True:
        port = _drawn.randint(_FIRST, _LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
