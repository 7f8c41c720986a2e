"""The effects of a decision, in the order that keeps every promise: bury, commit, publish.

Dead letters are confirmed before the fences move past their records; changes and examples go out after the commit
that put them in the outbox; what Kafka confirmed is trimmed by the next commit of the bucket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from time import monotonic
from typing import Final

from schemas.codec import OutputCodec
from schemas.errors import StaleCommitError
from schemas.results import BucketClaim, BucketCommit, OutgoingMessage
from schemas.topics import CLOCK_HEADER, TRAINING_EXAMPLES
from sinks.kafka import Publisher
from sinks.profiles import ProfileStore
from streams import metrics
from streams.decision import Decision, commits_of, letter_message, unpack_message
from streams.ownership import OwnedPartition, buckets_of, outbox_of

SWEEP_SECONDS: Final = 1.0
"""How far the fences of buckets that no event touches may lie behind, while others are busy."""


class Effects:
    """Writes decisions to Redis and Kafka."""

    def __init__(self, store: ProfileStore, publisher: Publisher, codec: OutputCodec) -> None:
        self._store = store
        self._publisher = publisher
        self._codec = codec
        self._swept = monotonic()

    async def bury(self, decision: Decision) -> None:
        """Dead letters, confirmed."""
        await self.publish([letter_message(letter, self._codec) for letter in decision.letters])

    async def commit(self, decision: Decision, owned: Collection[OwnedPartition]) -> None:
        """One atomic commit a touched bucket, all in one round trip; once a second the other `owned` ones go along.

        Raises StaleCommitError when one is refused.
        """
        swept = owned if self.sweep_is_due() else ()
        if swept:
            self._swept = monotonic()
        await self._apply(commits_of(decision, swept), [*decision.owners, *swept])
        metrics.OUTBOX_MESSAGES.set(sum(map(len, decision.messages.values())))
        for owner, part in decision.slices:
            owner.applied[part.fence] = part.next - 1

    async def publish_decision(self, decision: Decision) -> None:
        """Changes, examples and profile updates of a committed decision; confirmed ones may be trimmed then."""
        changes = [message for messages in decision.messages.values() for message in messages]
        clocks = [_clock_message(number, instant) for number, instant in decision.clocks.items()]
        await self.publish([*changes, *decision.updates, *clocks])
        buckets = buckets_of(decision.owners)
        for number, sent in decision.messages.items():
            bucket = buckets[number]
            bucket.confirmed += range(bucket.outbox_next - len(sent), bucket.outbox_next)
        for number, versions in decision.published.items():
            buckets[number].published += versions
        metrics.OUTBOX_MESSAGES.set(0)
        if decision.clocks:
            await asyncio.to_thread(self._store.note_clock, decision.clocks)

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send and wait until every message is confirmed."""
        if messages:
            await asyncio.to_thread(self._publisher.publish, messages)

    async def resend(self, claims: Iterable[BucketClaim], owner: OwnedPartition) -> None:
        """What an earlier owner left in the outboxes: same ids, same content, before anything new."""
        left = outbox_of(claims)
        await self.publish([unpack_message(packed) for _, _, packed in left])
        for bucket, position, _ in left:
            owner.buckets[bucket].confirmed.append(position)

    def sweep_is_due(self) -> bool:
        """Whether the last one is a second old."""
        return monotonic() - self._swept >= SWEEP_SECONDS

    async def advance_fences(self, owned: Collection[OwnedPartition]) -> None:
        """Bring all buckets to what their partition has applied, and trim what was confirmed."""
        self._swept = monotonic()
        await self._apply(commits_of(Decision(), owned), owned)

    async def _apply(self, commits: Sequence[BucketCommit], owners: Iterable[OwnedPartition]) -> None:
        if not commits:
            return
        buckets = buckets_of(owners)
        outcomes = await asyncio.to_thread(self._store.commit, commits)
        for commit, outcome in zip(commits, outcomes, strict=True):
            metrics.COMMITS.labels(outcome).inc()
            if outcome != "applied":
                raise StaleCommitError(
                    f"Redis refused the commit of bucket {commit.bucket} ({outcome}): another worker owns it, or Redis "
                    "lost writes. This worker stops; started again it reads what Redis holds and goes on from there."
                )
            buckets[commit.bucket].committed(commit)


def _clock_message(number: int, instant: int) -> OutgoingMessage:
    """Tells the trainer that every label of a partition number up to this instant is in."""
    headers = [(CLOCK_HEADER, str(instant).encode())]
    return OutgoingMessage(TRAINING_EXAMPLES, str(number).encode(), None, headers, partition=0)
