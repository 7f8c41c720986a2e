"""The effects of decisions on their way, in the order of the decisions, while the next ones are folded.

A decision is stored while the messages of the one before are published: the commit writes its own messages into the
outbox, whatever became of earlier ones. Between themselves commits keep their order, and so do publications.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Final, NamedTuple

from streams.boundaries import Hook
from streams.decision import Decision
from streams.effects import Effects, count_out
from streams.meter import Meter
from streams.ownership import OwnedPartition
from streams.poison import PoisonMemory

ON_THEIR_WAY: Final = 3
"""Decisions whose effects may be outstanding: one is published, one stored, and one waits."""


class _OnItsWay(NamedTuple):
    """One decision's effects."""

    stored: asyncio.Task[None]
    through: asyncio.Task[None]
    """Ends after `stored`, and after all effects of the decision before."""
    customers: frozenset[str]


class Outstanding:
    """Makes decisions happen, in their order."""

    def __init__(self, effects: Effects, poison: PoisonMemory, meter: Meter, hook: Hook) -> None:
        self._effects = effects
        self._poison = poison
        self._meter = meter
        self._hook = hook
        self._unstored: deque[_OnItsWay] = deque()

    @property
    def last(self) -> asyncio.Task[None] | None:
        """The effects of the last decision; they end when those of the ones before have."""
        return self._unstored[-1].through if self._unstored else None

    def __len__(self) -> int:
        """Decisions whose effects are not through."""
        return sum(not one.through.done() for one in self._unstored)

    @property
    def customers(self) -> list[frozenset[str]]:
        """Whose profiles are not stored yet."""
        return [one.customers for one in self._unstored]

    async def add(self, decision: Decision, owned: Collection[OwnedPartition]) -> None:
        """One more, as soon as there is room. Raises what made an earlier one fail."""
        with self._meter.stage("wait"):
            while len(self._unstored) >= ON_THEIR_WAY:
                await _ended(self._unstored[0].through)
                self._unstored.popleft()
        before = self._unstored[-1] if self._unstored else None
        stored = asyncio.create_task(self._store(decision, owned, before))
        through = asyncio.create_task(self._publish(decision, stored, before))
        self._unstored.append(_OnItsWay(stored, through, frozenset(decision.changed)))

    async def settle(self) -> None:
        """Wait until none is on its way. Raises what made one fail."""
        if self.last is not None:
            await _ended(self.last)

    async def drop(self) -> None:
        """Wait until none is on its way, whatever comes of them, and forget them."""
        if self.last is not None:
            await asyncio.wait([self.last])
        self._unstored.clear()

    async def _store(self, decision: Decision, owned: Collection[OwnedPartition], before: _OnItsWay | None) -> None:
        """Dead letters, then the commit that moves the fences past their records."""
        if before is not None:
            # Letters and messages share one producer, which tells nobody whose messages it has not delivered.
            await _ended(before.through if decision.letters else before.stored)
        await self._effects.bury(decision)
        self._hook("bury")
        with self._meter.stage("commit"):
            await self._effects.commit(decision, owned, self._hook)
            if decision.poison is not None:  # after the fences: what is read again is counted again
                await asyncio.to_thread(self._poison.save, decision.poison)
        self._hook("commit")

    async def _publish(self, decision: Decision, stored: asyncio.Task[None], before: _OnItsWay | None) -> None:
        """What the commit put in the outbox, and the profiles it wrote."""
        try:
            await _ended(*([stored] if before is None else [before.through, stored]))
            with self._meter.stage("publish"):
                await self._effects.publish_decision(decision)
        finally:
            count_out(decision)
        self._hook("publish")
        self._meter.finished(decision)


async def _ended(*effects: asyncio.Task[None]) -> None:
    """Wait for effects, all of them. Raises what made the first of them fail.

    Whoever waits may be cancelled; they may not: a thread of theirs would go on alone.
    """
    await asyncio.wait(effects)
    for error in [one.exception() for one in effects]:  # asked of all: one that nobody asked for would be logged
        if error is not None:
            raise error
