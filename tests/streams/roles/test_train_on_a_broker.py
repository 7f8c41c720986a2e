"""The train role on a real log: learns, publishes, ends on request, and goes on where it stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Self

import pytest
from confluent_kafka import Producer

from processors.calendar import DAY
from processors.scoring import ScorerHistory
from schemas.codec import OutputCodec
from schemas.errors import ConfigurationError
from schemas.topics import CLOCK_HEADER, MODELS, TRAINING_EXAMPLES
from streams.domain_settings import ChurnSettings
from streams.embedded.broker import Broker
from streams.embedded.ports import choose_port
from streams.embedded.registry import Registry as RegistryServer
from streams.kafka.config import kafka_config
from streams.kafka.models import ModelsReader, load
from streams.kafka.registry import Registry
from streams.kafka.topics import Topics, topic_specs
from streams.roles.train import run
from streams.settings import KafkaSettings, MetricsSettings, RegistrySettings, Settings
from tests.streams.roles.test_train import example


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Topics have fixed names, so the role gets a broker of its own."""
    with Broker(choose_port(), tmp_path_factory.mktemp("broker") / "broker.log") as service:
        yield service


@pytest.fixture
def settings(own_broker: Broker, registry_server: RegistryServer) -> Settings:
    return Settings(
        installation="test",
        clock="event",
        kafka=KafkaSettings(bootstrap=own_broker.bootstrap, partitions=2),
        registry=RegistrySettings(url=registry_server.url),
        metrics=MetricsSettings(train=choose_port()),
        churn=ChurnSettings(snapshot_seconds=0.1),
    )


class Training:
    """The role in a thread, until the block ends."""

    def __init__(self, settings: Settings) -> None:
        self._stop = threading.Event()
        self._codes: list[int] = []
        self._thread = threading.Thread(target=lambda: self._codes.append(run(settings, self._stop)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        assert self._codes == [0]


def send(producer: Producer, codec: OutputCodec, day: int, numbers: range) -> None:
    for i in numbers:
        value = codec.encode_training_example(example(i, day=day - 31, label=i % 2))
        producer.produce(TRAINING_EXAMPLES, value, partition=0)
    for partition in (b"0", b"1"):
        headers = [(CLOCK_HEADER, str(day * DAY).encode())]
        producer.produce(TRAINING_EXAMPLES, None, partition, partition=0, headers=headers)
    producer.flush(10)


def wait_for_version(reader: ModelsReader, history: ScorerHistory, wanted: int) -> None:
    deadline = time.monotonic() + 20
    while history.version < wanted:
        assert time.monotonic() < deadline, f"the model stays at version {history.version}"
        load(reader.poll_new(), history)
        time.sleep(0.01)


def test_the_role_publishes_models_and_goes_on_where_it_stopped(settings: Settings) -> None:
    kafka = kafka_config(settings, "test")
    Topics(kafka).create(topic_specs(2), 1)
    registry = Registry.at(settings.registry.url)
    codec = OutputCodec(registry.register((TRAINING_EXAMPLES, MODELS)), registry.lookup)
    producer = Producer(kafka.librdkafka())
    reader, history = ModelsReader.of(kafka, codec), ScorerHistory(version("river"))
    assert reader.read_all() == []
    began = time.perf_counter()
    assert reader.poll_new() == []
    assert time.perf_counter() - began < 0.05

    with Training(settings):
        send(producer, codec, 40, range(250))
        wait_for_version(reader, history, 250)
    assert history.choose(40 * DAY) is not None
    with Training(settings):
        send(producer, codec, 41, range(200, 300))
        wait_for_version(reader, history, 300)
    producer.produce(MODELS, b"no snapshot", b"churn", partition=0)
    producer.flush(10)
    late = ScorerHistory(version("river"))
    late_reader = ModelsReader.of(kafka, codec)
    load(late_reader.read_all(), late)
    assert late.version == 300
    for closing in (reader, late_reader, registry):
        closing.close()


def test_without_topics_it_says_what_to_run(settings: Settings, tmp_path: Path) -> None:
    with Broker(choose_port(), tmp_path / "empty.log") as empty:
        alone = settings.model_copy(update={"kafka": KafkaSettings(bootstrap=empty.bootstrap, partitions=2)})
        with pytest.raises(ConfigurationError, match="footfall topics create"):
            run(alone, threading.Event())
