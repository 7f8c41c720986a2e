"""The reader without a group knows how much it has not read, without asking; and how old the newest record is."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from streams.doctor.clocks import newest_append_time
from streams.kafka.config import KafkaConfig
from streams.kafka.reader import PartitionReader
from streams.kafka.topics import Topics, TopicSpec
from tests.streams.kafka.harness import Log, until

NewLog = Callable[..., Log]


async def test_what_is_not_read_yet_is_known_from_the_last_fetch(config: KafkaConfig, new_log: NewLog) -> None:
    log = new_log(1, partitions=1)
    [topic] = log.topics
    reader = PartitionReader.of(config, topic)
    assert reader.unread() == 0, "nothing is known before the first fetch"
    log.append(30)
    reader.seek(10)
    assert len(reader.read_to_end()) == 20
    assert reader.unread() == 0
    log.append(5)
    reader.seek(0)
    found = len(reader.read(8, 10))
    assert 0 < found <= 8
    await until(lambda: reader.unread() == 35 - found)
    reader.close()


def test_the_newest_record_tells_the_broker_s_time_where_it_sets_it(
    config: KafkaConfig, topics: Topics, new_log: NewLog, fresh_name: str, *, is_real: bool
) -> None:
    topics.create([TopicSpec(fresh_name, 2, {"message.timestamp.type": "LogAppendTime"})], 1)
    assert newest_append_time(config, {(fresh_name, 0): 0, (fresh_name, 1): 0}) is None
    log = Log([fresh_name], 2, new_log(1).producer)
    log.append(3)
    newest = newest_append_time(config, log.ends)
    if is_real:
        assert newest == pytest.approx(time.time() * 1000, abs=10_000)
    else:
        assert newest is None, "the embedded broker leaves the producer's time on the records"
