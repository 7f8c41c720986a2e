"""The least any Python worker must do: consume and decode each record, and nothing else."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from schemas.codec import HEADER_BYTES, decode_body, schema_of
from schemas.decode import SchemaLookup, decode_chunks
from schemas.events import Chunk
from schemas.topics import INPUT_TOPICS
from schemas.validation import ContractRules
from streams.settings import KafkaSettings

_AT_ONCE: Final = 10_000
_PATIENCE: Final = 15.0
_POLL: Final = 0.05
"""A poll that finds fewer records waits so long for more, and the last one always does."""
_QUIET: Final = 2.0
"""After so many seconds without a record the topics are at their end."""
_SCHEMAS: Final = {topic: schema_of(topic) for topic in INPUT_TOPICS}
Decode = Callable[[Sequence[Any]], int]
"""Messages of a poll -> how many of them were events, now decoded: a clock marker is none."""


class Row(NamedTuple):
    """A record as `schemas.decode` reads it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class BareLoop(NamedTuple):
    """What it did."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Events/s."""
        return self.events / self.seconds if self.seconds else 0.0


def by_row(messages: Sequence[Any]) -> int:
    """With fastavro, one after the other."""
    events = 0
    for message in messages:
        value = message.value()
        if value is not None:
            decode_body(_SCHEMAS[message.topic()], value[HEADER_BYTES:])
            events += 1
    return events


def by_column(lookup: SchemaLookup, contract: ContractRules) -> Decode:
    """To columns, as the worker does it; putting messages into rows is paid here, aiokafka has them as rows."""

    def decode(messages: Sequence[Any]) -> int:
        rows: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for message in messages:
            rows[message.topic(), message.partition()].append(_row(message))
        chunks = [
            Chunk(topic, number, some[0].offset, some[-1].offset + 1, 0, some) for (topic, number), some in rows.items()
        ]
        decoded = decode_chunks(chunks, lookup, contract)
        return sum(len(batch) for chunk in decoded for batch in chunk.batches)

    return decode


def _row(message: Any) -> Row:
    value = message.value()
    headers = message.headers() or () if value is None else ()
    return Row(message.offset(), message.timestamp()[1], message.key(), value, headers)


def run(kafka: KafkaSettings, limit: int, decode: Decode = by_row, most: float = inf) -> BareLoop:
    """Read up to `limit` events from the beginning of all input topics, `most` seconds from the first record on."""
    consumer: Any = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "bare-loop", "enable.auto.commit": False, "log_level": 3}
    )
    consumer.assign([TopicPartition(topic, p, 0) for topic in INPUT_TOPICS for p in range(kafka.partitions)])
    messages = consumer.consume(1, _PATIENCE)
    events, cpu = 0, time.process_time()
    began = last = time.monotonic()
    while events < limit and last - began < most and time.monotonic() - last < _QUIET:
        if messages:
            events += decode(messages)
            last = time.monotonic()
        messages = consumer.consume(_AT_ONCE, _POLL)
    done = BareLoop(events, last - began, time.process_time() - cpu)
    consumer.close()
    return done
