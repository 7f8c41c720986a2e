"""Faust's aiokafka transport, made batch-first: one message per (topic, partition, chunk) instead of per record.

The consumer thread drains a poll into chunks whose records stay as aiokafka parsed them; topics that are not
batched take Faust's own way. Offsets of batched topics are not Faust's business: it neither tracks nor commits
them (`acks=False`, no read offsets), the feed does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol, cast

import aiokafka
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import ConsumerStoppedError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as AioTopicPartition
from faust import Topic
from faust.transport.consumer import ensure_TPset
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from schemas.events import Chunk
from streams.kafka.chunks import TopicPartition
from streams.kafka.config import KafkaConfig

IDLE_SECONDS = 0.05
POLL_SECONDS = 0.5


class Feed(Protocol):
    """What the transport tells the program, all on the main event loop."""

    def wants_poll(self) -> bool:
        """Whether another poll may be read: back-pressure."""
        ...

    async def wait_until_wanted(self, seconds: float) -> None:
        """Return when a poll is wanted, or after `seconds`."""
        ...

    def poll_delivered(self, number: int) -> None:
        """A poll is on its way to the agent."""
        ...

    async def resume_positions(self, tps: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where to read the assigned batched partitions from; absent ones go on where Kafka's group left off."""
        ...

    def assigned(self, generation: int, positions: Mapping[TopicPartition, int]) -> None:
        """The consumer stands at these positions and will read on."""
        ...

    async def revoked(self, tps: Collection[TopicPartition]) -> None:
        """The partitions go to somebody else once this returns."""
        ...


@dataclass(slots=True)
class Poll:
    """What one fetch brought: chunks of the batched topics, plain records of the others."""

    number: int
    kafka_generation: int
    chunks: list[Chunk] = field(default_factory=list)
    plain: dict[TP, list[Any]] = field(default_factory=dict)


def _keep_raw(_tp: Any, record: Any) -> Any:
    """Stands in for aiokafka's conversion of every parsed record into a dataclass, half the cost of reading it."""
    return record


