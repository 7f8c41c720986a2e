"""The embedded broker keeps its log in memory: it ends with the broker, and the next one begins on new topics.

So an orderly stop waits until every role has read what was accepted, and a start tells the fences in Redis, which
name topics that are gone, to begin at the start of the new ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from schemas.partitioning import BUCKETS
from schemas.topics import INPUT_TOPICS
from sinks.installation import live_generation
from sinks.keys import bucket_keys
from streams.clients import redis_client
from streams.embedded.data_directory import DataDirectory
from streams.embedded.registry_store import write_atomically
from streams.kafka.config import kafka_config
from streams.kafka.topics import Topics
from streams.settings import Settings

_ANSWER_SECONDS: Final = 3.0
_TAIL: Final = {"group.id": "tail", "enable.partition.eof": True, "fetch.wait.max.ms": 20}
"""The broker says at once that there is nothing more."""

_AT_THE_START: Final = "-1"
"""A fence that says: nothing of this topic is applied, begin at the start of its log."""


class LogReaders:
    """Tells how much of the log the roles have not read yet. Blocking.

    Tansu's answer to "what is the latest offset" is wrong: it names the first record of the last batch. What it
    says at the end of a fetch is right, so the ends are found by reading on from there, each time until the broker
    has said so of every partition: silence alone may be a broker that is busy.
    """

    def __init__(self, settings: Settings, roles: Iterable[str]) -> None:
        options: dict[str, Any] = {**kafka_config(settings, "supervisor").librdkafka(), "log_level": 0}
        self._admin: Any = AdminClient(options)
        self._tail: Any = Consumer({**options, **_TAIL})
        self._groups = {settings.group(role): _topics_of(role) for role in roles}
        self._ends: dict[tuple[str, int], int] = {}
        self._places = self._known_places()

    def unread(self) -> int | None:
        """Records accepted and not acknowledged, summed over the groups; None when the broker does not answer."""
        try:
            self._read_on()
            return sum(self._unread_of(group, topics, self._ends) for group, topics in self._groups.items())
        except KafkaException:
            return None

    def close(self) -> None:
        """Leave the broker."""
        self._tail.close()

    def _known_places(self) -> Sequence[tuple[str, int]]:
        known = self._tail.list_topics(timeout=_ANSWER_SECONDS).topics
        topics = {topic for topics in self._groups.values() for topic in topics}
        return [(topic, partition) for topic in topics for partition in known[topic].partitions]

    def _read_on(self) -> None:
        self._tail.assign([TopicPartition(*place, self._ends.get(place, OFFSET_END)) for place in self._places])
        try:
            self._read_to_the_ends()
        finally:
            self._tail.unassign()

    def _read_to_the_ends(self) -> None:
        deadline = time.monotonic() + _ANSWER_SECONDS
        unsaid = set(self._places)
        while unsaid:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
            for message in self._tail.consume(1_000, timeout=0.1):
                if self._is_end(message):
                    unsaid.discard((message.topic(), message.partition()))

    def _is_end(self, message: Any) -> bool:
        at_end = message.error() is not None and message.error().code() == KafkaError._PARTITION_EOF  # noqa: SLF001
        if message.error() is not None and not at_end:
            raise KafkaException(message.error())
        self._ends[message.topic(), message.partition()] = message.offset() + (0 if at_end else 1)
        return bool(at_end)

    def _unread_of(self, group: str, topics: Sequence[str], ends: Mapping[tuple[str, int], int]) -> int:
        asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        committed = {
            (found.topic, found.partition): max(0, found.offset)
            for found in asked[group].result(_ANSWER_SECONDS).topic_partitions
        }
        return sum(max(0, end - committed.get(tp, 0)) for tp, end in ends.items() if tp[0] in topics)


def note_stop(data: DataDirectory, unread: int | None) -> None:
    """Remember how the broker's log ended: with how many records unread (None: not known)."""
    write_atomically(data.broker_record, json.dumps({"unread": unread}).encode())


def begin_new_log(settings: Settings, data: DataDirectory) -> str | None:
    """Point every fence at the start of the new topics, before any role runs; a sentence when events were lost."""
    retired = _restart_fences(settings)
    unread = _unread_at_stop(data)
    data.broker_record.unlink(missing_ok=True)
    if not retired or unread == 0:
        return None
    if unread is None:
        return "The last run did not stop in order: what its broker had accepted and no role had read is lost."
    return (
        f"The last run ended with {unread} accepted records that some role had not read: they are lost with its broker."
    )


def _unread_at_stop(data: DataDirectory) -> int | None:
    try:
        unread: int | None = json.loads(data.broker_record.read_bytes())["unread"]
    except (OSError, ValueError, KeyError):
        return None
    return unread


def _restart_fences(settings: Settings) -> bool:
    """Whether there were fences of topics that are gone."""
    identities = Topics(kafka_config(settings, "supervisor")).identities(INPUT_TOPICS)
    partitions = settings.kafka.partitions
    client = redis_client(settings)
    generation = live_generation(client, settings.redis.prefix)
    keys = [bucket_keys(settings.redis.prefix, generation, bucket).fence for bucket in range(BUCKETS)]
    tallies = [bucket_keys(settings.redis.prefix, generation, bucket).tally for bucket in range(BUCKETS)]
    reading = client.pipeline(transaction=False)
    for key in keys:
        reading.hkeys(key)
    for key in tallies:
        reading.hgetall(key)
    found = reading.execute()
    writing = client.pipeline(transaction=False)
    for bucket, (key, names) in enumerate(zip(keys, found[:BUCKETS], strict=True)):
        current = {f"{identity}:{bucket % partitions}".encode() for identity in identities.values()}
        gone = [name for name in names if b":" in name and name not in current]
        if gone:
            writing.hset(key, mapping=dict.fromkeys(current, _AT_THE_START))
            writing.hdel(key, *gone)
            counted = _before(found[BUCKETS + bucket])
            if counted:
                writing.hset(tallies[bucket], mapping=counted)
    commands = len(writing)
    writing.execute()
    client.close()
    return commands > 0


def _before(tally: Mapping[bytes, bytes]) -> dict[Any, Any]:
    """What was received of the logs that are gone: only the rest can be compared with the new ones."""
    names = {name: name.removeprefix(b"received:") for name in tally if name.startswith(b"received:")}
    return {b"before:" + place: tally[name] for name, place in names.items()}


def _topics_of(role: str) -> Sequence[str]:
    if role == "process":
        return INPUT_TOPICS
    if role == "sink":
        from streams.blocks import TOPICS  # noqa: PLC0415  brings in the columnar libraries

        return TOPICS
    return ()  # the trainer keeps its place in its snapshots, which end with the broker as well
