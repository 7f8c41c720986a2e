"""What the installation holds in the end: the log, everything published, Redis, and ClickHouse."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from benchmarks.verdict import Row, rows_in
from schemas.codec import HEADER_BYTES, OutputCodec, decode_body, schema_id_of, schema_of
from schemas.errors import FootfallError
from schemas.partitioning import BUCKETS
from schemas.results import BucketClaim, DeadLetter, SegmentChange, TrainingExample
from schemas.topics import DEAD_LETTERS, INPUT_TOPICS, OUTPUT_TOPICS, SEGMENT_CHANGES, TRAINING_EXAMPLES
from sinks.profiles import ProfileStore
from streams.clients import redis_client, warehouse_client
from streams.embedded.broker_log import LogReaders
from streams.settings import Settings
from tests.schemas.records import Record

_PATIENCE: Final = 60.0
_READ_SECONDS: Final = 30.0
EventRow = tuple[str, int, int, str, str, int, int, int]
"""Topic, partition, offset, customer, name, event_time, received_time (ms), revenue."""
ChangeRow = tuple[str, int, str, str, str, int, str]
"""Customer, sequence, segment, from, to, effective time (ms), cause."""


@dataclass
class Evidence:
    """Everything that can be compared."""

    log: dict[tuple[str, int], list[Record]]
    changes: list[SegmentChange]
    """As they were published: in order within a customer, repetitions included."""
    examples: list[TrainingExample]
    letters: list[DeadLetter]
    profiles: dict[str, Row]
    """By customer, as Redis holds them."""
    tallies: Counter[str]
    event_rows: dict[str, EventRow]
    """Event id -> row of the view `events`."""
    change_rows: dict[str, ChangeRow]
    """Change id -> row of the view `segment_changes`."""
    profile_rows: dict[str, tuple[int, bytes]]
    """Customer -> version and traits of the view `profiles`."""
    repeated_rows: int = 0
    """Rows of a view beyond the first of their key: the views promise none."""


def gathered(settings: Settings, schema_ids: Mapping[str, int], log: dict[tuple[str, int], list[Record]]) -> Evidence:
    """The evidence of an installation that has read its whole input `log`."""
    codec = OutputCodec({topic: number for topic, number in schema_ids.items() if topic in OUTPUT_TOPICS})
    with closing(redis_client(settings)) as client, closing(warehouse_client(settings)) as warehouse:
        events, change_rows, profile_rows, repeated = _rows(warehouse, settings.warehouse.database)
        return Evidence(
            log,
            [codec.decode_change(value) for value in _published(settings, SEGMENT_CHANGES)],
            [codec.decode_training_example(value) for value in _published(settings, TRAINING_EXAMPLES)],
            [codec.decode_dead_letter(value) for value in _published(settings, DEAD_LETTERS)],
            rows_in(client, settings.redis.prefix),
            ProfileStore(client, settings.redis.prefix).tallies(),
            events,
            change_rows,
            profile_rows,
            repeated,
        )


def input_log(settings: Settings) -> dict[tuple[str, int], list[Record]]:
    """The input topics as the broker kept them."""
    found: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for message in _messages(settings, INPUT_TOPICS):
        place = message.topic() or "", message.partition() or 0
        assert len(found[place]) == message.offset(), "the log has a gap"
        headers: Any = message.headers() or ()
        found[place].append(
            Record(message.offset() or 0, message.timestamp()[1], message.key(), message.value(), headers)
        )
    return dict(found)


def events_in(log: Mapping[tuple[str, int], list[Record]]) -> Iterator[tuple[tuple[str, int], int, dict[str, Any]]]:
    """Place, offset and content of every event of a log; clock markers and what no schema reads are none."""
    for place, records in log.items():
        schema = schema_of(place[0])
        for record in records:
            value = record.value
            if value is not None and schema_id_of(value) is not None:
                yield place, record.offset, decode_body(schema, value[HEADER_BYTES:])


def settled(settings: Settings, records: int, meanwhile: Callable[[], None], seconds: float) -> str | None:
    """Wait until everything is read, published and written; a sentence when it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    store = ProfileStore(redis_client(settings), settings.redis.prefix)
    readers = _Readers(settings)
    left = "nothing looked up yet"
    while time.monotonic() < deadline:
        meanwhile()
        try:
            left = _left(store, records) or readers.left()
        except (FootfallError, KafkaException) as error:
            left = str(error)
        if not left:
            return None
        time.sleep(0.3)
    return f"not settled within {seconds:.0f} s: {left}"


