"""One role as a supervised child."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from streams.embedded.allocator import preloaded_for_python
from streams.embedded.child import Launch, Service
from streams.embedded.clickhouse import responds
from streams.embedded.ports import HOST
from streams.provenance import to_environment
from streams.settings import Settings


class RoleProcess(Service):
    """One role as a child process; ready when /readyz on its metrics port says so."""

    startup_seconds = 40.0

    def __init__(
        self,
        role: str,
        settings: Settings,
        log: Path,
        environment: Mapping[str, str],
        program: str = "streams.cli.main",
    ) -> None:
        argv = (sys.executable, "-P", "-m", program, role)
        env = {**preloaded_for_python(), **to_environment(settings), **environment}
        super().__init__(Launch(f"the role {role}", argv, log, env, settings.metrics.port_of(role)))
        self.grace_seconds = settings.drain_seconds + 5.0

    def ready(self) -> bool:
        """Whether /readyz answers 200."""
        return responds(f"http://{HOST}:{self.launch.port}/readyz")
