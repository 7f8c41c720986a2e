"""The thread that owns the aiokafka consumer: drains what was fetched into chunks, seeks, commits.

Methods named `_in_thread` run on the thread's own event loop, all others on the main one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, time
from typing import Any, cast

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


class RebalanceListener(driver.ConsumerRebalanceListener):
    async def on_partitions_assigned(self, assigned: Any) -> None:
        cast("BatchConsumerThread", self._thread).generation += 1
        await super().on_partitions_assigned(assigned)


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, with polls of chunks."""

    generation: int = 0
    polls: int = 0
    ends: dict[TopicPartition, End]
    """Where each log ended, and the instant (ms) at which the fetch that told so was sent."""

    @property
    def _batched(self) -> frozenset[str]:
        names: frozenset[str] = self.transport.batched
        return names

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

    async def poll(self, active: set[TP], *, batched: bool, seconds: float) -> Poll | None:
        """Records of `active`, at once when there are any, else null after `seconds`.

        Without `batched` only plain topics are read (back-pressure), and the group is told that we live.
        """
        result: Poll | None = await self.call_thread(self._poll_in_thread, active, batched, seconds)
        return result

    async def _poll_in_thread(self, active: set[TP], batched: bool, seconds: float) -> Poll | None:  # noqa: FBT001
        consumer = self._ensure_consumer()
        fetcher, subscriptions = consumer._fetcher, consumer._subscription  # noqa: SLF001
        wanted = active if batched else {tp for tp in active if tp.topic not in self._batched}
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
        before: dict[Any, int] = {}
        for tp, result in fetcher._records.items():  # noqa: SLF001
            if tp in wanted and tp.topic in self._batched and type(result) is FetchResult:
                before[tp] = assignment.state_value(tp).position
                if result._partition_records is not None:  # noqa: SLF001
                    result._partition_records._consumer_record = _keep_raw  # noqa: SLF001
        records = await fetcher.fetched_records(wanted, 0, self._ensure_consumer()._max_poll_records)  # noqa: SLF001
        # A range without a record (transaction markers, compaction) is a chunk too, or positions would not move.
        ranges = [(tp, first, assignment.state_value(tp).position) for tp, first in before.items()]
        ranges = [(tp, first, after) for tp, first, after in ranges if after > first]
        plain = {tp: found for tp, found in records.items() if tp.topic not in self._batched}
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
