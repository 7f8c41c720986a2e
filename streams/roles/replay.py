"""The role `footfall replay`: a history into the input topics, as fast or as slowly as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from confluent_kafka import Producer as KafkaProducer

from schemas.errors import ConfigurationError
from schemas.topics import INPUT_TOPICS
from streams.kafka.config import kafka_config, security_of
from streams.kafka.topics import Topics
from streams.registration import register_schemas
from streams.replay.datasets import dataset
from streams.replay.encoding import BlockEncoder, Outgoing, encoded
from streams.replay.replayer import Hooks, Progress, Replayer
from streams.settings import KafkaSettings, Settings


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to replay and how fast.

    `history`: cdnow, ecom, demo, completejourney or the path of a .jsonl file. `speed`: `max`, or events/s.
    `seconds`: the whole replay takes so long (then `speed` is not used). `limit`: only so many events, the first
    ones. `end`: instant (ms) of the last marker, by default the last event's time. `wait_for` and `progress`: see
    `streams.replay.replayer.Hooks`.
    """

    history: str = "demo"
    speed: str = "max"
    seconds: float | None = None
    limit: int | None = None
    end: int | None = None
    wait_for: Callable[[int], None] | None = None
    progress: Callable[[Progress], None] | None = None


def run(settings: Settings, options: ReplayOptions) -> int:
    """Replay a history to the topics of the settings; returns the exit code 0.

    Raises:
        ConfigurationError: unknown history or speed, a missing topic, an event that does not fit its schema.
        UnreachableError: Kafka or the registry does not answer.

    """
    replay(settings, options)
    return 0


def replay(settings: Settings, options: ReplayOptions) -> Progress:
    """As `run`, and returns what was sent."""
    rate = rate_of(options.speed)
    history = dataset(options.history)  # before any server is asked: what is missing here is sooner said
    partitions = Topics(kafka_config(settings, "replay")).partitions(INPUT_TOPICS)
    producer = KafkaProducer(producer_config(settings.kafka))
    ids = register_schemas(settings)
    encoders = {topic: BlockEncoder(topic, ids[topic]) for topic in INPUT_TOPICS}
    records: Iterable[Outgoing] = encoded(islice(history, options.limit), encoders)
    if options.seconds is not None:
        records = list(records)  # how many there are decides how fast they go
        rate = max(1, len(records)) / options.seconds
    hooks = Hooks(options.wait_for, options.progress)
    return Replayer(producer, partitions, rate, settings.zone, hooks).replay(records, options.end)


def rate_of(speed: str) -> float | None:
    """Events per second, or None for `max`. Raises ConfigurationError for anything else."""
    if speed == "max":
        return None
    try:
        rate = float(speed)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise ConfigurationError(f"The speed {speed!r} is neither `max` nor a number of events per second above 0.")
    return rate


def producer_config(kafka: KafkaSettings) -> dict[str, Any]:
    """The producer's configuration: nothing lost, nothing twice, keys partitioned as every Kafka client does it."""
    return {
        **security_of(kafka).librdkafka(),
        "bootstrap.servers": kafka.bootstrap,
        "client.id": "footfall-replay",
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 10,
        "batch.num.messages": 10_000,
        "queue.buffering.max.messages": 200_000,
        "delivery.report.only.error": True,
        "log_level": 2,  # what fails is raised in one sentence; level 3 repeats it every half second
    }
