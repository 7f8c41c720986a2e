"""The least any Python worker must do: consume and decode each record with fastavro, and nothing else."""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from schemas.codec import HEADER_BYTES, decode_body, schema_of
from schemas.topics import INPUT_TOPICS
from streams.settings import KafkaSettings

_AT_ONCE: Final = 10_000
_PATIENCE: Final = 15.0


class BareLoop(NamedTuple):
    """What it did."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Events/s."""
        return self.events / self.seconds if self.seconds else 0.0


def run(kafka: KafkaSettings, limit: int) -> BareLoop:
    """Read up to `limit` events from the beginning of all input topics; the clock starts at the first record."""
    consumer: Any = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "bare-loop", "enable.auto.commit": False, "log_level": 3}
    )
    consumer.assign([TopicPartition(topic, p, 0) for topic in INPUT_TOPICS for p in range(kafka.partitions)])
    schemas = {topic: schema_of(topic) for topic in INPUT_TOPICS}
    messages = consumer.consume(1, _PATIENCE)
    events, began, cpu = 0, time.monotonic(), time.process_time()
    while messages and events < limit:
        for message in messages:
            value = message.value()
            if value is not None:
                decode_body(schemas[message.topic()], value[HEADER_BYTES:])
                events += 1
        messages = consumer.consume(_AT_ONCE, 0.5)
    done = BareLoop(events, time.monotonic() - began, time.process_time() - cpu)
    consumer.close()
    return done
