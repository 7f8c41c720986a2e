"""The work at hand: one poll, tick or mending at a time, and how whoever must interrupt it comes to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from streams.kafka.watchdog import WORK, Watchdog


class WorkAtHand:
    """What is done under one lock, watched, and neither left alone nor run beside anything else."""

    def __init__(self, watchdog: Watchdog, stall_timeout: float) -> None:
        self.lock = asyncio.Lock()
        """Held by whoever works, and by whoever changes what is assigned."""
        self.torn = False
        """Whether work was cut off: nothing may build on half of it until all that is in memory was let go."""
        self.gave_way = False
        """Whether the work at hand ended early, because all that is held is given up."""
        self._watchdog = watchdog
        self._stall_timeout = stall_timeout
        self._task: asyncio.Future[None] | None = None
        self._leaving = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is at work."""
        return self._task is None

    @property
    def leaving(self) -> bool:
        """Whether all that is held is being given up."""
        return self._leaving > 0

    def alive(self) -> None:
        """The work waits for a server on purpose: the watchdog is not to take it for hung."""
        if self._task is not None:
            self._watchdog.expect(WORK, self._stall_timeout)

    def gives_way(self) -> bool:
        """Asked by the work between two of its parts: whether to end here. A yes is remembered."""
        if self.leaving:
            self.gave_way = True
        return self.gave_way

    async def run(self, work: Awaitable[None]) -> BaseException | None:
        """Do this work to its end; the caller has the lock. What it raised; null also when it was cut off."""
        self._watchdog.expect(WORK, self._stall_timeout)
        self.gave_way = False
        self._task = asyncio.ensure_future(work)
        try:
            await _to_its_end(self._task)
            return None if self._task.cancelled() else self._task.exception()
        finally:
            self._task = None
            self._watchdog.done(WORK)

    @asynccontextmanager
    async def ended(self, patience: float, *, leaving: bool) -> AsyncIterator[bool]:
        """The lock, when the work at hand has ended; whether it had to be cut off for that, after `patience` seconds.

        While everything held is given up (`leaving`) the work is told so when it asks.
        """
        self._leaving += leaving
        try:
            cut = await self._take_lock(patience)
            try:
                yield cut
            finally:
                self.lock.release()
        finally:
            self._leaving -= leaving

    async def _take_lock(self, patience: float) -> bool:
        cut = False
        try:
            async with asyncio.timeout(patience):
                await self.lock.acquire()
        except TimeoutError:
            cut = self._task is not None and self._task.cancel()
            self.torn = cut  # polls and ticks that wait for the lock must not build on half of what was cut
            await self.lock.acquire()
        return cut


async def _to_its_end(work: asyncio.Future[None]) -> None:
    """Whoever waits may be cancelled; the work goes on and must not be left alone, or others would run beside it."""
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
