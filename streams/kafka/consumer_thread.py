"""The thread that owns the aiokafka consumer: drains what was fetched into chunks, seeks, commits.

Methods named `_in_thread` run on the thread's own event loop, all others on the main one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, time
from typing import Any, Final, cast

import aiokafka
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import ConsumerStoppedError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as AioTopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.events import Chunk
from streams.kafka.chunks import TopicPartition
from streams.kafka.clock import End
from streams.kafka.config import KafkaConfig

FRESH_SECONDS: Final = 0.02
"""How long a small poll may wait for what came while the last one was at work."""


@dataclass(slots=True)
class Poll:
    """What one fetch brought: chunks of the batched topics, plain records of the others."""

    number: int
    kafka_generation: int
    chunks: list[Chunk] = field(default_factory=list)
    plain: dict[TP, list[Any]] = field(default_factory=dict)


@dataclass(slots=True)
class _Drained:
    """Records taken from the buffer: offset ranges of the batched topics, and all records."""

    ranges: dict[TP, tuple[int, int]]
    records: dict[TP, list[Any]]

    def add(self, later: _Drained) -> None:
        """Put what was drained right afterwards behind it."""
        for tp, (first, after) in later.ranges.items():
            self.ranges[tp] = (self.ranges[tp][0] if tp in self.ranges else first, after)
        for tp, records in later.records.items():
            self.records[tp] = [*self.records.get(tp, ()), *records]


def _keep_raw(_tp: Any, record: Any) -> Any:
    """Stands in for aiokafka's conversion of every parsed record into a dataclass, half the cost of reading it."""
    return record


