"""The broker under test: the embedded one behind a proxy, or a real Apache Kafka that a command starts and kills.

The command is the value of KAFKA_CONTROL (a program with its arguments, if any). It is called with

    start --dir D --port P --nodes N   start N brokers with their data in D, wait until they answer; the last line of
                                       its output is their bootstrap servers
    kill --dir D --node K              SIGKILL broker K (1 to N), as a crash would
    revive --dir D --node K            start broker K again on its data, wait until it answers
    stop --dir D                       end all of them

Three nodes must give replication factor 3 and min.insync.replicas 2.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Final

from schemas.errors import ConfigurationError, FootfallError
from streams.embedded.broker import Broker
from streams.embedded.ports import HOST, choose_port

VARIABLE: Final = "KAFKA_CONTROL"
_PATIENCE: Final = 120.0


class ProxiedBroker(Broker):
    """The embedded broker, telling its clients to come through a proxy."""

    def __init__(self, port: int, proxy_port: int, log: Path) -> None:
        super().__init__(port, log)
        argv = list(self.launch.argv)
        argv[argv.index("--advertised-listener-url") + 1] = f"tcp://{HOST}:{proxy_port}"
        self.launch = replace(self.launch, argv=argv)


@dataclass(slots=True)
class ControlledKafka:
    """A real Apache Kafka. It tells its clients its own addresses, so no proxy can stand before it."""

    home: Path
    nodes: int
    bootstrap: str = ""
    kills: int = 0
    whole_since: float = 0.0
    """When the last node that was killed was back, on the monotonic clock."""
    _down: tuple[int, float] | None = None
    _reviving: subprocess.Popen[str] | None = None
    _command: Sequence[str] = field(default_factory=lambda: control_command(os.environ))

    def start(self) -> None:
        """Start all nodes and wait until they answer."""
        port = str(choose_port())
        said = self._run("start", "--port", port, "--nodes", str(self.nodes))
        self.bootstrap = said.strip().splitlines()[-1]

    @property
    def whole(self) -> bool:
        """Whether every node is up."""
        return self._down is None and self._reviving is None

    def kill(self, node: int, down: float) -> None:
        """SIGKILL one node; it is revived after `down` seconds. One at a time: call it only while `whole`."""
        self._run("kill", "--node", str(node))
        self.kills += 1
        self._down = (node, monotonic() + down)

    def watch(self) -> None:
        """Revive the node that is due. Raises FootfallError when it does not come back."""
        if self._down is not None and monotonic() >= self._down[1]:
            command = self._arguments("revive", "--node", str(self._down[0]))
            self._reviving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self._down = None
        if self._reviving is not None and self._reviving.poll() is not None:
            said, _ = self._reviving.communicate()
            if self._reviving.returncode:
                raise FootfallError(f"a broker did not come back: {said.strip()[-500:]}")
            self._reviving = None
            self.whole_since = monotonic()

    def stop(self) -> None:
        """End all nodes."""
        if self._reviving is not None:
            self._reviving.communicate(timeout=_PATIENCE)
        self._run("stop")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            self._arguments(*arguments), capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
        if done.returncode:
            raise FootfallError(f"{VARIABLE} {arguments[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout

    def _arguments(self, command: str, *more: str) -> list[str]:
        return [*self._command, command, "--dir", str(self.home), *more]


def control_command(environment: os._Environ[str] | dict[str, str]) -> list[str]:
    """The command that KAFKA_CONTROL names. Raises ConfigurationError where it names none."""
    command = shlex.split(environment.get(VARIABLE, ""))
    if not command:
        raise ConfigurationError(
            f"Chaos on a real Kafka needs {VARIABLE}, a command that starts, kills, revives and stops brokers: "
            "docs/chaos.md says how it is called."
        )
    return command
