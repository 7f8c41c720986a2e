"""What the transport's laws need: a log of numbered records, and a role that writes down what it was given."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from confluent_kafka import Producer

from schemas.events import Chunk
from streams.kafka.app import Application, build_app
from streams.kafka.chunks import TopicPartition, tp_of
from streams.kafka.config import KafkaConfig
from streams.kafka.worker import Handlers, Worker
from tests.given import BOOTSTRAP

PATIENCE = 20.0
REAL = BOOTSTRAP


@dataclass
class Log:
    """Topics of one test; record n of a topic-partition has offset n and value b"n"."""

    topics: list[str]
    partitions: int
    producer: Producer
    ends: defaultdict[TopicPartition, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def tps(self) -> list[TopicPartition]:
        return [(topic, partition) for topic in self.topics for partition in range(self.partitions)]

    @property
    def size(self) -> int:
        return sum(self.ends.values())

    def append(self, per_partition: int) -> None:
        for tp in self.tps:
            self.append_to(tp, per_partition)
        assert self.producer.flush(PATIENCE) == 0

    def append_to(self, tp: TopicPartition, count: int) -> None:
        for _ in range(count):
            self.producer.produce(tp[0], str(self.ends[tp]).encode(), b"k", partition=tp[1])
            self.ends[tp] += 1


@dataclass
class Recorder:
    """A role that remembers every chunk; `applied` is its durable fence."""

    polls: list[list[Chunk]] = field(default_factory=list)
    applied: dict[TopicPartition, int] = field(default_factory=dict)
    assignments: list[set[TopicPartition]] = field(default_factory=list)
    revocations: list[set[TopicPartition]] = field(default_factory=list)
    during: Callable[[list[Chunk]], Awaitable[None]] | None = None
    busy: bool = False

    async def handle_poll(self, chunks: list[Chunk]) -> None:
        assert not self.busy
        self.busy = True
        if self.during is not None:
            await self.during(chunks)
        self.polls.append(chunks)
        for chunk in chunks:
            self.applied[tp_of(chunk)] = chunk.next
        self.busy = False

    async def on_assigned(self, tps: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.assignments.append(set(tps))
        return {tp: self.applied.get(tp, 0) for tp in tps}

    async def on_revoked(self, tps: Collection[TopicPartition]) -> None:
        assert not self.busy
        self.revocations.append(set(tps))

    def handlers(self, tick: Callable[[], Awaitable[None]] | None = None, tick_seconds: float = 0.05) -> Handlers:
        return Handlers(self.handle_poll, self.on_assigned, self.on_revoked, tick, tick_seconds)

    @property
    def chunks(self) -> list[Chunk]:
        return [chunk for poll in self.polls for chunk in poll]

    @property
    def received(self) -> int:
        return sum(len(chunk.records) for chunk in self.chunks)

    def values(self) -> dict[TopicPartition, list[int]]:
        found: defaultdict[TopicPartition, list[int]] = defaultdict(list)
        for chunk in self.chunks:
            found[tp_of(chunk)] += [int(record.value or b"-1") for record in chunk.records]
        return dict(found)


@asynccontextmanager
async def running(
    config: KafkaConfig, group: str, log: Log, handlers: Handlers, app: Application | None = None
) -> AsyncIterator[Worker]:
    """A worker on the running loop; stopped in order at the end."""
    worker = Worker(app or build_app(config, group, log.topics), handlers)
    task = asyncio.create_task(worker.run())
    try:
        await until(lambda: worker.joined.is_set() or task.done())
        yield worker
    finally:
        worker.stop()
        await task


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert condition(), "it did not come to pass"


def small(config: KafkaConfig, **changes: float) -> KafkaConfig:
    return replace(config, **changes)  # type: ignore[arg-type]
