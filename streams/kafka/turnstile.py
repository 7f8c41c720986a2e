"""Back-pressure: how many polls may be handed out and not finished."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from streams.kafka.config import KafkaConfig


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

    def __len__(self) -> int:
        """Polls handed out and not finished."""
        return len(self._out)

    @property
    def open(self) -> bool:
        """Whether another poll may be handed out."""
        return len(self._out) < (self._config.polls_ahead if self._large else 1)

    def enter(self, number: int, records: int) -> None:
        """A poll of so many records is handed out."""
        self._out.add(number)
        self._large = records >= self._config.small_poll

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
