"""What was handed to a role and how far it is done: effects on their way, acknowledgements in order, offsets last."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from schemas.events import Chunk
from streams.kafka.chunks import Acks, TopicPartition, tp_of
from streams.kafka.clock import End, ReadClock, append_time


class Owner(Protocol):
    """Who is told, and asked."""

    @property
    def doubtful(self) -> bool:
        """Whether what is in memory may be wrong: then nothing is acknowledged."""
        ...

    def went_wrong(self, error: BaseException) -> None:
        """Effects failed."""
        ...

    def ends(self) -> Mapping[TopicPartition, End]:
        """Where the logs ended when they were last fetched."""
        ...


class Receipts:
    """Acknowledges chunks when their effects are through, in strict order."""

    def __init__(self, owner: Owner, hook: Callable[[str], None]) -> None:
        self.acks = Acks()
        self._clock = ReadClock()
        self._owner = owner
        self._hook = hook
        self._sought: set[TopicPartition] = set()
        self._on_their_way: deque[tuple[asyncio.Future[None], list[Chunk]]] = deque()

    def __len__(self) -> int:
        """Effects on their way."""
        return len(self._on_their_way)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Begin anew: everything before these positions is done."""
        self.acks.assign(positions)
        self._clock.assign(positions)

    def begin(self) -> None:
        """A poll is handed over."""
        self._sought.clear()

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """These are read again from there; the chunks at work of them are not acknowledged."""
        for tp, position in positions.items():
            self.acks.seek(tp, position)
            self._clock.seek(tp, position)
            self._sought.add(tp)

    def read_until(self, partition: int) -> int:
        """The instant (ms) up to which every topic of a partition number is acknowledged; 0: unknown."""
        self._clock.observe(self._owner.ends())
        return self._clock.read_until(partition)

    async def follow(self, effects: asyncio.Future[None] | None, chunks: list[Chunk]) -> None:
        """Acknowledge the chunks when their effects are through; at once when nothing is on its way."""
        if effects is None:
            await self.settle()
            self._acknowledge(chunks)
        else:
            self._on_their_way.append((effects, chunks))
            effects.add_done_callback(self._ended)

    async def settle(self) -> None:
        """Wait until no effects are on their way."""
        while self._on_their_way:
            await asyncio.wait([effects for effects, _ in self._on_their_way])
            self._ended(None)

    def _ended(self, _: object) -> None:
        """Acknowledge what is through, in order; what failed is told."""
        while self._on_their_way and self._on_their_way[0][0].done():
            effects, chunks = self._on_their_way.popleft()
            error = None if effects.cancelled() else effects.exception()
            if error is not None:
                self._owner.went_wrong(error)
            elif not effects.cancelled() and not self._owner.doubtful:
                self._acknowledge(chunks)

    def _acknowledge(self, chunks: Sequence[Chunk]) -> None:
        self._clock.observe(self._owner.ends())
        for chunk in chunks:
            if tp_of(chunk) not in self._sought:
                self.acks.ack(chunk)
                self._clock.advance(tp_of(chunk), chunk.next, append_time(chunk))
        self._hook("ack")
