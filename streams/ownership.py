"""What a worker knows of the buckets it owns: epochs, fences, outboxes, due lower bounds, and decoded profiles.

Redis is the truth; all of this is a copy that holds only because the worker is the only writer, which every commit
checks. A refused commit, a revoked partition or a lost answer drops it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from processors.calendar import NEVER
from processors.dedup import Seen
from processors.event import Event
from processors.gathering import at_hand
from processors.profile import Profile
from processors.redriven import OUTSIDE_TIME
from processors.weight import memory_of
from schemas.partitioning import buckets_of_partition
from schemas.results import BucketClaim, BucketCommit, FenceMove
from streams.slices import Aligner


@dataclass(slots=True)
class OwnedBucket:
    """One claimed bucket. `number`, `fences` and `outbox_next` are what Redis held after the last commit."""

    bucket: int
    epoch: int
    token: str
    number: int
    fences: dict[str, int]
    outbox_next: int
    confirmed: list[int] = field(default_factory=list)
    """Outbox positions that Kafka has confirmed; the next commit trims them."""
    published: list[tuple[str, int]] = field(default_factory=list)
    """(customer, version) of profiles that Kafka has confirmed."""
    tallied: Counter[str] = field(default_factory=Counter)
    """The committed tallies of its partition number, which all its buckets add to."""

    def moves(self, applied: dict[str, int]) -> list[FenceMove]:
        """The fence moves that bring this bucket to what its partition has applied."""
        return [
            FenceMove(name, self.fences.get(name, -1), offset)
            for name, offset in applied.items()
            if self.fences.get(name, -1) < offset
        ]

    def stale(self, applied: dict[str, int]) -> bool:
        """Whether a commit without profiles would bring anything."""
        return bool(self.confirmed or self.published or self.moves(applied))

    def committed(self, commit: BucketCommit) -> None:
        """Redis has applied this commit."""
        self.number += 1
        self.outbox_next += len(commit.outbox)
        self.fences.update((move.field, move.new) for move in commit.fences)
        self.confirmed = self.confirmed[len(commit.outbox_trim) :]
        self.published = self.published[len(commit.published) :]
        for name, n in commit.tally:
            self.tallied[name] += n


@dataclass(slots=True)
class DueHeap:
    """The profiles of one partition number that are due soon: those up to `covered`, read from Redis and kept up.

    An entry may be stale (its profile has moved on since): waking checks the profile's own `due`.
    """

    covered: int = -1
    _heap: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        """Entries, stale ones among them."""
        return len(self._heap)

    def cover(self, until: int, entries: Iterable[tuple[str, int]]) -> None:
        """Begin anew with everything that is due up to `until` (ms)."""
        self.covered = until
        self._heap = [(instant, customer) for customer, instant in entries]
        heapify(self._heap)

    @property
    def first(self) -> int:
        """The earliest entry's instant; NEVER when there is none."""
        return self._heap[0][0] if self._heap else NEVER

    def note(self, customer: str, due: int) -> None:
        """A profile has a new due instant."""
        if due <= self.covered:
            heappush(self._heap, (due, customer))

    def pop(self, upto: int, limit: int) -> list[str]:
        """At most `limit` customers with an entry at or before `upto`."""
        found: dict[str, None] = {}
        while self._heap and self._heap[0][0] <= upto and len(found) < limit:
            found[heappop(self._heap)[1]] = None
        return list(found)


@dataclass(slots=True)
class OwnedPartition:
    """One partition number: its buckets, the barrier of its topics, and what it has applied."""

    number: int
    buckets: dict[int, OwnedBucket]
    aligner: Aligner
    seen: Seen
    applied: dict[str, int] = field(default_factory=dict)
    """Fence name -> last offset applied and committed."""
    replayed: dict[str, int] = field(default_factory=dict)
    """Fence name -> the greatest fence of any bucket at the claim: beyond it nothing can be a replay."""
    due: DueHeap = field(default_factory=DueHeap)
    ticked: int = -1
    """Every profile due up to here has been woken."""
    tallied: Counter[str] = field(default_factory=Counter)
    """What all its buckets have counted, as committed: `<what>:<topic>:<partition>` -> records."""
    uncounted: Counter[str] = field(default_factory=Counter)
    """Topic -> records that were committed past without being counted: always 0, or it is a fault."""

    @property
    def lowest(self) -> OwnedBucket:
        """The bucket that clock markers and records without a usable key belong to."""
        return self.buckets[self.number]

    @property
    def lags(self) -> bool:
        """Whether some fences are before where reading begins: the log begins later than they say."""
        return any(bucket.moves(self.applied) for bucket in self.buckets.values())

    def catching_up(self, events: Sequence[Event]) -> bool:
        """Whether some of these events may have been applied before this worker claimed the buckets."""
        return any(event.offset <= self.replayed.get(event.origin, -1) for event in _earliest(events))

    def is_replay(self, fence: str, bucket: int, offset: int) -> bool:
        """Whether this bucket has applied the record already."""
        return offset <= self.replayed.get(fence, -1) and offset <= self.buckets[bucket].fences.get(fence, -1)


