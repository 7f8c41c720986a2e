"""Shared fixtures: the embedded services, each started once and only when a test asks for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import hypothesis
import pytest

from streams.embedded import ports
from streams.embedded.broker import Broker
from streams.embedded.clickhouse import ClickHouse
from streams.embedded.ports import HOST, choose_port
from streams.embedded.redis import RedisServer
from streams.embedded.registry import Registry
from tests.containers import kafka_container, skip_without_engine, valkey_container
from tests.given import GIVEN

__all__ = ["GIVEN", "hypothesis", "kafka_container", "valkey_container"]
"""Fixtures of another module, the given servers, read before any process inherits the environment, and hypothesis: its
plugin would import it for the summary where no test has, from so deep that CPython 3.11 fails to parse it."""

_SERVICES = {"broker", "valkey", "clickhouse", "registry_server"}


def pytest_configure(config: pytest.Config) -> None:
    """Each of several test processes has ports of its own: what one has chosen and not bound the other would take.

    A child process that chooses a port itself chooses from all, and binds it soon.
    """
    workers = getattr(config, "workerinput", None)
    if workers is not None:
        ports.POOL = ports.POOL[int(workers["workerid"].removeprefix("gw")) :: workers["workercount"]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and _SERVICES.intersection(item.fixturenames):
            item.add_marker(pytest.mark.embedded)
    skip_without_engine(items)


@pytest.fixture(scope="session")
def services_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("services")


@pytest.fixture(scope="session")
def broker(services_directory: Path) -> Iterator[Broker]:
    """A Kafka-compatible broker; `broker.bootstrap` is its address. Use topics of your own (`fresh_name`)."""
    with Broker(choose_port(), services_directory / "broker.log") as service:
        yield service


@pytest.fixture(scope="session")
def valkey(services_directory: Path) -> Iterator[RedisServer]:
    """A Redis-compatible server; `valkey.url` is its address. Use a key prefix of your own (`fresh_name`)."""
    with RedisServer(choose_port(), services_directory / "redis", services_directory / "redis.log") as service:
        yield service


@pytest.fixture(scope="session")
def clickhouse(services_directory: Path) -> Iterator[ClickHouse]:
    """ClickHouse's HTTP interface; `clickhouse.url` and `clickhouse.launch.port`. Use `fresh_database`."""
    directory = services_directory / "clickhouse"
    with ClickHouse(choose_port(), directory, services_directory / "clickhouse.log") as service:
        yield service


@pytest.fixture(scope="session")
def registry_server(services_directory: Path) -> Iterator[Registry]:
    """A schema registry; `registry_server.url` is its address. Use subjects of your own (`fresh_name`)."""
    file = services_directory / "registry.json"
    with Registry(choose_port(), file, services_directory / "registry.log") as service:
        yield service


@pytest.fixture
def fresh_name() -> str:
    """A name no other test uses: topics, key prefixes, subjects, consumer groups."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def fresh_database(clickhouse: ClickHouse, fresh_name: str) -> Iterator[str]:
    """The name of an empty ClickHouse database, dropped after the test."""
    client = clickhouse_connect.get_client(host=HOST, port=clickhouse.launch.port)
    client.command(f"CREATE DATABASE {fresh_name}")
    yield fresh_name
    client.command(f"DROP DATABASE {fresh_name}")
    client.close()
