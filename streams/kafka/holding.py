"""What a worker holds of the batched topics: taken over on assignment, given up on revocation and at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Protocol

import structlog

from schemas.errors import StalledError
from streams.kafka.at_hand import WorkAtHand
from streams.kafka.chunks import ChunkGate, TopicPartition
from streams.kafka.config import KafkaConfig
from streams.kafka.handlers import Handlers
from streams.kafka.receipts import Receipts
from streams.kafka.turnstile import Turnstile

log = structlog.get_logger(__name__)


class Owner(Protocol):
    """Who is told, and asked."""

    @property
    def stopping(self) -> bool:
        """Whether an orderly end was asked for."""
        ...

    def fail(self, error: BaseException) -> None:
        """End the role with this error."""
        ...

    def went_wrong(self, error: BaseException) -> None:
        """A handler failed."""
        ...

    async def commit(self) -> None:
        """Commit what is acknowledged."""
        ...


class Holding:
    """The transport's counterpart (transport.Feed): how much is wanted, and whose the partitions are."""

    def __init__(
        self, owner: Owner, config: KafkaConfig, handlers: Handlers, at_hand: WorkAtHand, receipts: Receipts
    ) -> None:
        self.gate = ChunkGate()
        self.turnstile = Turnstile(config)
        self.committed: Mapping[TopicPartition, int] = {}
        """Offsets the group had committed when partitions were assigned last, of those it had read anything of."""
        self.joined = asyncio.Event()
        """Set while partitions are assigned and positioned."""
        self._owner = owner
        self._rebalance_timeout = config.rebalance_timeout
        self._handlers = handlers
        self._at_hand = at_hand
        self._receipts = receipts
        self._held: set[TopicPartition] = set()

    # -- called by the transport ---------------------------------------------------------------------------------

    def room(self) -> int:
        """Records that another poll may bring; 0: none is wanted now. Back-pressure."""
        return 0 if self._owner.stopping else self.turnstile.room

    async def wait_until_wanted(self, seconds: float) -> None:
        """Return when a poll was finished, or after `seconds`."""
        await self.turnstile.wait(seconds)

    def poll_delivered(self, number: int, records: int) -> None:
        """Count a poll until it is finished."""
        self.turnstile.enter(number, records)

    async def resume_positions(
        self, tps: Collection[TopicPartition], committed: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Ask the role where to read on. A role that cannot say ends."""
        async with self._at_hand.lock:
            try:
                await self._let_overtaken_go(tps)
                self._held.update(tps)
                self.committed = committed
                return await self._handlers.on_assigned(tps)
            except Exception as error:
                self._owner.fail(error)
                raise

    async def none_assigned(self) -> None:
        """Tell the role that it stands by."""
        with suppress(Exception):  # it has ended the role; raised here it would only end Faust, too
            await self.resume_positions((), {})

    def not_positioned(self, error: BaseException) -> None:
        """End the role: it would live and read nothing. A stop that cuts the search for a place off is none of that."""
        if isinstance(error, asyncio.CancelledError | TimeoutError):
            error = StalledError("standstill", "no place to read from was found for the assigned partitions in time")
        if not self._owner.stopping:
            self._owner.fail(error)

    def assigned(self, generation: int, positions: Mapping[TopicPartition, int]) -> None:
        """Open the gate for a generation."""
        self.gate.assign(generation, positions)
        self._receipts.assign(positions)
        self.turnstile.clear()
        self.joined.set()

    async def revoked(self, tps: Collection[TopicPartition]) -> None:
        """Let the work at hand finish, commit, and give the partitions up."""
        if not await self._give_up(tps, self._rebalance_timeout * 0.8):
            log.warning("work at hand outlived the rebalance timeout and was cancelled")

    # -- giving up -----------------------------------------------------------------------------------------------

    async def give_up_all(self, patience: float) -> bool:
        """Whether the work at hand came to its end by itself; after `patience` seconds it is cancelled."""
        return await self._give_up([*self._held], patience)

    async def _give_up(self, tps: Collection[TopicPartition], patience: float) -> bool:
        async with self._at_hand.ended(patience, leaving=self._held.issubset(tps)) as cut:
            await self._let_go(tps)
        return not cut

    async def _let_overtaken_go(self, tps: Collection[TopicPartition]) -> None:
        """A rebalance may revoke an assignment before it is taken over: then what it took over is given up here."""
        overtaken = self._held.difference(tps)
        self._held.difference_update(overtaken)
        if overtaken:
            await self._tell_revoked(overtaken)

    async def _let_go(self, tps: Collection[TopicPartition]) -> None:
        await self._receipts.settle()
        await self._owner.commit()
        self.joined.clear()
        self.gate.revoke(tps)
        self._receipts.acks.assign({})
        held = [tp for tp in tps if tp in self._held]
        self._held.difference_update(held)
        if held:
            await self._tell_revoked(held)
        self._at_hand.torn = False

    async def _tell_revoked(self, tps: Collection[TopicPartition]) -> None:
        try:
            await self._handlers.on_revoked(tps)
        except Exception as error:  # noqa: BLE001
            self._owner.went_wrong(error)
