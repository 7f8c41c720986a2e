"""Messages out to Kafka: sent together, confirmed one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import ProtocolError, RetryableError
from schemas.results import OutgoingMessage
from sinks.windows import windows

PRODUCER_OPTIONS: Final[Mapping[str, Any]] = {
    "enable.idempotence": True,  # a retry inside the client writes no second copy and keeps the order
    "acks": "all",
    "partitioner": "murmur2_random",  # the partition every other Kafka client chooses for a key
    "compression.type": "lz4",
    "linger.ms": 2,  # a batch of messages is handed over at once, so there is nothing to wait for
    "batch.size": 1_000_000,
    "message.max.bytes": 2_000_000,  # a dead letter wraps a record of up to 1 MB
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 262_144,
    "delivery.timeout.ms": 60_000,
    "delivery.report.only.error": True,  # a Python call for every success costs a quarter of publishing
}
WINDOW_MESSAGES: Final = 50_000
WINDOW_BYTES: Final = 64_000_000
"""A quarter of the producer's queue: what is sent between two confirmations always fits."""
PERMANENT: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001  the client's own codes begin with an underscore
        KafkaError._FATAL,  # noqa: SLF001
    }
)
"""Refusals that no repetition changes."""


def build_producer_config(connection: Mapping[str, str]) -> dict[str, Any]:
    """The options of a producer for this connection (address and security in librdkafka's terms)."""
    return {**PRODUCER_OPTIONS, **connection}


class Producer(Protocol):
    """The part of `confluent_kafka.Producer` that publishing uses."""

    def produce(self, topic: str, value: bytes | None, key: bytes | None, **options: Any) -> None: ...
    def produce_batch(self, topic: str, messages: list[dict[str, Any]], **options: Any) -> int: ...
    def flush(self, timeout: float) -> int: ...


class Publisher:
    """Publishes messages and knows that they arrived. One producer, one thread at a time."""

    def __init__(self, producer: Producer, confirm_seconds: float = 65.0) -> None:
        self._producer = producer
        self._confirm_seconds = confirm_seconds
        self._refused: list[tuple[str, KafkaError]] = []

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send all and return when every one is confirmed. Blocks: call it in a thread.

        Messages of one key and topic keep their order. After an error some may have arrived: publish all again.

        Raises:
            RetryableError: not all were confirmed; says how many and why.
            ProtocolError: the client refuses a message for good (too large), or may no longer be used.

        """
        for window in windows(messages, _bytes, WINDOW_BYTES, WINDOW_MESSAGES):
            self._refused = []
            for topic, group in _by_topic(window).items():
                for (alone, partition), run in groupby(group, _kind):
                    if alone:
                        self._send_each(run)
                    else:
                        self._send(
                            topic, [{"value": message.value, "key": message.key} for message in run], _to(partition)
                        )
            self._confirm(len(window))

    def _send(self, topic: str, batch: list[dict[str, Any]], where: dict[str, int]) -> None:
        if self._producer.produce_batch(topic, batch, on_delivery=self._delivered, **where) < len(batch):
            self._refused += [(topic, entry["_error"]) for entry in batch if "_error" in entry]

    def _send_each(self, messages: Iterable[OutgoingMessage]) -> None:
        for message in messages:
            self._send_one(message)

    def _send_one(self, message: OutgoingMessage) -> None:
        try:
            self._producer.produce(
                message.topic,
                message.value,
                message.key,
                headers=message.headers,
                on_delivery=self._delivered,
                **_to(message.partition),
            )
        except KafkaException as error:
            self._refused.append((message.topic, error.args[0]))
        except BufferError:
            self._refused.append((message.topic, KafkaError(KafkaError._QUEUE_FULL)))  # noqa: SLF001

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self._refused.append((message.topic(), error))

    def _confirm(self, sent: int) -> None:
        missing = self._producer.flush(self._confirm_seconds) + len(self._refused)
        if not missing:
            return
        topic, error = self._refused[0] if self._refused else ("", KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
        what = f"{missing} of {sent} messages not confirmed by Kafka ({topic or 'no answer'}: {error.str()})"
        if error.fatal() or error.code() in PERMANENT:
            raise ProtocolError(what)
        raise RetryableError(what)


def _kind(message: OutgoingMessage) -> tuple[bool, int | None]:
    """What goes together: a batch carries no headers, and the client ignores the partition of a single message."""
    return bool(message.headers), message.partition


def _to(partition: int | None) -> dict[str, int]:
    return {} if partition is None else {"partition": partition}


def _by_topic(messages: Sequence[OutgoingMessage]) -> dict[str, list[OutgoingMessage]]:
    groups: defaultdict[str, list[OutgoingMessage]] = defaultdict(list)
    for message in messages:
        groups[message.topic].append(message)
    return groups


def _bytes(message: OutgoingMessage) -> int:
    return len(message.value or b"")
