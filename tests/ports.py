"""Ports for servers that must be told theirs before they start."""

import random
import socket

# Below the ports that systems give to outgoing connections: one of those, another test's perhaps,
# would take a port between its choice and the server's start, or while the server is restarted.
_FIRST, _LAST = 20_000, 32_000


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    # Not the generator of the whole process, which other workers may have seeded alike.
    chance = random.SystemRandom()
    while True:
        port = chance.randint(_FIRST, _LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
