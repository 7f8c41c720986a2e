"""The installation under test: two workers, a sink and their servers, each a process that may be killed at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from schemas.errors import FootfallError
from schemas.topics import INPUT_TOPICS
from streams.embedded.child import Service
from streams.embedded.clickhouse import ClickHouse
from streams.embedded.ports import HOST, choose_port
from streams.embedded.redis import RedisServer
from streams.embedded.registry import Registry
from streams.embedded.role import RoleProcess
from streams.embedded.supervisor import embedded_settings
from streams.embedded.topics import make_topics
from streams.kafka.config import kafka_config
from streams.kafka.topics import Topics
from streams.registration import register_schemas
from streams.settings import Settings, load_settings
from tests.chaos.brokers import ControlledKafka, ProxiedBroker
from tests.chaos.keeper import Kept
from tests.chaos.proxy import Proxies, Proxy

PARTITIONS: Final = 4
WORKERS: Final = ("worker-1", "worker-2")
SINK: Final = "sink"
Told = Callable[[str], None]
_BACK_SECONDS: Final = 60.0
_SERVERS: Final = ("kafka", "redis", "clickhouse")
_PORTS: Final = (*_SERVERS, *(f"{name} proxy" for name in _SERVERS), "registry", *WORKERS, SINK)


@dataclass
class Stack:
    """Everything that runs. `settings` reach the servers directly, for the judge; the roles go through proxies."""

    root: Path
    settings: Settings
    kept: dict[str, Kept]
    proxies: dict[str, Proxy]
    schema_ids: dict[str, int] = field(default_factory=dict)
    topic_ids: dict[str, str] = field(default_factory=dict)
    kafka: ControlledKafka | None = None
    """The real one; null for the embedded one, which keeps its log in memory and is never killed."""

    @property
    def kills(self) -> int:
        """SIGKILLs that hit a running process."""
        return sum(kept.kills for kept in self.kept.values()) + (self.kafka.kills if self.kafka else 0)

    @property
    def append_only_file(self) -> Path:
        """The file whose tail a crash of the machine would lose."""
        return max((self.root / "redis" / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)

    def watch(self) -> None:
        """Do what is due: call it often, from the thread that started everything."""
        broker_away = self.kafka is not None and not self.kafka.whole
        for kept in self.kept.values():
            kept.watch(excused=broker_away)
        if self.kafka is not None:
            self.kafka.watch()

    def calm(self) -> None:
        """No fault any more: lines are clear, nobody is frozen, and all servers and roles are back.

        Raises:
            FootfallError: one of them is not back within a minute.

        """
        for proxy in self.proxies.values():
            proxy.clear()
        for kept in self.kept.values():
            kept.thaw()
        deadline = time.monotonic() + _BACK_SECONDS
        while away := self._away():
            if time.monotonic() > deadline:
                raise FootfallError(f"{', '.join(away)}: not ready {_BACK_SECONDS:.0f} s after the last fault")
            self.wait(0.2)

    def _away(self) -> list[str]:
        away = [name for name, kept in self.kept.items() if not (kept.awake and _service(kept).ready())]
        return away if self.kafka is None or self.kafka.whole else [*away, "kafka"]

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.watch()
            time.sleep(0.05)


@contextmanager
def running(root: Path, nodes: int, told: Told = print) -> Iterator[Stack]:
    """A stack in the folder `root`, started; on `nodes` real brokers, or on the embedded one where they are 0.

    From the main thread only: the kernel ends the children with the thread that started them.
    """
    ports = {name: choose_port() for name in _PORTS}
    assert len(set(ports.values())) == len(ports)
    with ExitStack() as closing:
        kafka = _real_kafka(root, nodes, closing) if nodes else None
        proxies = {n: Proxy(ports[f"{n} proxy"], ports[n]) for n in _SERVERS if n != "kafka" or kafka is None}
        closing.enter_context(Proxies(*proxies.values()))
        direct = _settings(ports, kafka)
        services = _services(root, ports, with_broker=kafka is None)
        for service in services.values():
            closing.callback(service.stop, 2.0)
            service.start()
        for service in services.values():
            service.wait_ready()
        make_topics(direct)
        stack = Stack(root, direct, {}, proxies, register_schemas(direct), kafka=kafka)
        stack.topic_ids = Topics(kafka_config(direct, "chaos")).identities(INPUT_TOPICS)
        killable = {n: Kept(n, s, told) for n, s in services.items() if n in ("redis", "clickhouse")}
        stack.kept = killable | _roles(root, ports, direct, proxies, told)
        for name in (*WORKERS, SINK):
            closing.callback(stack.kept[name].stop)
            stack.kept[name].start()
        for name in (*WORKERS, SINK):
            _service(stack.kept[name]).wait_ready()
        yield stack


def _service(kept: Kept) -> Service:
    assert isinstance(kept.child, Service)
    return kept.child


def _real_kafka(root: Path, nodes: int, closing: ExitStack) -> ControlledKafka:
    kafka = ControlledKafka(root / "kafka", nodes)
    closing.callback(kafka.stop)
    kafka.start()
    return kafka


def _settings(ports: dict[str, int], kafka: ControlledKafka | None) -> Settings:
    """Direct addresses; the embedded broker has only one that works, its proxy's."""
    base = load_settings(clock="event", installation="chaos")
    here = embedded_settings(base, ports | {"kafka": ports["kafka proxy"], "process": ports[WORKERS[0]]})
    changes: dict[str, Any] = {"partitions": PARTITIONS}
    if kafka is not None:
        changes |= {"bootstrap": kafka.bootstrap, "replication": min(3, kafka.nodes), "rebalance_timeout": 30.0}
    return here.model_copy(update={"kafka": here.kafka.model_copy(update=changes)})


def _services(root: Path, ports: dict[str, int], *, with_broker: bool) -> dict[str, Service]:
    logs = root / "logs"
    services: dict[str, Service] = {
        "redis": RedisServer(ports["redis"], root / "redis", logs / "redis.log"),
        "clickhouse": ClickHouse(ports["clickhouse"], root / "clickhouse", logs / "clickhouse.log"),
        "registry": Registry(ports["registry"], root / "registry.json", logs / "registry.log"),
    }
    if with_broker:
        services["kafka"] = ProxiedBroker(ports["kafka"], ports["kafka proxy"], logs / "kafka.log")
    return services


def _roles(
    root: Path, ports: dict[str, int], direct: Settings, proxies: dict[str, Proxy], told: Told
) -> dict[str, Kept]:
    through = direct.model_copy(
        update={
            "redis": direct.redis.model_copy(update={"url": SecretStr(f"redis://{HOST}:{proxies['redis'].port}/0")}),
            "warehouse": direct.warehouse.model_copy(update={"port": proxies["clickhouse"].port}),
        }
    )
    roles = {}
    for name in (*WORKERS, SINK):
        role = "sink" if name == SINK else "process"
        own = through.model_copy(update={"metrics": through.metrics.model_copy(update={role: ports[name]})})
        child = RoleProcess(role, own, root / "logs" / f"{name}.log", {})
        roles[name] = Kept(name, child, told)
    return roles
