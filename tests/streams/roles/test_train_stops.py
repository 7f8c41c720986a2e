"""SIGTERM to a real trainer: in order within 10 s even without a broker, and at once when it comes twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from benchmarks.measure import scraped, total
from schemas.codec import OutputCodec
from schemas.topics import MODELS, TRAINING_EXAMPLES
from streams.domain_settings import ChurnSettings
from streams.embedded.broker import Broker
from streams.embedded.ports import choose_port
from streams.embedded.registry import Registry as RegistryServer
from streams.kafka.config import kafka_config
from streams.kafka.registry import Registry
from streams.kafka.topics import Topics, topic_specs
from streams.kafka.watchdog import STALLED_EXIT_CODE
from streams.provenance import to_environment
from streams.settings import KafkaSettings, MetricsSettings, RedisSettings, RegistrySettings, Settings
from tests.streams.roles.test_train import example

AT_ONCE, LATER = 100, 50
"""Examples that make a snapshot due, and those that wait for its time."""
SNAPSHOT_SECONDS = 10.0
"""Long enough that none is due by time before a test has stopped the trainer."""


class Trainer:
    """The role in a process, on a broker that a test may stop or kill."""

    def __init__(self, broker: Broker, registry: RegistryServer, log: Path) -> None:
        self.broker = broker
        self.log = log
        self.settings = Settings(
            installation="test",
            kafka=KafkaSettings(bootstrap=broker.bootstrap, partitions=2),
            registry=RegistrySettings(url=registry.url),
            redis=RedisSettings(url=SecretStr(f"redis://127.0.0.1:{choose_port()}/0")),
            metrics=MetricsSettings(train=choose_port()),
            churn=ChurnSettings(snapshot_examples=AT_ONCE, snapshot_seconds=SNAPSHOT_SECONDS),
        )
        Topics(kafka_config(self.settings, "test")).create(topic_specs(2), 1)
        client = Registry.at(registry.url)
        self._codec = OutputCodec(client.register((TRAINING_EXAMPLES, MODELS)), client.lookup)
        client.close()
        self._sent = 0
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
        argv = (sys.executable, "-m", "streams.cli.main", "train")
        with self.log.open("ab") as out:
            env = {**own, **to_environment(self.settings)}
            self.process = subprocess.Popen(argv, env=env, stdout=out, stderr=out)
        return self.process

    def send(self, count: int) -> None:
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
        for i in range(self._sent, self._sent + count):
            value = self._codec.encode_training_example(example(i, day=9, label=i % 2))
            producer.produce(TRAINING_EXAMPLES, value, partition=0)
        self._sent += count
        assert producer.flush(10) == 0

    def version(self) -> float:
        """Examples in the newest published model."""
        with suppress(OSError):
            return total(scraped(self._page), "footfall_model_version")
        return 0.0

    def begins(self) -> list[str]:
        """The lines in which it has said from which model on it learns."""
        return [line for line in self.log.read_text().splitlines() if '"event": "training"' in line]

    @property
    def _page(self) -> str:
        return f"http://127.0.0.1:{self.settings.metrics.train}/metrics"

    def ends_within(self, seconds: float) -> int:
        """Its exit code."""
        began = time.monotonic()
        code = self.process.wait(seconds + 20)
        assert time.monotonic() - began < seconds, self.log.read_text()
        return code


@pytest.fixture
def trainer(registry_server: RegistryServer, tmp_path: Path) -> Iterator[Trainer]:
    """A trainer that has published a model, and has learnt more that it has not published yet."""
    with Broker(choose_port(), tmp_path / "broker.log") as broker:
        trainer = Trainer(broker, registry_server, tmp_path / "train.log")
        try:
            wait_until(lambda: bool(trainer.begins()))
            trainer.send(AT_ONCE)
            wait_until(lambda: trainer.version() == AT_ONCE)
            trainer.send(LATER)
            time.sleep(1.0)  # nothing tells that they are learnt until they are published
            yield trainer
        finally:
            broker.signal(signal.SIGCONT)
            trainer.process.kill()
            trainer.process.wait()


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def test_sigterm_publishes_what_was_learnt_and_exits_0(trainer: Trainer) -> None:
    trainer.process.send_signal(signal.SIGTERM)
    assert trainer.ends_within(5) == 0
    trainer.start()
    wait_until(lambda: len(trainer.begins()) == 2)
    assert f'"version": {AT_ONCE + LATER},' in trainer.begins()[1], "it goes on from the model it published last"


@pytest.mark.parametrize("publishing", [False, True])
def test_without_a_broker_it_ends_in_order_within_the_drain_time(
    trainer: Trainer,
    publishing: bool,  # noqa: FBT001
) -> None:
    trainer.broker.stop(0)
    if publishing:
        time.sleep(SNAPSHOT_SECONDS)
    trainer.process.send_signal(signal.SIGTERM)
    assert trainer.ends_within(10) == 0
    assert "stopped without the last snapshot" in trainer.log.read_text()


def test_a_second_sigterm_ends_it_at_once_and_loses_nothing(trainer: Trainer) -> None:
    trainer.broker.signal(signal.SIGSTOP)
    trainer.process.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    assert trainer.process.poll() is None
    trainer.process.send_signal(signal.SIGTERM)
    assert trainer.ends_within(1.5) == STALLED_EXIT_CODE
    trainer.broker.signal(signal.SIGCONT)
    trainer.start()
    wait_until(lambda: trainer.version() == AT_ONCE + LATER)
