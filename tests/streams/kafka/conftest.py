"""One law suite, two brokers: the embedded one, or a real one where FOOTFALL_TEST_BOOTSTRAP names it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from streams.kafka.config import KafkaConfig
from streams.kafka.topics import Topics, TopicSpec
from tests.streams.kafka.harness import REAL, Log


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> str:
    if REAL:
        return REAL
    return str(request.getfixturevalue("broker").bootstrap)


@pytest.fixture(scope="session")
def config(bootstrap: str) -> KafkaConfig:
    return KafkaConfig(
        bootstrap,
        max_poll_records=500,
        session_timeout=6.0 if REAL else 2.0,  # a real broker takes no less, the embedded one starts faster
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
