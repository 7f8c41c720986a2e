"""The embedded schema registry, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from streams.embedded.child import Launch, Service
from streams.embedded.clickhouse import responds
from streams.embedded.ports import HOST


class Registry(Service):
    """A Confluent-compatible schema registry on one loopback port, its content in one file."""

    def __init__(self, port: int, file: Path, log: Path) -> None:
        argv = (
            sys.executable, "-P", "-m", "streams.embedded.registry_http",
            "--port", str(port),
            "--file", str(file),
        )  # fmt: skip
        super().__init__(Launch("the embedded schema registry", argv, log, port=port))

    @property
    def url(self) -> str:
        """The HTTP address."""
        return f"http://{HOST}:{self.launch.port}"

    def ready(self) -> bool:
        """Whether its root answers."""
        return responds(self.url)
