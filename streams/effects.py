"""The effects of a decision, in the order that keeps every promise: bury, commit, publish.

Dead letters are confirmed before the fences move past their records; changes and examples go out after the commit
that put them in the outbox; what Kafka confirmed is trimmed by the next commit of the bucket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from time import monotonic
from typing import Final

import orjson

from schemas.codec import OutputCodec
from schemas.errors import StaleCommitError
from schemas.results import BucketClaim, BucketCommit, OutgoingMessage, ProfileUpdate
from sinks.kafka import Publisher
from sinks.profiles import ProfileStore
from sinks.windows import windows
from streams import metrics
from streams.boundaries import Hook
from streams.decision import Decision, clock_of, commits_of, letter_message, unpack_message, update_message
from streams.ownership import OwnedPartition, buckets_of, outbox_of

SWEEP_SECONDS: Final = 1.0
"""How far the fences of buckets that no event touches may lie behind, while others are busy."""


PROFILES_A_TRANSACTION: int = 2_000
"""About; one fsync each. While one with all 15 000 of a large batch ran, readers of Redis waited for up to 0.6 s."""


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

    async def commit(self, decision: Decision, owned: Collection[OwnedPartition], hook: Hook) -> None:
        """One atomic commit a touched bucket, many in one round trip; once a second the other `owned` ones go along.

        Raises StaleCommitError when one is refused.
        """
        swept = owned if self.sweep_is_due() else ()
        if swept:
            self._swept = monotonic()
        owners = [*decision.owners, *swept]  # as they are now: `owned` may change between the parts
        for commits in windows(commits_of(decision, swept), _profiles, PROFILES_A_TRANSACTION):
            await self._apply(commits, owners)
            hook("part")
            _count_in(decision, commits)
        for owner, part in decision.slices:
            owner.applied[part.fence] = part.next - 1

    async def publish_decision(self, decision: Decision) -> None:
        """Changes, examples and profile updates of a committed decision; confirmed ones may be trimmed then."""
        messages = [message for sent in decision.messages.values() for message in sent]
        await self.publish([*_clocks_last(messages), *decision.updates])
        buckets = buckets_of(decision.owners)
        for number, positions in decision.outbox.items():
            buckets[number].confirmed += positions
        for number, versions in decision.published.items():
            buckets[number].published += versions
        if decision.clocks:
            await asyncio.to_thread(self._store.note_clock, decision.clocks)

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send and wait until every message is confirmed."""
        if messages:
            await asyncio.to_thread(self._publisher.publish, messages)

    async def resend(self, claims: Sequence[BucketClaim], owner: OwnedPartition) -> None:
        """What was committed and, as far as Redis knows, not published: same ids, same content, before anything new."""
        left = outbox_of(claims)
        messages = [unpack_message(packed) for _, _, packed in left]
        metrics.OUTBOX_MESSAGES.inc(len(messages))
        try:
            await self.publish([*_clocks_last(messages), *await self._unpublished(claims, owner)])
        finally:
            metrics.OUTBOX_MESSAGES.dec(len(messages))
        for bucket, position, _ in left:
            owner.buckets[bucket].confirmed.append(position)
        clocks = {int(m.key or b"0"): instant for m in messages if (instant := clock_of(m)) is not None}
        if clocks:
            await asyncio.to_thread(self._store.note_clock, clocks)

    async def _unpublished(self, claims: Iterable[BucketClaim], owner: OwnedPartition) -> list[OutgoingMessage]:
        """Updates of the profiles whose last version nobody has seen confirmed: the state is their outbox."""
        places = [(claim.bucket, customer) for claim in claims for customer in claim.dirty]
        found = await asyncio.to_thread(self._store.read_traits, places) if places else []
        updates = []
        for (bucket, customer), stored in zip(places, found, strict=True):
            if stored is not None:
                version, traits = stored
                as_of = orjson.loads(traits)["as_of"]
                updates.append(update_message(ProfileUpdate(customer, version, as_of, traits), self._codec))
                owner.buckets[bucket].published.append((customer, version))
        return updates

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


def _count_in(decision: Decision, commits: Iterable[BucketCommit]) -> None:
    """These are committed: their messages are in the outbox."""
    for commit in commits:
        if commit.outbox:
            decision.outbox[commit.bucket] = [position for position, _ in commit.outbox]
            metrics.OUTBOX_MESSAGES.inc(len(commit.outbox))


def count_out(decision: Decision) -> None:
    """Its messages are confirmed, or will be read back from the outbox."""
    metrics.OUTBOX_MESSAGES.dec(sum(map(len, decision.outbox.values())))


def _clocks_last(messages: Sequence[OutgoingMessage]) -> list[OutgoingMessage]:
    """A clock message says that every label up to its instant is in: it goes after all of them."""
    return sorted(messages, key=lambda message: clock_of(message) is not None)


def _profiles(commit: BucketCommit) -> int:
    return len(commit.profiles)
