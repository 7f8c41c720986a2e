"""Free ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from typing import Final

HOST = "127.0.0.1"
POOL = range(20_000, 32_000)  # below Linux's ephemeral range: no outgoing connection takes one between choice and bind
_given: Final = set[int]()
"""Each is given once in a process: what it was given for may not have bound it yet."""


def is_free(port: int) -> bool:
    """Whether a server could bind this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_port(preferred: int = 0, taken: Collection[int] = ()) -> int:
    """The preferred port where it is free, else a free one of 20000 to 31999 that this process was not given before."""
    if preferred and preferred not in taken and is_free(preferred):
        return preferred
    for port in random.SystemRandom().sample(POOL, 200):
        if port not in _given and port not in taken and is_free(port):
            _given.add(port)
            return port
    raise OSError("no free port between 20000 and 31999 on 127.0.0.1")


def answers(port: int, timeout: float = 0.2) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        with socket.create_connection((HOST, port), timeout):
            return True
    except OSError:
        return False
