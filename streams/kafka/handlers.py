"""What a role gives to the worker that runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from schemas.errors import FootfallError
from schemas.events import Chunk
from streams.kafka.chunks import TopicPartition


@dataclass(frozen=True, slots=True)
class Handlers:
    """What a role does. None of these ever runs beside another: one lock orders them."""

    handle_poll: Callable[[list[Chunk]], Awaitable[asyncio.Future[None] | None]]
    """Does everything one poll asks for. Its chunks are acknowledged when it returns; when it returns a future (effects
    still on their way while the next poll is read), when that ends. Assignment, revocation and stop wait for these."""
    on_assigned: Callable[[Collection[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]
    """Takes over these topic-partitions; returns where to read on. Absent ones: Kafka's offset, or the start.
    Called with none where the group has more members than partitions: the role stands by."""
    on_revoked: Callable[[Collection[TopicPartition]], Awaitable[None]]
    """Gives them up; also called before a stop. A poll that outlived the rebalance timeout was cancelled before."""
    tick: Callable[[], Awaitable[asyncio.Future[None] | None]] | None = None
    """Called between polls; returns null, or a future as a poll does."""
    tick_seconds: float = 1.0
    recover: Callable[[FootfallError], Awaitable[Mapping[TopicPartition, int]]] | None = None
    """Called after an effect failed that may succeed later: nothing more is handed over, nothing unconfirmed will be
    acknowledged. Drops what is in memory, waits until the servers answer, and returns where to read on. Null: the role
    ends instead."""
    on_stalled: Callable[[str], None] | None = None
    """Told the kind of a standstill (standstill.py) right before the process ends because of it, from any thread."""
