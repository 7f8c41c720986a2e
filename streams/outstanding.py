"""The effects of decisions on their way: one decision's after the other's, while the next ones are folded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Final

from streams.boundaries import Hook
from streams.decision import Decision
from streams.effects import Effects
from streams.meter import Meter
from streams.ownership import OwnedPartition
from streams.poison import PoisonMemory

ON_THEIR_WAY: Final = 2
"""Decisions whose effects may be outstanding: one at work, one that waits for it."""


class Outstanding:
    """Makes decisions happen, in their order."""

    def __init__(self, effects: Effects, poison: PoisonMemory, meter: Meter, hook: Hook) -> None:
        self.last: asyncio.Task[None] | None = None
        """The effects of the last decision; they begin when those of the one before have ended."""
        self._effects = effects
        self._poison = poison
        self._meter = meter
        self._hook = hook
        self._unstored: deque[tuple[asyncio.Task[None], frozenset[str]]] = deque()

    def __len__(self) -> int:
        """Decisions whose effects are not through."""
        return sum(not effects.done() for effects, _ in self._unstored)

    @property
    def customers(self) -> list[frozenset[str]]:
        """Whose profiles are not stored yet."""
        return [customers for _, customers in self._unstored]

    async def add(self, decision: Decision, owned: Collection[OwnedPartition]) -> None:
        """One more, as soon as there is room. Raises what made an earlier one fail."""
        with self._meter.stage("wait"):
            while len(self._unstored) >= ON_THEIR_WAY:
                await _ended(self._unstored[0][0])
                self._unstored.popleft()
        self.last = asyncio.create_task(self._make_happen(decision, owned, self.last))
        self._unstored.append((self.last, frozenset(decision.changed)))

    async def settle(self) -> None:
        """Wait until none is on its way. Raises what made one fail."""
        if self.last is not None:
            await _ended(self.last)

    async def drop(self) -> None:
        """Wait until none is on its way, whatever comes of them, and forget them."""
        if self.last is not None:
            await asyncio.wait([self.last])
        self.last = None
        self._unstored.clear()

    async def _make_happen(
        self, decision: Decision, owned: Collection[OwnedPartition], after: asyncio.Task[None] | None
    ) -> None:
        """Every effect, in the order that keeps the promises."""
        if after is not None:
            await _ended(after)
        await self._effects.bury(decision)
        self._hook("bury")
        with self._meter.stage("commit"):
            await self._effects.commit(decision, owned, self._hook)
            if decision.poison is not None:  # after the fences: what is read again is counted again
                await asyncio.to_thread(self._poison.save, decision.poison)
        self._hook("commit")
        with self._meter.stage("publish"):
            await self._effects.publish_decision(decision)
        self._hook("publish")
        self._meter.finished(decision)


async def _ended(effects: asyncio.Task[None]) -> None:
    """Wait for effects. Whoever waits may be cancelled; they may not: a thread of theirs would go on alone."""
    await asyncio.wait([effects])
    effects.result()