class RebalanceListener(driver.ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked: Any) -> Any:
        cast("BatchConsumerThread", self._thread).begin_generation(assigned=False)
        return super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: Any) -> None:
        thread = cast("BatchConsumerThread", self._thread)
        thread.begin_generation(assigned=True)
        thread.assigned_at = monotonic() if assigned else None
        await super().on_partitions_assigned(assigned)


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, with polls of chunks."""

    generation: int = 0
    """Counts revocations and assignments."""
    ready: int = -1
    """The generation whose positions are known to all: only in it batched topics are read, or a poll that nobody
    accepts would move the consumer past its records."""
    _assigned: bool = False
    assigned_at: float | None = None
    """When partitions were assigned last, on the monotonic clock; null while there are none."""
    polls: int = 0
    _seeks: int = 0
    _deferred: Exception | None = None
    answered: float = 0.0
    """When a broker last answered a fetch, on the monotonic clock."""
    ends: dict[TopicPartition, End]
    """Where each log ended, and the instant (ms) at which the fetch that told so was sent."""

    @property
    def _batched(self) -> frozenset[str]:
        names: frozenset[str] = self.transport.batched
        return names

    def begin_generation(self, *, assigned: bool) -> None:
        """Partitions were assigned, or are revoked: whatever still looks for its place is overtaken."""
        self.generation, self._assigned = self.generation + 1, assigned
        self.assigned_at = None

    def in_force(self, generation: int) -> bool:
        """Whether this is the newest generation, and one of an assignment."""
        return self._assigned and generation == self.generation

    async def on_start(self) -> None:
        """Connect, and note the ends that fetches tell."""
        self.ends = {}
        await super().on_start()
        fetcher = self._ensure_consumer()._fetcher  # noqa: SLF001
        fetcher._proc_fetch_request = partial(self._observed, fetcher._proc_fetch_request)  # noqa: SLF001

    async def _observed(self, fetch: Any, assignment: Any, node: Any, request: Any) -> Any:
        sent = int(time() * 1000)
        result = await fetch(assignment, node, request)
        for topic, partitions in request.topics:
            for partition, *_ in partitions:
                state = assignment.state_value(AioTopicPartition(topic, partition))
                # An answer that was discarded (a seek came between) leaves an older timestamp.
                if state is not None and (state.timestamp or 0) > sent:
                    self.ends[(topic, partition)] = (sent, state.highwater)
                    self.answered = monotonic()
        return result

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

    async def poll(self, active: set[TP], *, room: int, seconds: float) -> Poll | None:
        """At most `room` records of `active`, at once when there are any, else null after `seconds`.

        Without room only plain topics are read (back-pressure), and the group is told that we live.
        """
        result: Poll | None = await self.call_thread(self._poll_in_thread, active, room, seconds)
        return result

    async def _poll_in_thread(self, active: set[TP], room: int, seconds: float) -> Poll | None:
        consumer = self._ensure_consumer()
        fetcher, subscriptions = consumer._fetcher, consumer._subscription  # noqa: SLF001
        wanted = active if room else {tp for tp in active if tp.topic not in self._batched}
        deadline = monotonic() + seconds
        deferred, self._deferred = self._deferred, None
        if deferred is not None:
            raise deferred
        with subscriptions.fetch_context():
            while wanted and self.consumer.flow_active and not subscriptions.reassignment_in_progress:
                if room and self.ready != self.generation:
                    return None
                if consumer._closed or fetcher._closed:  # noqa: SLF001
                    raise ConsumerStoppedError
                drained = await self._drain(fetcher, subscriptions.subscription.assignment, wanted, room)
                if drained is not None:
                    self.polls += 1  # a seek or an assignment while it is freshened makes it a poll of before
                    poll = Poll(self.polls, self.app.consumer_generation_id)
                    generation = self.generation
                    await self._freshen(drained, wanted, room)
                    return self._filled(poll, generation, drained)
                left = deadline - monotonic()
                if left <= 0:
                    return None
                await _until_fetched(fetcher, left)
        return None

    async def _freshen(self, drained: _Drained, wanted: set[TP], room: int) -> None:
        """Add what one more fetch brings to a small poll.

        aiokafka asks for more of a partition only when what it holds of it was taken: under a light load a buffer holds
        the first record that came after the last poll, and everything since then waits at the broker for the next one.
        """
        consumer = self._ensure_consumer()
        fetcher, subscriptions = consumer._fetcher, consumer._subscription  # noqa: SLF001
        found = sum(map(len, drained.records.values()))
        if found >= min(room, self.transport.config.small_poll):
            return
        assignment, seeks = subscriptions.subscription.assignment, self._seeks
        with self._failing_later():
            await _until_fetched(fetcher, FRESH_SECONDS)
            moved = seeks != self._seeks or not assignment.active or subscriptions.reassignment_in_progress
            # A position that the broker has reset is for the next poll: the gate sees the gap there.
            moved = moved or any(assignment.state_value(tp).position != end for tp, (_, end) in drained.ranges.items())
            if not moved and self.consumer.flow_active and not consumer._closed:  # noqa: SLF001
                later = await self._drain(fetcher, assignment, wanted, room - found)
                if later is not None:
                    drained.add(later)

    @contextmanager
    def _failing_later(self) -> Iterator[None]:
        """What goes wrong here is raised by the next poll: this one has records to hand over."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self._deferred = error

    def _filled(self, poll: Poll, generation: int, drained: _Drained) -> Poll:
        records, size = drained.records, len(drained.ranges)
        poll.plain = {tp: found for tp, found in records.items() if tp.topic not in self._batched}
        poll.chunks = [
            Chunk(tp.topic, tp.partition, first, after, generation, records.get(tp, ()), poll.number, size)
            for tp, (first, after) in drained.ranges.items()
        ]
        return poll

    async def _drain(self, fetcher: Any, assignment: Any, wanted: set[TP], room: int) -> _Drained | None:
        """Take what is there. Runs without a pause, so positions before and after belong to these records."""
        before: dict[Any, int] = {}
        for tp, result in fetcher._records.items():  # noqa: SLF001
            if tp in wanted and tp.topic in self._batched and type(result) is FetchResult:
                before[tp] = assignment.state_value(tp).position
                if result._partition_records is not None:  # noqa: SLF001
                    result._partition_records._consumer_record = _keep_raw  # noqa: SLF001
        records = await fetcher.fetched_records(wanted, 0, room or self.transport.config.max_poll_records)
        # A range without a record (transaction markers, compaction) is a chunk too, or positions would not move.
        ends = {tp: (first, assignment.state_value(tp).position) for tp, first in before.items()}
        ranges = {tp: (first, after) for tp, (first, after) in ends.items() if after > first}
        if not ranges and all(tp.topic in self._batched for tp in records):
            return None
        return _Drained(ranges, records)

    async def seek_batched(self, positions: Mapping[TopicPartition, int]) -> int:
        """Read on from these positions; the number of the last poll that was read before."""
        last: int = await self.call_thread(self._seek_in_thread, positions)
        return last

    async def _seek_in_thread(self, positions: Mapping[TopicPartition, int]) -> int:
        consumer = self._ensure_consumer()
        self._seeks += 1
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
