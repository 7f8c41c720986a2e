"""Reads without a group, from offsets of the reader's choice.

`PartitionReader` one partition to the end, then as records come; `TopicReader` a whole topic once, for commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import ProtocolError, UnreachableError
from streams.kafka.config import KafkaConfig

ANSWER_SECONDS: Final = 30.0
_OPTIONS: Final = {
    "enable.auto.commit": False,  # offsets are kept with what was learnt from the records, not in Kafka
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    # The end comes with the answers to fetches: the embedded broker's ListOffsets names another one
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 50,
    "log_level": 0,
}


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record as it lies in the log."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0
    """Of the append or, where the topic says so, of the producer: ms."""


@dataclass(frozen=True, slots=True)
class PlacedRecord:
    """One record of a topic, with its place. `timestamp` is ms since the epoch."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class PartitionReader:
    """One partition of a topic. `consumer` is a `confluent_kafka.Consumer`; nothing is read before `seek`."""

    def __init__(self, consumer: Any, topic: str, address: str) -> None:
        """Read `topic` with this consumer; `address` is for messages."""
        self._consumer = consumer
        self._topic = topic
        self._address = address
        self._at_end = False
        self._next = 0
        self.end: int | None = None
        """Where the log ended when it was last read to its end; null before."""

    @classmethod
    def of(cls, config: KafkaConfig, topic: str) -> Self:
        """A reader of its own. It joins no group; the group's name only satisfies the client."""
        options = {**_OPTIONS, **config.librdkafka(), "group.id": f"{config.client_id}-reader"}
        return cls(Consumer(options, logger=_SILENT), topic, config.bootstrap)

    def seek(self, offset: int, partition: int = 0) -> None:
        """Read from here; from the first record there is, where retention has taken it."""
        self._at_end, self.end = False, None
        self._next = offset
        self._consumer.assign([TopicPartition(self._topic, partition, offset)])

    def start(self, partition: int) -> int:
        """The first offset that a partition of the topic still holds.

        Raises:
            UnreachableError: Kafka does not answer.

        """
        try:
            low, _ = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), ANSWER_SECONDS)
        except KafkaException as error:
            raise UnreachableError(
                f"Kafka does not answer at {self._address} ({error.args[0].str()}): check FOOTFALL_KAFKA__BOOTSTRAP."
            ) from None
        return int(low)

    def read(self, limit: int, seconds: float) -> list[LogRecord]:
        """Up to `limit` records, waiting no longer than `seconds` for the first one.

        Raises:
            ProtocolError: the client can no longer be used.

        """
        records = []
        for message in self._consumer.consume(limit, seconds):
            error = message.error()
            if error is None:
                self._at_end = False
                self._next = message.offset() + 1
                headers = tuple(message.headers() or ())
                _, timestamp = message.timestamp()
                records.append(LogRecord(message.offset(), message.key(), message.value(), headers, timestamp))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  the client's own codes begin so
                self._at_end, self.end = True, message.offset()
            elif error.fatal():
                raise ProtocolError(f"reading {self._topic} from Kafka at {self._address} failed: {error.str()}")
        return records

    def unread(self) -> int:
        """Records between what was read and the end of the log, as the last fetch told it; asks nobody."""
        end: int = self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), cached=True)[1]
        return max(0, end - self._next)

    def read_to_end(self, seconds: float = ANSWER_SECONDS) -> list[LogRecord]:
        """Every record up to the end of the log.

        Raises:
            UnreachableError: the end did not come within `seconds` of the last record.

        """
        records: list[LogRecord] = []
        deadline = monotonic() + seconds
        while not self._at_end:
            news = self.read(1_000, 0.1)
            if news:
                records += news
                deadline = monotonic() + seconds
            elif monotonic() > deadline:
                raise _no_end(self._topic, self._address)
        return records

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


class TopicReader:
    """All partitions of a topic, once. `consumer` is a `confluent_kafka.Consumer`; nothing is read before `read`."""

    def __init__(self, consumer: Any, topic: str, address: str) -> None:
        """Read `topic` with this consumer; `address` is for messages."""
        self._consumer = consumer
        self._topic = topic
        self._address = address

    @classmethod
    def of(cls, config: KafkaConfig, topic: str) -> Self:
        """A reader of its own. It joins no group; the group's name only satisfies the client."""
        options = {**_OPTIONS, **config.librdkafka(), "group.id": f"{config.client_id}-reader"}
        return cls(Consumer(options, logger=_SILENT), topic, config.bootstrap)

    def read(self, starts: Mapping[int, int], limit: int = 500) -> Iterator[list[PlacedRecord]]:
        """The records of partitions from these offsets on, up to `limit` at a time, until each was read to its end.

        Where retention has taken the first ones it begins with those that are left.

        Raises:
            UnreachableError: nothing came for half a minute.
            ProtocolError: the client can no longer be used.

        """
        self._consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in starts.items()])
        unread = set(starts)
        deadline = monotonic() + ANSWER_SECONDS
        while unread:
            records, ended = self._poll(limit)
            unread -= ended
            if records or ended:
                deadline = monotonic() + ANSWER_SECONDS
            elif monotonic() > deadline:
                raise _no_end(self._topic, self._address)
            if records:
                yield records

    def _poll(self, limit: int) -> tuple[list[PlacedRecord], set[int]]:
        records, ended = [], set()
        for message in self._consumer.consume(limit, 0.2):
            error = message.error()
            if error is None:
                headers = tuple(message.headers() or ())
                place = message.partition(), message.offset(), message.timestamp()[1]
                records.append(PlacedRecord(*place, message.key(), message.value(), headers))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                ended.add(message.partition())
            elif error.fatal():
                raise ProtocolError(f"reading {self._topic} from Kafka at {self._address} failed: {error.str()}")
        return records, ended

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


def _no_end(topic: str, address: str) -> UnreachableError:
    return UnreachableError(
        f"Kafka does not answer at {address}: topic {topic} could not be read to its end; "
        "check FOOTFALL_KAFKA__BOOTSTRAP."
    )


class _Silent:
    def log(self, *_: object) -> None:
        """Librdkafka's own lines are not shown; what counts is raised or shows as lag."""


_SILENT: Final = _Silent()
