"""One law suite, three brokers: the embedded one, one in a container, or the one FOOTFALL_TEST_BOOTSTRAP names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from streams.embedded.broker import Broker
from streams.kafka.config import KafkaConfig
from streams.kafka.topics import Topics, TopicSpec
from tests.streams.kafka.harness import REAL, Log


@pytest.fixture(
    scope="session", params=["given"] if REAL else ["broker", pytest.param("kafka_container", marks=pytest.mark.docker)]
)
def bootstrap(request: pytest.FixtureRequest) -> str:
    if request.param == "given":
        return REAL
    found = request.getfixturevalue(request.param)
    return str(found.bootstrap if isinstance(found, Broker) else found)


@pytest.fixture(scope="session")
def is_real(request: pytest.FixtureRequest, bootstrap: str) -> bool:
    """Whether it is Apache Kafka."""
    return bool(REAL) or bootstrap != request.getfixturevalue("broker").bootstrap


@pytest.fixture
def real_broker(is_real: bool) -> None:  # noqa: FBT001
    """Skips on the embedded broker."""
    if not is_real:
        pytest.skip("the embedded broker refuses nothing and hands out aborted records; set FOOTFALL_TEST_BOOTSTRAP")


@pytest.fixture(scope="session")
def config(bootstrap: str, is_real: bool) -> KafkaConfig:  # noqa: FBT001
    return KafkaConfig(
        bootstrap,
        max_poll_records=500,
        session_timeout=6.0 if is_real else 2.0,  # a real broker takes no less, the embedded one starts faster
        heartbeat_interval=0.5,
        rebalance_timeout=2.0,
        max_poll_interval=8.0,
        commit_interval=0.2,
    )


@pytest.fixture(scope="session")
def topics(config: KafkaConfig) -> Topics:
    return Topics(config)


@pytest.fixture
def new_log(config: KafkaConfig, topics: Topics, fresh_name: str) -> Callable[..., Log]:
    """Makes topics of this test's own and writes numbered records to them."""

    def make(count: int = 2, partitions: int = 4) -> Log:
        names = [f"{fresh_name}-{letter}" for letter in "abcdef"[:count]]
        topics.create([TopicSpec(name, partitions) for name in names], 1)
        return Log(names, partitions, Producer(config.librdkafka()))

    return make