class _RebalanceListener(driver.ConsumerRebalanceListener):
    async def on_partitions_assigned(self, assigned: Any) -> None:
        cast("BatchConsumerThread", self._thread).generation += 1
        await super().on_partitions_assigned(assigned)


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Owns the aiokafka consumer; every method named `_in_thread` runs on its event loop."""

    generation: int = 0
    polls: int = 0

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        config: KafkaConfig = transport.config
        conf = self.app.conf
        # Range gives one partition number of all topics to the same member (they have equal counts and readers);
        # Faust's default, round robin, does not.
        self._assignor = RangePartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            client_id=config.client_id,
            group_id=conf.id,
            bootstrap_servers=config.bootstrap.split(","),
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=config.max_poll_records,
            fetch_max_bytes=config.fetch_bytes,
            max_partition_fetch_bytes=config.partition_fetch_bytes,
            fetch_max_wait_ms=int(config.fetch_wait * 1000),
            request_timeout_ms=int(config.request_timeout * 1000),
            session_timeout_ms=int(config.session_timeout * 1000),
            heartbeat_interval_ms=int(config.heartbeat_interval * 1000),
            rebalance_timeout_ms=int(config.rebalance_timeout * 1000),
            max_poll_interval_ms=int(config.max_poll_interval * 1000),
            isolation_level="read_committed" if config.read_committed else "read_uncommitted",
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def poll(self, active: set[TP], *, batched: bool, seconds: float) -> Poll | None:
        """Records of `active`, at once when there are any, else null after `seconds`.

        Without `batched` only plain topics are read (back-pressure), and the group is told that we live.
        """
        result: Poll | None = await self.call_thread(self._poll_in_thread, active, batched, seconds)
        return result

    async def _poll_in_thread(self, active: set[TP], batched: bool, seconds: float) -> Poll | None:  # noqa: FBT001
        consumer = self._ensure_consumer()
        fetcher, subscriptions = consumer._fetcher, consumer._subscription  # noqa: SLF001
        names = cast("BatchTransport", self.transport).batched
        wanted = active if batched else {tp for tp in active if tp.topic not in names}
        deadline = monotonic() + seconds
        with subscriptions.fetch_context():
            while wanted and self.consumer.flow_active and not subscriptions.reassignment_in_progress:
                if consumer._closed or fetcher._closed:  # noqa: SLF001
                    raise ConsumerStoppedError
                poll = await self._drain(fetcher, subscriptions.subscription.assignment, wanted)
                left = deadline - monotonic()
                if poll is not None or left <= 0:
                    return poll
                await _until_fetched(fetcher, left)
        return None

    async def _drain(self, fetcher: Any, assignment: Any, wanted: set[TP]) -> Poll | None:
        """Take what is there. Runs without a pause, so positions before and after belong to these records."""
        names = cast("BatchTransport", self.transport).batched
        before: dict[Any, int] = {}
        for tp, result in fetcher._records.items():  # noqa: SLF001
            if tp in wanted and tp.topic in names and type(result) is FetchResult:
                before[tp] = assignment.state_value(tp).position
                if result._partition_records is not None:  # noqa: SLF001
                    result._partition_records._consumer_record = _keep_raw  # noqa: SLF001
        records = await fetcher.fetched_records(wanted, 0, self._ensure_consumer()._max_poll_records)  # noqa: SLF001
        # A range without a record (transaction markers, compaction) is a chunk too, or positions would not move.
        ranges = [(tp, first, assignment.state_value(tp).position) for tp, first in before.items()]
        ranges = [(tp, first, after) for tp, first, after in ranges if after > first]
        plain = {tp: found for tp, found in records.items() if tp.topic not in names}
        if not ranges and not plain:
            return None
        self.polls += 1
        chunks = [
            Chunk(tp.topic, tp.partition, first, after, self.generation, records.get(tp, ()), self.polls, len(ranges))
            for tp, first, after in ranges
        ]
        return Poll(self.polls, self.app.consumer_generation_id, chunks, plain)

    async def seek_batched(self, positions: Mapping[TopicPartition, int]) -> int:
        """Read on from these positions; the number of the last poll that was read before."""
        last: int = await self.call_thread(self._seek_in_thread, positions)
        return last

    async def _seek_in_thread(self, positions: Mapping[TopicPartition, int]) -> int:
        consumer = self._ensure_consumer()
        for (topic, partition), offset in positions.items():
            consumer.seek(AioTopicPartition(topic, partition), offset)
        return self.polls

    async def commit_batched(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit; errors are the caller's, a commit is a hint here."""
        await self.call_thread(self._commit_in_thread, offsets)

    async def _commit_in_thread(self, offsets: Mapping[TopicPartition, int]) -> None:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        mine = {AioTopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        mine = {tp: value for tp, value in mine.items() if tp in assigned}
        if mine:
            await consumer.commit(mine)


async def _until_fetched(fetcher: Any, seconds: float) -> None:
    waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
    done, _ = await asyncio.wait([waiter], timeout=seconds)
    if done:
        waiter.result()  # raises what the broker refused: authorisation, group errors
    else:
        waiter.cancel()


class _NoReadOffsets(dict[TP, int | None]):
    """Faust's read offsets, blind for batched topics: it would drop, silently, what a seek back reads again."""

    def __init__(self, batched: frozenset[str]) -> None:
        super().__init__()
        self._batched = batched

    def __missing__(self, _tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        if tp.topic not in self._batched:
            super().__setitem__(tp, offset)


class BatchConsumer(driver.Consumer):
    """Faust's consumer with chunks for the batched topics."""

    RebalanceListener = _RebalanceListener
    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._batched = cast("BatchTransport", self.transport).batched
        self._read_offset = _NoReadOffsets(self._batched)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def feed(self) -> Feed:
        """Who is told; set before the application starts."""
        feed = cast("BatchTransport", self.transport).feed
        assert feed is not None
        return feed

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ARG002, ASYNC109
        """The messages of one poll: chunks first, then plain records in Faust's round robin."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = set(self._get_active_partitions())
        if not active:
            await asyncio.sleep(IDLE_SECONDS)
            return
        wanted = self.feed.wants_poll()
        poll = await self._thread.poll(active, batched=wanted, seconds=POLL_SECONDS if wanted else 0)
        if poll is None:
            if not wanted:
                await self.feed.wait_until_wanted(POLL_SECONDS)
            return
        # After a revocation everything is read again from the positions of the next assignment.
        if self.should_stop or not self.flow_active:
            return
        if poll.chunks:
            self.feed.poll_delivered(poll.number)
        for chunk in poll.chunks:
            yield TP(chunk.topic, chunk.partition), _message(chunk, poll.kafka_generation)
        for tp, record in self.scheduler.iterate(poll.plain):
            if not self.flow_active or self.app.consumer_generation_id != poll.kafka_generation:
                return
            yield tp, self._to_message(tp, record)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Plain topics go to Kafka's offsets, batched ones to where the feed says."""
        committed = dict(await super().seek_to_committed())
        generation = self._thread.generation
        tps = [(tp.topic, tp.partition) for tp in self.assignment() if tp.topic in self._batched]
        wanted = await self.feed.resume_positions(tps)
        await self._thread.seek_batched(wanted)
        positions = {tp: cast("int", await self.position(_aio(tp))) for tp in tps}
        self.feed.assigned(generation, positions)
        return committed

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop reading, let the feed finish and commit, then the rest of Faust."""
        self.stop_flow()
        await self.feed.revoked([(tp.topic, tp.partition) for tp in ensure_TPset(revoked) if tp.topic in self._batched])
        await super().on_partitions_revoked(revoked)

    async def seek_batched(self, positions: Mapping[TopicPartition, int]) -> int:
        """See `BatchConsumerThread.seek_batched`."""
        return await self._thread.seek_batched(positions)

    async def commit_batched(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `BatchConsumerThread.commit_batched`."""
        await self._thread.commit_batched(offsets)


def _aio(tp: TopicPartition) -> Any:
    return AioTopicPartition(*tp)


def _message(chunk: Chunk, kafka_generation: int) -> ConsumerMessage:
    tp = TP(chunk.topic, chunk.partition)
    return ConsumerMessage(
        *tp, chunk.first, 0.0, 0, (), None, chunk, None, 0, 0, tp, generation_id=kafka_generation,
    )  # fmt: skip


class BatchTransport(driver.Transport):
    """The aiokafka transport with some topics batched."""

    Consumer = BatchConsumer

    def __init__(self, app: Any, config: KafkaConfig, batched: Collection[str]) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.config = config
        self.batched = frozenset(batched)
        self.feed: Feed | None = None


class BatchTopic(Topic):
    """A topic (with several names) whose messages carry chunks: there is nothing to decode."""

    def _compile_decode(self) -> None:
        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001
            return self.app.create_event(None, message.value, {}, message)

        self.decode = decode
