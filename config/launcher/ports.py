"""Loopback ports."""

from __future__ import annotations

import random
import socket

# Below where systems take the ports of outgoing connections from (32768 on Linux): there a busy
# client may have the port before its server binds it, or while that restarts.
_FIRST, _LAST = 15_000, 32_000
_TRIES = 100


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def pick() -> int:
    """A port that is free now; another process may still be quicker. Raises OSError."""
    for _ in range(_TRIES):
        port = random.randint(_FIRST, _LAST)
        if is_free(port):
            return port
    raise OSError(f"no free port found between {_FIRST} and {_LAST}")
