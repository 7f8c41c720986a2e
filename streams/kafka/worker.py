"""The worker that runs one role on a Faust app: polls in, effects awaited, offsets last.

Handlers, ticks, assignments and revocations are ordered by one lock. Nothing connects before `run`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any, cast

import faust
import structlog
from aiokafka.errors import KafkaError

from schemas.errors import FootfallError, NewGenerationError, RetryableError, StalledError, UnreachableError
from schemas.events import Chunk
from streams.kafka.at_hand import WorkAtHand
from streams.kafka.chunks import PollAssembler, TopicPartition
from streams.kafka.clock import End
from streams.kafka.handlers import Handlers
from streams.kafka.holding import Holding
from streams.kafka.receipts import Receipts
from streams.kafka.standstill import KIND_OF, Standstill
from streams.kafka.transport import BatchConsumer, BatchTopic, BatchTransport
from streams.kafka.watchdog import STOP, STOP_TWICE, Watchdog

__all__ = ["Handlers", "Worker"]

log = structlog.get_logger(__name__)


class Worker:
    """Runs one role: gate, polls, ticks, acknowledgements, commits, an orderly end."""

    def __init__(
        self,
        app: faust.App,
        handlers: Handlers,
        hook: Callable[[str], None] = lambda _step: None,
        watchdog: Watchdog | None = None,
    ) -> None:
        """Whoever brings a watchdog closes it, when the event loop has ended too: that waits for every thread."""
        transport = cast("BatchTransport", app.transport)
        self.app = app
        self.config = transport.config
        self.watchdog = watchdog or Watchdog()
        self.watchdog.tell = self._tell
        self._watched_on = watchdog is not None
        self._handlers = handlers
        self._hook = hook
        self._receipts = Receipts(self, hook)
        self._at_hand = WorkAtHand(self.watchdog, self.config.stall_timeout)
        self._holding = Holding(self, self.config, handlers, self._at_hand, self._receipts)
        self._assembler = PollAssembler()
        self._standstill = Standstill(self.config.silence_timeout)
        self._mending: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        transport.feed = self._holding
        topic = BatchTopic(app, topics=tuple(transport.batched), acks=False)
        app.agent(topic, name="feed")(self._agent)

    # -- for the role ------------------------------------------------------------------------------------------

    @property
    def joined(self) -> asyncio.Event:
        """Set while partitions are assigned and positioned."""
        return self._holding.joined

    @property
    def committed(self) -> Mapping[TopicPartition, int]:
        """Offsets the group had committed when partitions were assigned last, of those it had read anything of."""
        return self._holding.committed

    def positions(self) -> dict[TopicPartition, int]:
        """Up to where each assigned topic-partition is acknowledged."""
        return self._receipts.acks.positions()

    def lag(self) -> dict[TopicPartition, int]:
        """Records in the log, as the last fetch saw it, that are not acknowledged; empty before the assignment."""
        if not self.joined.is_set():
            return {}
        ends = self._consumer.ends
        return {tp: max(0, ends[tp][1] - done) for tp, done in self.positions().items() if tp in ends}

    def read_positions(self) -> dict[TopicPartition, int]:
        """Up to where each assigned topic-partition was handed to the role."""
        return self._holding.gate.positions()

    @property
    def handed_out(self) -> int:
        """Polls that are read and not finished."""
        return len(self._holding.turnstile)

    def read_until(self, partition: int) -> int:
        """The instant (ms) up to which every topic of this partition number is read and acknowledged; 0: unknown."""
        return self._receipts.read_until(partition)

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these topic-partitions again from there; what a buffer still holds of them is turned away.

        Called from within a handler. Chunks of these partitions in the poll at work are not acknowledged.
        """
        last = await self._consumer.seek_batched(positions)
        for tp, position in positions.items():
            self._holding.gate.seek(tp, position, last)
        self._receipts.seek(positions)

    def alive(self) -> None:
        """Said by a handler that waits for a server on purpose, so that the watchdog does not take it for hung."""
        self._at_hand.alive()

    def gives_way(self) -> bool:
        """Asked by a handler between two parts of its work: whether to end here, since all that is held is given up.

        Whoever takes over reads the poll again, which is not acknowledged after a yes.
        """
        return self._at_hand.gives_way()

    @property
    def stopping(self) -> bool:
        """Whether an orderly end was asked for."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask for an orderly end; the second time it is not asked for."""
        if self._stop.is_set():
            self.watchdog.expect(STOP_TWICE, 0)
        self._stop.set()

    def _tell(self, what: str) -> None:
        kind = KIND_OF.get(what)
        if kind is not None and self._handlers.on_stalled is not None:
            self._handlers.on_stalled(kind)

    def fail(self, error: BaseException) -> None:
        """End the role with this error; the first one counts."""
        if not self._failure.done():
            if isinstance(error, StalledError) and self._handlers.on_stalled is not None:
                self._handlers.on_stalled(error.kind)
            say = log.warning if isinstance(error, NewGenerationError) else log.error  # a switch was asked for
            say("role failed", reason=str(error), kind=type(error).__name__, exc_info=_unexpected(error))
            self._failure.set_exception(error)

    # -- the run -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until `stop` (SIGTERM, SIGINT) or a failure.

        Raises:
            UnreachableError: Kafka does not answer at the start.
            BaseException: what a handler raised.

        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        self.watchdog.start()
        chores = [asyncio.create_task(chore) for chore in (self._boot(), self._commits(), self._ticks())]
        for chore in chores:
            chore.add_done_callback(self._chore_ended)
        try:
            stopped = asyncio.create_task(self._stop.wait())
            ends: list[asyncio.Future[Any]] = [stopped, self._failure]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            await self._end(chores)
        finally:
            if not self._watched_on:
                self.watchdog.close()
        if self._failure.done():
            self._failure.result()

    def _chore_ended(self, chore: asyncio.Task[None]) -> None:
        """A chore that fails unseen would leave a role that looks alive and commits, or ticks, no more."""
        if not chore.cancelled() and (error := chore.exception()) is not None:
            self.fail(error)

    async def _boot(self) -> None:
        try:
            await self.app.start()
            await self.app._crashed.wait()  # noqa: SLF001
            error = self.app.crash_reason
        except Exception as raised:  # noqa: BLE001
            error = raised
        if isinstance(error, KafkaError | OSError) and not self._holding.gate.generation:
            error = UnreachableError(
                f"Kafka does not answer at {self.config.bootstrap}; check the setting of its address ({error})."
            )
        self.fail(error or RuntimeError("the Kafka client stopped by itself"))

    async def _end(self, chores: list[asyncio.Task[None]]) -> None:
        self.watchdog.expect(STOP, self.config.drain_timeout)
        if self._consumer_or_none is not None:
            self._consumer.stop_flow()
        for chore in chores:
            chore.cancel()
        if not await self._holding.give_up_all(self.config.drain_timeout * 0.7):
            self.fail(RetryableError("stopped in the middle of a poll; the next start reads it again"))
        await self.app.stop()

    @property
    def _consumer(self) -> BatchConsumer:
        return cast("BatchConsumer", self.app.consumer)

    @property
    def _consumer_or_none(self) -> Any:
        return self.app._consumer  # noqa: SLF001

    # -- polls and ticks ---------------------------------------------------------------------------------------

    async def _agent(self, stream: Any) -> None:
        async for chunk in stream.noack():
            whole = self._assembler.add(chunk)
            if whole is not None:
                await self._run_poll(whole)

    async def _run_poll(self, chunks: list[Chunk]) -> None:
        """Never raises: an exception would restart the agent beside its dead generator, which goes on eating."""
        try:
            async with self._at_hand.lock:
                await self._exclusive(self._apply(chunks))
        finally:
            self._holding.turnstile.leave(chunks[0].poll)

    async def _apply(self, chunks: list[Chunk]) -> None:
        accepted = [chunk for chunk in chunks if self._holding.gate.accept(chunk)]
        if not accepted:
            return
        self._receipts.begin()
        began = monotonic()
        effects = await self._handlers.handle_poll(accepted)
        if self._at_hand.gave_way:  # the poll is not through: whoever is assigned next reads it again
            accepted = []
        else:
            self._holding.turnstile.pace.note(sum(len(chunk.records) for chunk in accepted), monotonic() - began)
        await self._receipts.follow(effects, accepted)

    async def _ticks(self) -> None:
        while self._handlers.tick is not None:
            await asyncio.sleep(self._handlers.tick_seconds)
            async with self._at_hand.lock:
                if self.joined.is_set():
                    await self._exclusive(self._tick(self._handlers.tick))

    async def _tick(self, tick: Callable[[], Awaitable[asyncio.Future[None] | None]]) -> None:
        effects = await tick()
        if effects is not None:
            await self._receipts.follow(effects, [])

    async def _exclusive(self, work: Awaitable[None], *, mending: bool = False) -> None:
        if self._stop.is_set() or ((self.doubtful or self._at_hand.leaving) and not mending):
            cast("Any", work).close()
        elif (error := await self._at_hand.run(work)) is not None:
            self.went_wrong(error)

    # -- after an effect failed ----------------------------------------------------------------------------------

    @property
    def doubtful(self) -> bool:
        """Whether what is in memory may be wrong: nothing is handled or acknowledged until it is mended or let go."""
        return self._failure.done() or self._at_hand.torn or self._mending is not None

    def went_wrong(self, error: BaseException) -> None:
        """Go back to what is stored, if the same may succeed later; else end the role."""
        temporary = isinstance(error, RetryableError | UnreachableError) and not self._stop.is_set()
        if not temporary or self._handlers.recover is None:
            self.fail(error)
        elif not self.doubtful:
            log.warning("going back to what is stored", reason=str(error))
            self._mending = asyncio.create_task(self._mend(cast("FootfallError", error)))

    async def _mend(self, error: FootfallError) -> None:
        async with self._at_hand.lock:
            await self._exclusive(self._go_back(error), mending=True)
            self._mending = None

    async def _go_back(self, error: FootfallError) -> None:
        assert self._handlers.recover is not None
        try:
            await self._receipts.settle()
            await self.seek(await self._handlers.recover(error))
        except Exception as raised:  # noqa: BLE001  mending itself is not mended: the next start is
            self.fail(raised)

    # -- offsets -----------------------------------------------------------------------------------------------

    async def _commits(self) -> None:
        while True:
            await asyncio.sleep(self.config.commit_interval)
            await self.commit()
            self._notice_standstill()

    def _notice_standstill(self) -> None:
        """Ends the role when nothing moves although something should; only a new process cures that."""
        now, consumer = monotonic(), self._consumer_or_none
        if consumer is not None and consumer.unplaced > self.config.request_timeout:
            self.fail(StalledError("standstill", f"partitions without a position for {consumer.unplaced:.0f} s"))
        if not self._at_hand.idle or len(self._receipts) or self.doubtful or not self.joined.is_set():
            self._standstill.excuse(now)
            return
        ends = {tp: end for tp, (_, end) in self._consumer.ends.items()}
        answered = self._consumer.answered if self._holding.room() else None
        wrong = self._standstill.look(now, answered, ends, self.positions())
        if wrong is not None:
            self.fail(StalledError(*wrong))

    def ends(self) -> Mapping[TopicPartition, End]:
        """Where the logs ended when they were last fetched."""
        return self._consumer.ends

    async def commit(self) -> None:
        """Commit what is acknowledged. It is a hint to Kafka, so a failure is logged and tried again later."""
        offsets = self._receipts.acks.committable()
        if not offsets:
            return
        try:
            await self._consumer.commit_batched(offsets)
        except KafkaError as error:
            log.warning("offsets not committed", reason=str(error))
        else:
            self._receipts.acks.committed(offsets)
            self._hook("offsets")


def _unexpected(error: BaseException) -> bool:
    return not isinstance(error, FootfallError)
