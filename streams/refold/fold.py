"""The fold into the shadow: the same journey as in production, on another generation of keys, publishing nothing."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from processors.dedup import Seen
from schemas.partitioning import buckets_of_partition
from schemas.results import OutgoingMessage
from schemas.topics import INPUT_TOPICS
from sinks.generations import REPLAY_TOKEN
from sinks.kafka import Publisher
from sinks.profiles import ProfileStore
from streams.journey import Journey
from streams.ownership import OwnedPartition, owned_partition
from streams.refold.bounds import Bound
from streams.refold.log import MergedLog, Reader, Terms
from streams.settings import Settings
from streams.slices import Aligner

Owners = dict[int, tuple[int, str]]
"""Bucket -> epoch and token under which it is claimed."""


class Suppressed(Publisher):
    """Confirms every message and sends none: what came of these records was published when they were first folded."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Topic -> messages that were not sent."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Count them."""
        self.counts.update(message.topic for message in messages)


class Refold:
    """Folds partition numbers up to where they are asked for, each from where the shadow stands."""

    def __init__(
        self, settings: Settings, store: ProfileStore, journey: Journey, readers: Mapping[str, Reader], terms: Terms
    ) -> None:
        self.owners: Owners = {}
        self.read: Counter[str] = Counter()
        """Topic -> records read."""
        self.on_progress: Callable[[int], None] = lambda _records: None
        """Called after every poll with the records read so far."""
        self._settings = settings
        self._store = store
        self._journey = journey
        self._readers = readers
        self._terms = terms
        self._token = REPLAY_TOKEN + os.urandom(8).hex()

    async def fold(self, number: int, bounds: Mapping[str, Bound]) -> None:
        """Read on up to the bounds of each topic, fold, and bring every fence there.

        Raises:
            StaleCommitError: another replay has taken the shadow over.
            RewoundError: the log ends before a bound that must be there.
            UnreachableError: a server does not answer.

        """
        owner = await self._claim(number)
        positions = {topic: owner.applied.get(self._fence(topic, number), -1) + 1 for topic in INPUT_TOPICS}
        log = MergedLog(self._readers, number, positions, bounds, self._terms)
        while chunks := await asyncio.to_thread(log.next_poll):
            await self._journey.run(chunks)
            self.read.update({chunk.topic: len(chunk.records) for chunk in chunks})
            self.on_progress(self.read.total())
        await self._journey.advance_fences()
        self._journey.forget(number)

    async def _claim(self, number: int) -> OwnedPartition:
        claims = await asyncio.to_thread(self._store.claim, self._buckets(number), self._token)
        self.owners |= {claim.bucket: (claim.epoch, self._token) for claim in claims}
        aligner = Aligner(INPUT_TOPICS, event_clock=self._settings.clock == "event")
        owner = owned_partition(number, claims, self._token, aligner, Seen(self._settings.batch.dedup_hours))
        await self._journey.resume(owner, claims)
        return owner

    def _buckets(self, number: int) -> list[int]:
        return list(buckets_of_partition(number, self._settings.kafka.partitions))

    def _fence(self, topic: str, number: int) -> str:
        return f"{self._journey.topic_ids[topic]}:{number}"
