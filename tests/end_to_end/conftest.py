"""One installation for all tests of this folder: embedded services and the process role, each its own process."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from processors.calendar import calendar_of
from processors.dimensions import Thresholds
from processors.profile import Profile
from processors.state import decode_state
from schemas.codec import Encoder, OutputCodec
from schemas.partitioning import bucket_of
from schemas.results import StoredProfile
from sinks.installation import live_generation
from sinks.profiles import ProfileStore
from streams.clients import redis_client
from streams.embedded.ports import choose_port
from streams.embedded.supervisor import EmbeddedStack, StackPlan, embedded_settings
from streams.registration import register_schemas
from streams.settings import Settings, load_settings

PARTITIONS: Final = 2
PATIENCE: Final = 20.0
Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and "installation" in item.fixturenames:
            item.add_marker(pytest.mark.embedded)


@dataclass(frozen=True, slots=True)
class Installation:
    """A running installation, and a client for each of its servers."""

    settings: Settings
    environment: Mapping[str, str]
    """Variables that point another process at it."""
    ids: Mapping[str, int]
    """Topic -> schema id."""
    producer: Any
    store: ProfileStore

    @property
    def codec(self) -> OutputCodec:
        return OutputCodec({topic: number for topic, number in self.ids.items() if topic in _OUTPUTS})

    def encode(self, topic: str, event: Mapping[str, Any]) -> bytes:
        return Encoder(topic, self.ids[topic]).encode(event)

    def send(self, topic: str, event: Mapping[str, Any]) -> Place:
        """Send an event as a tracking SDK's collector does."""
        return self.send_raw(topic, self.encode(topic, event), event["customer_id"].encode())

    def send_raw(self, topic: str, value: bytes | None, key: bytes | None) -> Place:
        """Send whatever it is; where it was put, when Kafka has confirmed it."""
        places: list[Place] = []

        def delivered(error: Any, message: Message) -> None:
            assert error is None, error
            places.append((message.topic() or "", message.partition() or 0, message.offset() or 0))

        self.producer.produce(topic, value, key, on_delivery=delivered)
        assert self.producer.flush(PATIENCE) == 0
        return places[0]

    def read(self, topic: str, enough: Callable[[Sequence[Message]], bool], seconds: float = PATIENCE) -> list[Message]:
        """The records of an output topic, from its start, as soon as they are enough."""
        consumer = Consumer({"bootstrap.servers": self.settings.kafka.bootstrap, "group.id": "reader"})
        partitions = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found: list[Message] = []
        deadline = time.monotonic() + seconds
        while not enough(found):
            assert time.monotonic() < deadline, f"{len(found)} records of {topic} are not enough"
            found += [message for message in consumer.consume(500, 0.1) if message.error() is None]
        consumer.close()
        return found

    def profile(self, customer: str) -> Profile | None:
        """The stored profile."""
        (stored,) = self.store.read([(bucket_of(customer), customer)])
        if not isinstance(stored, StoredProfile):
            return None
        return decode_state(customer, stored.version, stored.state, calendar_of("UTC"), Thresholds())


_OUTPUTS: Final = ("segment-changes", "profiles", "training-examples", "models", "dead-letters")


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    names = ("kafka", "redis", "registry", "clickhouse", "process", "train", "sink")
    settings = embedded_settings(load_settings(), {name: choose_port() for name in names})
    kafka = settings.kafka.model_copy(update={"partitions": PARTITIONS})
    health = settings.health.model_copy(update={"probe_seconds": 0.5})
    settings = settings.model_copy(update={"kafka": kafka, "health": health})
    plan = StackPlan(roles=("process",), drain=False)
    with started(EmbeddedStack(tmp_path_factory.mktemp("installation"), plan, settings)) as installation:
        yield installation


@contextmanager
def started(stack: EmbeddedStack) -> Iterator[Installation]:
    """A stack while it is up."""
    with asyncio.Runner() as runner:
        runner.run(stack.start())
        try:
            yield connected(stack)
        finally:
            runner.run(stack.stop())


def connected(stack: EmbeddedStack) -> Installation:
    settings = stack.settings
    client = redis_client(settings)
    producer = Producer(
        {"bootstrap.servers": settings.kafka.bootstrap, "partitioner": "murmur2", "message.max.bytes": 2_000_000}
    )
    prefix = settings.redis.prefix
    store = ProfileStore(client, prefix, live_generation(client, prefix))
    return Installation(settings, stack.settings_env, register_schemas(settings), producer, store)


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def page(installation: Installation, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{installation.settings.metrics.process}{path}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
