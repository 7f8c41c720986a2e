"""How far the log has been read, as an instant: a tick may fold only what every record before it has passed.

Two things prove that a topic-partition was read past an instant: a record appended later has been applied
(LogAppendTime), or the position has reached an end of the log that was looked up later. Ends come with the answers
to ordinary fetches. They are not asked for with ListOffsets: the embedded broker answers that with the first offset
of its last batch plus one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiokafka
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition as AioTopicPartition

from schemas.errors import UnreachableError
from schemas.events import Chunk
from streams.kafka.chunks import TopicPartition
from streams.kafka.config import KafkaConfig

LOG_APPEND_TIME: Final = 1
"""Timestamp type of a record whose time the broker set."""

End = tuple[int, int]
"""(instant in ms, end of the log): every record appended before the instant has a lower offset."""


@dataclass(slots=True)
class _Reading:
    position: int
    until: int = 0
    goal: End | None = None

    def observe(self, end: End) -> None:
        if end[1] <= self.position:
            self.until = max(self.until, end[0])
        elif self.goal is None:
            # The first unreached end is kept: under load the newest one is always out of reach.
            self.goal = end

    def advance(self, position: int, append_time: int | None) -> None:
        self.position = position
        if append_time is not None:
            self.until = max(self.until, append_time)
        if self.goal is not None and self.goal[1] <= position:
            self.until = max(self.until, self.goal[0])
            self.goal = None


@dataclass(slots=True)
class ReadClock:
    """Up to which instant (ms) each topic-partition has been read and acknowledged."""

    _readings: dict[TopicPartition, _Reading] = field(default_factory=dict)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Begin anew at these positions: nothing is known to be read."""
        self._readings = {tp: _Reading(position) for tp, position in positions.items()}

    def seek(self, tp: TopicPartition, position: int) -> None:
        """Begin anew for one topic-partition."""
        self._readings[tp] = _Reading(position)

    def observe(self, ends: Mapping[TopicPartition, End]) -> None:
        """Take note of where the log ended, and when that was."""
        for tp, reading in self._readings.items():
            if (end := ends.get(tp)) is not None:
                reading.observe(end)

    def advance(self, tp: TopicPartition, position: int, append_time: int | None) -> None:
        """Everything before `position` is acknowledged; its last record was appended at `append_time`, if known."""
        self._readings[tp].advance(position, append_time)

    def read_until(self, partition: int) -> int:
        """The instant up to which every topic of this partition number has been read; 0: unknown."""
        return min((r.until for (_, number), r in self._readings.items() if number == partition), default=0)


def append_time(chunk: Chunk) -> int | None:
    """When the chunk's last record was appended, ms; null where its time is the producer's, or it has no record."""
    last: Any = chunk.records[-1] if chunk.records else None
    return last.timestamp if last is not None and last.timestamp_type == LOG_APPEND_TIME else None


async def end_offsets(config: KafkaConfig, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    """Where each topic-partition ends, looked up after this call began: the offset of the next record.

    Raises:
        UnreachableError: Kafka does not answer within 5 s.

    """
    wanted = [AioTopicPartition(*tp) for tp in tps]
    if not wanted:
        return {}
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap.split(","),
        fetch_max_wait_ms=10,
        max_partition_fetch_bytes=1,
        **_security(config),
    )
    try:
        async with asyncio.timeout(5):
            await consumer.start()
            consumer.assign(wanted)
            await consumer.seek_to_end(*wanted)
            while any(consumer.highwater(tp) is None for tp in wanted):
                await consumer.getmany(timeout_ms=10)
    except (KafkaError, OSError, TimeoutError) as error:
        raise UnreachableError(f"Kafka at {config.bootstrap} does not tell where its topics end ({error}).") from None
    finally:
        await consumer.stop()
    return {(tp.topic, tp.partition): consumer.highwater(tp) for tp in wanted}


def _security(config: KafkaConfig) -> dict[str, object]:
    security = config.security
    options: dict[str, object] = {"security_protocol": security.protocol, "ssl_context": security.ssl_context()}
    if security.protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    return options
