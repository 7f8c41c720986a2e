"""Starts an installation on one machine, watches it, and stops it in order: services, topics, roles, and back."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from confluent_kafka import KafkaException
from pydantic import SecretStr

from streams.embedded.broker import Broker
from streams.embedded.broker_log import LogReaders, begin_new_log, note_stop
from streams.embedded.child import Child, ChildFailedError, Service
from streams.embedded.clickhouse import ClickHouse
from streams.embedded.data_directory import DataDirectory
from streams.embedded.ports import HOST, choose_port, is_free
from streams.embedded.redis import RedisServer
from streams.embedded.registry import Registry
from streams.embedded.revival import Revival
from streams.embedded.role import RoleProcess
from streams.embedded.topics import make_topics
from streams.provenance import to_environment
from streams.registration import register_schemas
from streams.settings import EMBEDDED_KAFKA, Settings, load_settings

ROLES: Final = ("process", "train", "sink")
_POLL_SECONDS = 0.05
_LONGEST_DRAIN_SECONDS = 30.0
_DRAIN_POLL_SECONDS = 0.5
_ATTEMPTS = 3
_PLAIN: Final = {"ca_file": None, "certificate_file": None, "key_file": None}
"""Nothing on the loopback interface speaks TLS."""


@dataclass(frozen=True)
class StackPlan:
    """What to start besides the services, and who hears of it.

    `report(name, state)`: a child (or `schemas`) is `starting` or `ready, <seconds>`, the log is `draining` (only where
    `drain` asks a stop to wait until what was accepted is read), a role that stalled was `restarted`, a child has
    `stopped`.
    """

    roles: Sequence[str] = ROLES
    environment: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[str, str], None] = lambda _name, _state: None
    drain: bool = True


class EmbeddedStack:
    """Broker, Redis, ClickHouse, registry and roles as children of this process.

    `settings` are those given (or loaded) with the addresses and Kafka timings of the embedded services put in;
    ports are the usual ones where they are free. Leave it from the thread that entered it.
    """

    def __init__(self, data_dir: Path, plan: StackPlan | None = None, settings: Settings | None = None) -> None:
        self.plan = plan or StackPlan()
        self.data = DataDirectory(data_dir)
        self.settings = settings or load_settings()
        self.services: dict[str, Service] = {}
        self.roles: dict[str, Service] = {}
        self.startup_seconds: dict[str, float] = {}
        self.warnings: list[str] = []
        """What people should know after the start: events that were lost with the broker of the last run."""
        self._serving = False
        self._revival = Revival()

    @property
    def children(self) -> dict[str, Child]:
        """Every child by name: kafka, redis, clickhouse, registry and the roles."""
        return {**self.services, **self.roles}

    @property
    def settings_env(self) -> dict[str, str]:
        """Variables that point any other Footfall process at this stack."""
        return to_environment(self.settings)

    @property
    def urls(self) -> dict[str, str]:
        """Addresses for people: kafka, redis, clickhouse, registry, and the metrics of each role."""
        metrics = {
            f"{role} metrics": f"http://{HOST}:{child.launch.port}/metrics" for role, child in self.roles.items()
        }
        return {
            "kafka": self.settings.kafka.bootstrap,
            "redis": self.settings.redis.address,
            "clickhouse": f"http://{HOST}:{self.settings.warehouse.port}",
            "registry": self.settings.registry.url,
            **metrics,
        }

    async def start(self) -> None:
        """Start everything and return when all roles are ready.

        Raises:
            ChildFailedError: a child ended or was not ready in time; everything is stopped again.
            ConfigurationError: the data directory is in use, or a service is not installed.

        """
        self.data.lock()
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                await self._start()
            except ChildFailedError:
                taken = [name for name, child in self.children.items() if _lost_its_port(child)]
                if not taken or not attempts_left:
                    await self.stop()
                    raise
                await self._begin_again(taken)
            except BaseException:
                await self.stop()
                raise
            else:
                return

    async def _start(self) -> None:
        self._plan_services()
        self._spawn(self.services)
        await self._open_broker()
        await self._all_ready(self.services)
        await self._prepare()
        self._plan_roles()
        self._spawn(self.roles)
        await self._all_ready(self.roles)
        self._check_running()  # a child that lost its port may look ready: another program answers in its place
        self._serving = True

    def _check_running(self) -> None:
        for child in self.children.values():
            if not child.running:
                raise ChildFailedError(child.describe_death())

    async def _begin_again(self, taken: Sequence[str]) -> None:
        """Stop what runs: somebody took a port between our choosing and our binding it."""
        self.plan.report(", ".join(taken), "lost its port, starting again on another")
        await self._stop_all(self.roles)
        await self._stop_all(self.services)
        if "schemas" in self.startup_seconds:
            note_stop(self.data, 0)  # the log that ends here was begun, and nobody knew where to write to
        self.startup_seconds.clear()
        self.roles.clear()

    async def stop(self) -> None:
        """Let the roles read what was accepted, stop them, then the services. Never raises; safe to call twice."""
        if self.plan.drain and self._serving and all(child.running for child in self.children.values()):
            await self._drain()
        self._serving = False
        await self._stop_all(self.roles)
        await self._stop_all(self.services)
        self.data.unlock()

    async def watch(self) -> None:
        """Return never: wait until a child ends, and say so. A role that its watchdog has ended starts again.

        Raises:
            ChildFailedError: with its name, exit status, log path and the log's last lines.

        """
        while True:
            for name, role in self.roles.items():
                if self._revival.revive(name, role):
                    self.plan.report(name, "restarted, its watchdog had ended it: its log says why")
            self._check_running()
            await asyncio.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """End every child at once, without draining: the second Ctrl-C."""
        for child in self.children.values():
            child.signal(signal.SIGKILL)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _plan_services(self) -> None:
        settings, data = self.settings, self.data
        wanted = {
            "kafka": _port_in(settings.kafka.bootstrap.split(",")[0], 9092),
            "redis": _port_in(settings.redis.address, 6379),
            "registry": _port_in(settings.registry.url, 8081),
            "clickhouse": settings.warehouse.port,
            **{role: settings.metrics.port_of(role) for role in self.plan.roles},
        }
        ports: dict[str, int] = {}
        for name, port in wanted.items():
            ports[name] = choose_port(port, set(ports.values()))
        self.settings = embedded_settings(settings, ports)
        self.services = {
            "clickhouse": ClickHouse(ports["clickhouse"], data.clickhouse, data.log("clickhouse")),
            "registry": Registry(ports["registry"], data.registry, data.log("registry")),
            "kafka": Broker(ports["kafka"], data.log("kafka")),
            "redis": RedisServer(ports["redis"], data.redis, data.log("redis")),
        }

    def _plan_roles(self) -> None:
        self.roles = {
            role: RoleProcess(role, self.settings, self.data.log(role), self.plan.environment)
            for role in self.plan.roles
        }

    async def _open_broker(self) -> None:
        """Topics at once, while the other services still start: Tansu makes wrong ones for whoever asks first."""
        await self._until_ready("kafka", self.services["kafka"])
        try:
            self._warn(await asyncio.to_thread(make_topics, self.settings))
        except KafkaException:
            self._check_running()  # then another program answers in its place, and speaks no Kafka
            raise

    async def _prepare(self) -> None:
        started = time.monotonic()
        await asyncio.to_thread(register_schemas, self.settings)
        self._warn(await asyncio.to_thread(begin_new_log, self.settings, self.data))
        self._note_ready("schemas", time.monotonic() - started)

    def _warn(self, sentence: str | None) -> None:
        self.warnings += [sentence] if sentence else []

    def _spawn(self, children: Mapping[str, Service]) -> None:
        for name, child in children.items():
            self.plan.report(name, "starting")
            child.start()  # here, not in a pool thread: the kernel ends a child with the thread that forked it

    async def _all_ready(self, children: Mapping[str, Service]) -> None:
        waits = [
            asyncio.create_task(self._until_ready(name, child))
            for name, child in children.items()
            if name not in self.startup_seconds
        ]
        try:
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()

    async def _until_ready(self, name: str, child: Service) -> None:
        started = time.monotonic()
        deadline = started + child.startup_seconds
        while not await asyncio.to_thread(child.check_started, deadline):  # noqa: ASYNC110  a process sends no event
            await asyncio.sleep(_POLL_SECONDS)
        self._note_ready(name, time.monotonic() - started)

    def _note_ready(self, name: str, seconds: float) -> None:
        self.startup_seconds[name] = seconds
        self.plan.report(name, f"ready, {seconds:.1f} s")

    async def _drain(self) -> None:
        """Wait until the roles have read the whole log; a second signal or a child's death ends the wait."""
        readers = await asyncio.to_thread(LogReaders, self.settings, self.roles)
        deadline = time.monotonic() + _LONGEST_DRAIN_SECONDS
        unread = await asyncio.to_thread(readers.unread)
        with suppress(asyncio.CancelledError):
            while unread and time.monotonic() < deadline and all(child.running for child in self.roles.values()):
                self.plan.report(f"{unread} unread records", "draining")
                await asyncio.sleep(_DRAIN_POLL_SECONDS)
                unread = await asyncio.to_thread(readers.unread)
        note_stop(self.data, unread)
        readers.close()

    async def _stop_all(self, children: Mapping[str, Service]) -> None:
        running = {name: child for name, child in children.items() if child.running}
        started = time.monotonic()
        for child in running.values():
            child.signal(signal.SIGTERM)
        for name, child in running.items():
            while child.running and time.monotonic() < started + child.grace_seconds:
                with suppress(asyncio.CancelledError):  # the children must be gone before this process may go
                    await asyncio.sleep(_POLL_SECONDS)
            child.signal(signal.SIGKILL)
            child.wait(5.0)
            self.plan.report(name, "stopped")


