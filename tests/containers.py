"""Real servers in containers, for tests marked `docker`; those are skipped where no container engine answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
import redis

# The libraries are imported where a container is asked for: half a second that other tests do not need.
# ruff: noqa: PLC0415

_KAFKA: Final = "confluentinc/cp-kafka:7.6.0"
_VALKEY: Final = "valkey/valkey:9.1-alpine"
_DURABLE: Final = "valkey-server --appendonly yes --appendfsync always --maxmemory-policy noeviction"
_FIXTURES: Final = frozenset({"kafka_container", "valkey_container"})


def skip_without_engine(items: list[pytest.Item]) -> None:
    """Mark the tests that need a container as skipped, with the reason, where no engine answers."""
    needy = [item for item in items if isinstance(item, pytest.Function) and _needs_container(item)]
    reason = engine_trouble() if needy else None
    for item in needy if reason else ():
        item.add_marker(pytest.mark.skip(reason=f"NOT CHECKED: no container engine answers: {reason}"))


def engine_trouble() -> str | None:
    """What keeps us from the container engine; null where it answers."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
        client.ping()
        client.close()
    except DockerException as error:
        return str(error)
    return None


def _needs_container(item: pytest.Function) -> bool:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return not _FIXTURES.isdisjoint(map(str, parameters))


@pytest.fixture(scope="session")
def kafka_container() -> Iterator[str]:
    """The bootstrap address of Apache Kafka."""
    from testcontainers.community.kafka import KafkaContainer

    container = KafkaContainer(_KAFKA).with_kraft().with_env("KAFKA_HEAP_OPTS", "-Xmx512m")
    for name in ("REPLICATION_FACTOR", "MIN_ISR"):
        container = container.with_env(f"KAFKA_TRANSACTION_STATE_LOG_{name}", "1")
    container.start(timeout=90)
    try:
        yield container.get_bootstrap_server()
    finally:
        container.stop()


@pytest.fixture(scope="session")
def valkey_container() -> Iterator[str]:
    """The URL of Valkey, as durable as Footfall asks for."""
    from testcontainers.community.valkey import ValkeyContainer

    with ValkeyContainer(_VALKEY).with_command(_DURABLE) as container:
        url = f"redis://{container.get_host()}:{container.get_exposed_port()}/0"
        redis.Redis.from_url(url).ping()
        yield url
