"""Broker, Redis and schema registry for a benchmark, without ClickHouse: nothing else uses the two cores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from schemas.errors import UnreachableError
from streams.embedded.broker import Broker
from streams.embedded.child import Child, Service
from streams.embedded.data_directory import DataDirectory
from streams.embedded.ports import choose_port
from streams.embedded.redis import RedisServer
from streams.embedded.registry import Registry
from streams.embedded.role import RoleProcess
from streams.embedded.supervisor import EmbeddedStack, StackPlan, embedded_settings
from streams.embedded.topics import make_topics
from streams.registration import register_schemas
from streams.settings import Settings

_PORTS = ("kafka", "redis", "registry", "process", "clickhouse")


@dataclass(frozen=True, slots=True)
class Services:
    """What runs, where it listens, and the schema ids of all topics."""

    settings: Settings
    children: dict[str, Service]
    schema_ids: dict[str, int]
    data: DataDirectory
    _closing: ExitStack = field(repr=False)

    def start_role(self, role: str, program: str = "streams.cli.main", number: int = 1) -> Service:
        """A role as a child process, ready when this returns; `program` is the module that runs it.

        The second of a role and those after it (`number`) have ports of their own.
        """
        settings, name = self.settings, role
        if number > 1:
            metrics = settings.metrics.model_copy(update={role: choose_port()})
            settings, name = settings.model_copy(update={"metrics": metrics}), f"{role}-{number}"
        child = RoleProcess(role, settings, self.data.log(name), {}, program)
        child.grace_seconds = 30.0
        self._closing.callback(child.stop, child.grace_seconds)
        child.start()
        child.wait_ready()
        return child

    def check(self) -> None:
        """Raises UnreachableError when a child has ended."""
        check_running(self.children)


@contextmanager
def services(root: Path, settings: Settings) -> Iterator[Services]:
    """Started from nothing in the folder `root`; stopped when the block ends. From the main thread only."""
    ports = {name: choose_port() for name in _PORTS}
    here = embedded_settings(settings, ports)
    data = DataDirectory(root)
    data.lock()
    with ExitStack() as closing:
        closing.callback(data.unlock)
        children: dict[str, Service] = {
            "kafka": Broker(ports["kafka"], data.log("kafka")),
            "redis": RedisServer(ports["redis"], data.redis, data.log("redis")),
            "registry": Registry(ports["registry"], data.registry, data.log("registry")),
        }
        for child in children.values():
            closing.enter_context(child)
        make_topics(here)
        yield Services(here, children, register_schemas(here), data, closing)


class OnBroker(EmbeddedStack):
    """The whole stack, but on a broker that runs already: Footfall's topics there are deleted and made anew."""

    def __init__(self, bootstrap: str, data_dir: Path, plan: StackPlan, settings: Settings) -> None:
        super().__init__(data_dir, replace(plan, drain=False), settings)
        self._bootstrap = bootstrap

    def _plan_services(self) -> None:
        super()._plan_services()
        del self.services["kafka"]
        kafka = self.settings.kafka.model_copy(update={"bootstrap": self._bootstrap})
        self.settings = self.settings.model_copy(update={"kafka": kafka})

    async def _open_broker(self) -> None:
        await asyncio.to_thread(make_topics, self.settings)


def check_running(children: Mapping[str, Child]) -> None:
    """Raises UnreachableError, naming it and its log, when one of the children has ended."""
    for child in children.values():
        if not child.running:
            raise UnreachableError(child.describe_death())


def wait_until(condition: object, seconds: float, what: str, every: float = 0.2) -> None:
    """Wait until the callable `condition`, asked `every` so many seconds, is true.

    Raises:
        UnreachableError: it is not within `seconds`.

    """
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise UnreachableError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
