"""Offsets that nobody can read: what a transaction took back, its markers, what compaction removed. Real Kafka only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, time

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as Place

from streams.kafka.chunks import TopicPartition
from streams.kafka.clock import end_offsets
from streams.kafka.config import KafkaConfig
from streams.kafka.topics import Topics, TopicSpec
from tests.streams.kafka.harness import Log, Recorder, running, until

NewLog = Callable[..., Log]
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
}
CLEANING_SECONDS = 60.0
"""A broker looks for something to compact every 15 s."""

pytestmark = pytest.mark.usefixtures("real_broker")


async def test_aborted_records_are_not_read_and_their_offsets_hold_nothing_up(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, role = new_log(1, 1), Recorder()
    writer = Producer({**config.librdkafka(), "transactional.id": fresh_name})
    writer.init_transactions()
    for end in (writer.commit_transaction, writer.abort_transaction):
        writer.begin_transaction()
        for value in (b"1", b"2"):
            writer.produce(log.topics[0], value, partition=0)
        writer.flush()
        end()
    async with running(config, fresh_name, log, role.handlers()) as worker:
        written = time() * 1000
        await until(lambda: worker.read_until(0) > written)
        (end_offset,) = (await end_offsets(config, log.tps)).values()
        assert worker.positions() == {log.tps[0]: end_offset}
    assert role.values() == {log.tps[0]: [1, 2]}
    assert [chunk.first for chunk in role.chunks] == [0, *(chunk.next for chunk in role.chunks)][:-1]


async def test_what_compaction_left_is_read_once_and_the_gaps_hold_nothing_up(
    config: KafkaConfig, topics: Topics, fresh_name: str
) -> None:
    """Also by a worker that goes on from a fence in the middle of a gap."""
    topics.create([TopicSpec(fresh_name, 1, COMPACTED)], 1)
    log = Log([fresh_name], 1, Producer(config.librdkafka()))
    for key in (b"same", b"same", b"other", b"same"):  # all but the last of a key go, once their segment is closed
        for _ in range(50):
            log.producer.produce(fresh_name, str(log.ends[log.tps[0]]).encode(), key, partition=0)
            log.ends[log.tps[0]] += 1
        log.producer.flush()
        await asyncio.sleep(0.2)
    left = await asyncio.to_thread(_left_by_compaction, config, log.tps[0], 100)
    assert left[-1] == log.size - 1
    assert 0 < len(left) < 100

    for fence in (0, 75):
        role = Recorder(applied={log.tps[0]: fence})
        async with running(config, f"{fresh_name}-{fence}", log, role.handlers()) as worker:
            await until(lambda worker=worker: worker.positions() == {log.tps[0]: log.size})  # type: ignore[misc]
        assert role.values() == {log.tps[0]: [offset for offset in left if offset >= fence]}
        ends = [fence, *(chunk.next for chunk in role.chunks)]
        assert [chunk.first for chunk in role.chunks] == ends[:-1]
        assert ends[-1] == log.size


def _left_by_compaction(config: KafkaConfig, tp: TopicPartition, fewer_than: int) -> list[int]:
    """The offsets a consumer still finds, once compaction has left fewer than so many."""
    deadline = monotonic() + CLEANING_SECONDS
    while monotonic() < deadline:
        found = _offsets(config, tp)
        if len(found) < fewer_than:
            return found
    pytest.fail(f"nothing was compacted within {CLEANING_SECONDS:.0f} s")


def _offsets(config: KafkaConfig, tp: TopicPartition) -> list[int]:
    consumer = Consumer({**config.librdkafka(), "group.id": "offsets", "enable.partition.eof": True})
    consumer.assign([Place(*tp, 0)])
    found: list[int] = []
    while (message := consumer.poll(10.0)) is not None and message.error() is None:
        found.append(message.offset())
    consumer.close()
    return found
