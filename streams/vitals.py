"""What every role that reads with a group shows about itself once a second: that it lives, its lag, its queues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

from streams import metrics
from streams.kafka.chunks import TopicPartition
from streams.settings import HealthSettings

LOOK_SECONDS: Final = 1.0
STANDS_BY: Final = "none are assigned: idle, the group has a member for each; it takes over from one that leaves"
"""What /readyz says of a worker without partitions."""


class Observed(Protocol):
    """The part of `Worker` that is looked at."""

    @property
    def handed_out(self) -> int: ...
    def lag(self) -> Mapping[TopicPartition, int]: ...
    def fail(self, error: BaseException) -> None: ...


class Backlog:
    """Keeps a role from being ready while too much is unread.

    It begins beyond `limit` records and ends at half of them: a role at the edge would flap.
    """

    def __init__(self, health: metrics.Health, limit: int) -> None:
        self._health = health
        self._limit = limit
        self._behind = False

    def look(self, records: int) -> None:
        """So many are unread."""
        self._behind = records > (self._limit // 2 if self._behind else self._limit)
        if self._behind:
            self._health.not_ready(
                "lag", f"{records} records are unread, the limit is {self._limit}; ready at {self._limit // 2}"
            )
        else:
            self._health.ready("lag")


class Vitals:
    """Looks at a worker from within its event loop. `show` sets what else the role shows."""

    def __init__(
        self,
        worker: Observed,
        health: metrics.Health,
        limits: HealthSettings,
        show: Callable[[], None] = lambda: None,
    ) -> None:
        self._worker = worker
        self._health = health
        self._backlog = Backlog(health, limits.max_lag_records)
        self._show = show

    def look(self) -> None:
        """One look; the loop that gets here turns."""
        self._health.beat()
        lag = self._worker.lag()
        metrics.show_only(metrics.LAG_RECORDS, lag)
        metrics.HANDED_OUT_POLLS.set(self._worker.handed_out)
        self._backlog.look(sum(lag.values()))
        self._show()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look once a second for as long as this is open. What goes wrong while looking ends the worker."""
        looking = asyncio.create_task(self._go_on_looking())
        try:
            yield
        finally:
            looking.cancel()

    async def _go_on_looking(self) -> None:
        try:
            while True:
                self.look()
                await asyncio.sleep(LOOK_SECONDS)
        except Exception as error:  # noqa: BLE001
            self._worker.fail(error)