class _Readers:
    """What the two consumer groups have not acknowledged."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of: dict[str, LogReaders] = {}

    def left(self) -> str:
        for role in ("process", "sink"):
            if role not in self._of:
                self._of[role] = LogReaders(self._settings, (role,))
            if unread := self._of[role].unread():
                return f"the group of {role} has not acknowledged {unread} records"
            if unread is None:
                return "Kafka does not tell what is acknowledged"
        return ""


def received(settings: Settings) -> int:
    """Records whose outcome is stored."""
    return _received(ProfileStore(redis_client(settings), settings.redis.prefix).peek(range(BUCKETS)))


def _left(store: ProfileStore, records: int) -> str:
    claims = store.peek(range(BUCKETS))
    waiting = sum(len(claim.outbox) + len(claim.dirty) for claim in claims)
    if _received(claims) != records:
        return f"{_received(claims)} of {records} records received"
    return f"{waiting} messages wait in outboxes" if waiting else ""


def _received(claims: Iterable[BucketClaim]) -> int:
    return sum(n for claim in claims for name, n in claim.tally.items() if name.startswith("received:"))


def _published(settings: Settings, topic: str) -> list[bytes]:
    return [value for message in _messages(settings, (topic,)) if (value := message.value()) is not None]


def _messages(settings: Settings, topics: Collection[str]) -> Iterator[Message]:
    """Every record of some topics, in log order within a partition."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka.bootstrap, "group.id": "chaos-judge", "enable.auto.commit": False,
        "enable.partition.eof": True, "log_level": 0,
    }  # fmt: skip
    consumer = Consumer(config)
    known = consumer.list_topics(timeout=_READ_SECONDS).topics
    places = [TopicPartition(topic, partition, 0) for topic in topics for partition in known[topic].partitions]
    consumer.assign(places)
    open_ends = {(place.topic, place.partition) for place in places}
    deadline = time.monotonic() + _PATIENCE
    while open_ends:
        if time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        for message in consumer.consume(5_000, 0.2):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                open_ends.discard((message.topic() or "", message.partition() or 0))
    consumer.close()


def _rows(
    client: Any, database: str
) -> tuple[dict[str, EventRow], dict[str, ChangeRow], dict[str, tuple[int, bytes]], int]:
    def ask(columns: str, view: str) -> list[Any]:
        found: list[Any] = client.query(f"SELECT {columns} FROM {database}.{view}").result_rows
        return found

    events = ask(
        "event_id, topic, kafka_partition, kafka_offset, customer_id, name, "
        "toUnixTimestamp64Milli(event_time), toUnixTimestamp64Milli(received_time), revenue",
        "events",
    )
    changes = ask(
        "change_id, customer_id, sequence, segment, from_segment, to_segment, "
        "toUnixTimestamp64Milli(effective_time), cause",
        "segment_changes",
    )
    profiles = ask("customer_id, version, traits", "profiles")
    by_id = [{row[0]: tuple(row[1:]) for row in rows} for rows in (events, changes)]
    latest = {str(customer): (int(version), str(traits).encode()) for customer, version, traits in profiles}
    repeated = sum(map(len, (events, changes, profiles))) - len(by_id[0]) - len(by_id[1]) - len(latest)
    return by_id[0], by_id[1], latest, repeated
