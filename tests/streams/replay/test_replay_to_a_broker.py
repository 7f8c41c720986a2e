"""A whole history through a real broker: every record in its partition, every marker after what it closes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.codec import decode_one, schema_of
from schemas.errors import ConfigurationError
from schemas.partitioning import partition_of
from schemas.topics import CLOCK_HEADER, INPUT_TOPICS
from streams.embedded.broker import Broker
from streams.embedded.ports import choose_port
from streams.embedded.registry import Registry
from streams.replay.datasets import DAY
from streams.replay.replayer import Progress
from streams.roles.replay import ReplayOptions, replay, run
from streams.settings import KafkaSettings, RegistrySettings, Settings, load_settings

PARTITIONS = 2
FIRST_DAY, LAST_EVENT = 19_726, 1_719_698_560_000  # 2024-01-04, 2024-06-29 22:02:40


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, registry_server: Registry) -> Iterator[Settings]:
    """A broker of its own, for the input topics have fixed names."""
    log: Path = tmp_path_factory.mktemp("replay") / "broker.log"
    with Broker(choose_port(), log) as broker:
        yield load_settings(
            kafka=KafkaSettings(bootstrap=broker.bootstrap), registry=RegistrySettings(url=registry_server.url)
        )


@pytest.fixture(scope="module")
def progress(settings: Settings) -> Progress:
    with pytest.raises(ConfigurationError, match="lacks topics clickstream"):
        run(settings, ReplayOptions("ecom"))
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in INPUT_TOPICS]).values():
        future.result()
    return replay(settings, ReplayOptions("ecom"))


def test_every_record_arrives_once_in_its_partition_between_its_markers(settings: Settings, progress: Progress) -> None:
    markers = [*range((FIRST_DAY + 1) * DAY - 1, LAST_EVENT, DAY), LAST_EVENT]
    assert (progress.events, progress.instant) == (31_106, LAST_EVENT)
    assert progress.markers == len(markers) * len(INPUT_TOPICS) * PARTITIONS
    counts: Counter[str] = Counter()
    for topic in INPUT_TOPICS:
        for partition in range(PARTITIONS):
            times, heard = _read(settings, topic, partition, markers[-1])
            assert heard == markers
            assert times == sorted(times)
            counts[topic] += len(times)
    assert counts == {
        "clickstream": 31_106 - 275 - 470 - 277,
        "app": 275,
        "purchase": 470,
        "feedback": 277,
        "social": 0,
        "identity": 0,
    }


def _read(settings: Settings, topic: str, partition: int, end: int) -> tuple[list[int], list[int]]:
    """Event times and marker instants of one partition up to its last marker, checking keys and order on the way."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap,
            "group.id": "none",
            "enable.auto.commit": False,
            "session.timeout.ms": 6_000,
            "max.poll.interval.ms": 10_000,
        }
    )
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    schema = schema_of(topic)
    times: list[int] = []
    markers: list[int] = []
    while not markers or markers[-1] < end:
        first = consumer.poll(10.0)
        assert first is not None, "the log ended before the last marker"
        for message in [first, *consumer.consume(5_000, timeout=0.05)]:
            assert message.error() is None
            if message.value() is None:
                markers.append(int(dict(message.headers())[CLOCK_HEADER]))
                assert not times or times[-1] <= markers[-1]
                continue
            event = decode_one(message.value(), lambda _: schema, schema)
            assert message.key() == event["customer_id"].encode()
            assert partition_of(event["customer_id"], PARTITIONS) == partition
            times.append(event["event_time"])
            assert not markers or times[-1] > markers[-1]
    consumer.close()
    return times, markers
