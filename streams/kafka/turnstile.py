"""Back-pressure: how many polls may be handed out and not finished, and how large the next one may be."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import Final

from streams.kafka.config import KafkaConfig

FIRST: Final = 4
"""The first poll is a part of the largest: nothing is known yet, and no profile is in memory."""
LEAST: Final = 40
"""The smallest part of the largest: fixed costs would be most of it."""


class Pace:
    """How many records a poll may bring: as many as are worked off in about the configured seconds.

    Partitions change hands only when the poll at work has ended. What it takes depends on the machine, the rules, and
    how many profiles must be loaded first: most of them, after a start.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._seconds = config.poll_seconds
        self._most = config.max_poll_records
        self._least = max(1, self._most // LEAST)
        self.records = self._most if self._seconds == inf else max(1, self._most // FIRST)

    def note(self, records: int, seconds: float) -> None:
        """So many took so long."""
        fitting = records / seconds * self._seconds if seconds else inf
        if fitting < self.records or records >= self.records // 2:  # a small poll that was quick says nothing
            self.records = int(max(self._least, min(self._most, fitting, 2 * self.records)))


class Turnstile:
    """Lets polls through while there is room.

    After a small poll just one is out: what comes meanwhile joins the next poll instead of waiting behind one that was
    read early.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._out: set[int] = set()
        self._large = False
        self._changed = asyncio.Event()
        self.pace = Pace(config)

    def __len__(self) -> int:
        """Polls handed out and not finished."""
        return len(self._out)

    @property
    def room(self) -> int:
        """Records that the next poll may bring; 0: none is wanted now."""
        return self.pace.records if self.open else 0

    @property
    def open(self) -> bool:
        """Whether another poll may be handed out."""
        return len(self._out) < (self._config.polls_ahead if self._large else 1)

    def enter(self, number: int, records: int) -> None:
        """A poll of so many records is handed out."""
        self._out.add(number)
        self._large = records >= min(self._config.small_poll, self.pace.records)

    def leave(self, number: int) -> None:
        """It is finished."""
        self._out.discard(number)
        self._changed.set()

    def clear(self) -> None:
        """Whatever is still out belongs to an earlier assignment and counts no more."""
        self._out.clear()
        self._changed.set()

    async def wait(self, seconds: float) -> None:
        """Return when it may have opened, or after `seconds`."""
        self._changed.clear()
        if not self.open:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)