def _earliest(events: Sequence[Event]) -> Iterable[Event]:
    """The first event of each topic-partition: log order holds within one."""
    return {event.origin: event for event in reversed(events)}.values()


def buckets_of(owners: Iterable[OwnedPartition]) -> dict[int, OwnedBucket]:
    """The buckets of some partition numbers, by their number."""
    return {number: bucket for owner in owners for number, bucket in owner.buckets.items()}


def owned_bucket(claim: BucketClaim, token: str, tallied: Counter[str] | None = None) -> OwnedBucket:
    """What a claim found, as the start of the copy; its tallies are added to those of its partition number."""
    tallied = Counter() if tallied is None else tallied
    tallied.update(claim.tally)
    positions = [position for position, _ in claim.outbox]
    return OwnedBucket(
        bucket=claim.bucket,
        epoch=claim.epoch,
        token=token,
        number=claim.number,
        fences=dict(claim.fences),
        outbox_next=max(positions, default=-1) + 1,
        tallied=tallied,
    )


def owned_partition(
    number: int, claims: Sequence[BucketClaim], token: str, aligner: Aligner, seen: Seen
) -> OwnedPartition:
    """A partition number from the claims of all its buckets."""
    for claim in claims:
        seen.claim(claim.bucket, [hour for hour in claim.seen_hours if hour != OUTSIDE_TIME])
    tallied: Counter[str] = Counter()
    buckets = {claim.bucket: owned_bucket(claim, token, tallied) for claim in claims}
    names = {name for bucket in buckets.values() for name in bucket.fences}
    return OwnedPartition(
        number,
        buckets,
        aligner,
        seen,
        applied={name: min(b.fences.get(name, -1) for b in buckets.values()) for name in names},
        replayed={name: max(b.fences.get(name, -1) for b in buckets.values()) for name in names},
        tallied=tallied,
    )


def outbox_of(claims: Iterable[BucketClaim]) -> list[tuple[int, int, bytes]]:
    """(bucket, position, packed message) of every message not confirmed, in sequence."""
    return [(claim.bucket, position, packed) for claim in claims for position, packed in sorted(claim.outbox)]


class Profiles:
    """Decoded profiles in memory; about `limit` bytes of them between batches.

    Those not used for long go first: each gets a second chance when it was used since the last look, which costs a
    flag where a true order of use would cost three places of main memory at every use.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._kept: OrderedDict[str, Profile] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def memory(self) -> int:
        """Bytes of memory they take, estimated."""
        return self._weight

    def missing(self, customers: Iterable[str]) -> list[str]:
        """Those of the customers that are not in memory."""
        kept = self._kept
        return [customer for customer in customers if customer not in kept]

    def at_hand(self, parts: Sequence[Sequence[Event]]) -> tuple[dict[str, Profile], list[str]]:
        """The profiles of these events' customers, and the customers whose profile is not in memory."""
        return at_hand(parts, self._kept)

    def use(self, customer: str) -> Profile:
        """The profile of a customer that is in memory."""
        profile = self._kept[customer]
        profile.in_use = True
        return profile

    def put(self, profile: Profile) -> None:
        """Keep a profile, unless one is kept: that is the newer. Room is made by `trim`, never within a batch."""
        if self._kept.setdefault(profile.customer, profile) is profile:
            self._weight += profile.weight

    def weigh(self, profile: Profile, stored: int) -> None:
        """Count it as what it takes since it changed; its state has so many bytes now."""
        weight = memory_of(profile, stored)
        self._weight += weight - profile.weight
        profile.weight = weight

    def trim(self, unstored: Sequence[Container[str]]) -> None:
        """Forget what is beyond the limit, but nothing that is not stored yet."""
        for _ in range(2 * len(self._kept)):  # once around takes their chance from all
            if self._weight <= self._limit:
                return
            customer, profile = next(iter(self._kept.items()))
            if profile.in_use or any(customer in some for some in unstored):
                profile.in_use = False
                self._kept.move_to_end(customer)
            else:
                self._forget([customer])

    def _forget(self, customers: Iterable[str]) -> None:
        for customer in customers:
            self._weight -= self._kept.pop(customer).weight

    def drop(self, partition: int, partitions: int) -> None:
        """Forget every profile of a partition number: somebody else may write it from now on."""
        gone = set(buckets_of_partition(partition, partitions))
        self._forget([c for c, profile in self._kept.items() if profile.bucket in gone])
