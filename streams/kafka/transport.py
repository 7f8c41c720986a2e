"""Faust's aiokafka transport, made batch-first: one message per (topic, partition, chunk) instead of per record.

The consumer thread drains a poll into chunks whose records stay as aiokafka parsed them; topics that are not
batched take Faust's own way. Offsets of batched topics are not Faust's business: it neither tracks nor commits
them (`acks=False`, no read offsets), the feed does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from time import monotonic
from typing import Any, Protocol, cast

import structlog
from aiokafka.structs import TopicPartition as AioTopicPartition
from faust import Topic
from faust.transport.consumer import ensure_TPset
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from schemas.events import Chunk
from streams.kafka.chunks import TopicPartition
from streams.kafka.clock import End
from streams.kafka.config import KafkaConfig
from streams.kafka.consumer_thread import BatchConsumerThread, RebalanceListener

log = structlog.get_logger(__name__)
IDLE_SECONDS = 0.05
POLL_SECONDS = 0.5


class Feed(Protocol):
    """What the transport tells the program, all on the main event loop."""

    def room(self) -> int:
        """Records that another poll may bring; 0: none is wanted now. Back-pressure."""
        ...

    async def wait_until_wanted(self, seconds: float) -> None:
        """Return when a poll is wanted, or after `seconds`."""
        ...

    def poll_delivered(self, number: int, records: int) -> None:
        """A poll of so many records is on its way to the agent."""
        ...

    async def resume_positions(
        self, tps: Collection[TopicPartition], committed: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Where to read the assigned batched partitions from; absent ones go on where Kafka's group left off.

        `committed` is where that is, for those of which the group has read anything.
        """
        ...

    async def none_assigned(self) -> None:
        """The group has more members than partitions: this one waits until somebody leaves."""
        ...

    def not_positioned(self, error: BaseException) -> None:
        """The newest assignment found no place to read from, and Faust will not look again."""
        ...

    def assigned(self, generation: int, positions: Mapping[TopicPartition, int]) -> None:
        """The consumer stands at these positions and will read on."""
        ...

    async def revoked(self, tps: Collection[TopicPartition]) -> None:
        """The partitions go to somebody else once this returns."""
        ...


class _NoReadOffsets(dict[TP, int | None]):
    """Faust's read offsets, blind for batched topics: it would drop, silently, what a seek back reads again."""

    def __init__(self, batched: frozenset[str]) -> None:
        super().__init__()
        self._batched = batched

    def __getitem__(self, tp: TP) -> int | None:
        return None if tp.topic in self._batched else self.get(tp)


class BatchConsumer(driver.Consumer):
    """Faust's consumer with chunks for the batched topics."""

    RebalanceListener = RebalanceListener
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
        """Hands over the chunks of one poll, then yields its plain records in Faust's round robin.

        Chunks go to the conductor from here: Faust's loop around this generator spends four tasks on every message.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = set(self._get_active_partitions())
        if not active:
            await asyncio.sleep(IDLE_SECONDS)
            return
        ready = self._thread.ready == self._thread.generation
        room = self.feed.room() if ready else 0
        poll = await self._thread.poll(active, room=room, seconds=POLL_SECONDS if room else 0)
        if poll is None:
            if not room:
                await (self.feed.wait_until_wanted(POLL_SECONDS) if ready else asyncio.sleep(IDLE_SECONDS))
            return
        # After a revocation everything is read again from the positions of the next assignment.
        if self.should_stop or not self.flow_active:
            return
        if poll.chunks:
            self.feed.poll_delivered(poll.number, sum(len(chunk.records) for chunk in poll.chunks))
        for chunk in poll.chunks:
            await self.callback(_message(chunk, poll.kafka_generation))
        for tp, record in self.scheduler.iterate(poll.plain):
            if not self.flow_active or self.app.consumer_generation_id != poll.kafka_generation:
                return
            yield tp, self._to_message(tp, record)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Plain topics go to Kafka's offsets, batched ones to where the feed says.

        Faust calls it outside the group's protocol: a rebalance may overtake it at every await, and Faust resumes the
        flow all the same. Then nothing is read until this was called for the newest assignment.
        A seek that takes longer than its request timeout Faust cancels, and then waits for ever, silently.
        """
        generation = self._thread.generation
        try:
            async with asyncio.timeout(cast("BatchTransport", self.transport).config.request_timeout * 0.9):
                return await self._seek_for(generation)
        except BaseException as error:
            if self._thread.in_force(generation):
                self.feed.not_positioned(error)
            elif isinstance(error, TimeoutError):  # overtaken meanwhile: Faust, which would die of it, calls again
                log.warning("the place to read from was not found in time", reason="a rebalance came meanwhile")
                return {}
            raise

    async def _seek_for(self, generation: int) -> Mapping[TP, int]:
        committed = dict(await super().seek_to_committed())
        tps = [(tp.topic, tp.partition) for tp in self.assignment() if tp.topic in self._batched]
        if self._thread.in_force(generation):
            known = {(tp.topic, tp.partition): offset for tp, offset in committed.items() if offset and offset > 0}
            await self._take_place(generation, tps, await self.feed.resume_positions(tps, known))
        return committed

    async def _take_place(
        self, generation: int, tps: Collection[TopicPartition], wanted: Mapping[TopicPartition, int]
    ) -> None:
        if not self._thread.in_force(generation):
            return
        await self._thread.seek_batched(wanted)
        found = {tp: cast("int", await self.position(_aio(tp))) for tp in tps if tp not in wanted}
        if self._thread.in_force(generation):
            self.feed.assigned(generation, {**wanted, **found})
            self._thread.ready = generation

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Tell the feed also of an assignment without partitions: Faust looks for no place to read from then."""
        await super().on_partitions_assigned(assigned, generation_id)
        if self._batched.isdisjoint(tp.topic for tp in assigned):
            await self.feed.none_assigned()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop reading, let the feed finish and commit, then the rest of Faust."""
        self.stop_flow()
        await self.feed.revoked([(tp.topic, tp.partition) for tp in ensure_TPset(revoked) if tp.topic in self._batched])
        await super().on_partitions_revoked(revoked)

    @property
    def unplaced(self) -> float:
        """Seconds since partitions were assigned that have no position yet; 0 when all have theirs."""
        since, placed = self._thread.assigned_at, self._thread.ready == self._thread.generation
        return 0.0 if placed or since is None else monotonic() - since

    @property
    def ends(self) -> Mapping[TopicPartition, End]:
        """See `BatchConsumerThread.ends`."""
        return self._thread.ends

    @property
    def answered(self) -> float:
        """See `BatchConsumerThread.answered`."""
        return self._thread.answered

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
