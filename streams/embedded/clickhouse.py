"""The embedded ClickHouse: the chdb engine behind ClickHouse's HTTP interface, in a process of its own."""

from __future__ import annotations

import importlib.util
import sys
import urllib.error
import urllib.request
from pathlib import Path

from schemas.errors import ConfigurationError
from streams.embedded.child import Launch, Service
from streams.embedded.ports import HOST


class ClickHouse(Service):
    """ClickHouse's HTTP interface on one loopback port, its tables in `directory`."""

    startup_seconds = 30.0  # the engine is a 150 MB library: a cold disk needs a while

    def __init__(self, port: int, directory: Path, log: Path) -> None:
        if importlib.util.find_spec("chdb") is None:
            raise ConfigurationError(
                "The embedded ClickHouse needs the chdb engine: install footfall[embedded], "
                "or point FOOTFALL_WAREHOUSE__HOST at a ClickHouse server."
            )
        directory.mkdir(parents=True, exist_ok=True)
        argv = (
            sys.executable, "-P", "-m", "streams.embedded.clickhouse_http",
            "--port", str(port),
            "--path", str(directory),
        )  # fmt: skip
        super().__init__(Launch("the embedded ClickHouse", argv, log, {"TZ": "UTC"}, port))

    @property
    def url(self) -> str:
        """The HTTP address."""
        return f"http://{HOST}:{self.launch.port}"

    def ready(self) -> bool:
        """Whether /ping answers."""
        return responds(f"{self.url}/ping")


def responds(url: str, timeout: float = 0.5) -> bool:
    """Whether a GET of the URL is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310  loopback addresses of our own
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