def embedded_settings(settings: Settings, ports: Mapping[str, int]) -> Settings:
    """The settings with the addresses of embedded services on these ports, and Kafka timings that suit them."""
    metrics = {role: ports[role] for role in ROLES if role in ports}
    bootstrap = f"{HOST}:{ports['kafka']}"
    kafka = {**EMBEDDED_KAFKA, **_PLAIN, "bootstrap": bootstrap, "security_protocol": "PLAINTEXT"}
    redis = {**_PLAIN, "url": SecretStr(f"redis://{HOST}:{ports['redis']}/0")}
    registry = {**_PLAIN, "url": f"http://{HOST}:{ports['registry']}", "username": ""}
    warehouse = {**_PLAIN, "host": HOST, "port": ports["clickhouse"], "secure": False}
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update=kafka),
            "redis": settings.redis.model_copy(update=redis),
            "registry": settings.registry.model_copy(update=registry),
            "warehouse": settings.warehouse.model_copy(update=warehouse),
            "metrics": settings.metrics.model_copy(update={**metrics, "host": HOST}),
        }
    )


def _lost_its_port(child: Child) -> bool:
    """Whether it ended because another program holds its port."""
    return not child.running and not is_free(child.launch.port)


def _port_in(address: str, default: int) -> int:
    with suppress(ValueError):
        return urlsplit(address if "//" in address else f"//{address}").port or default
    return default
