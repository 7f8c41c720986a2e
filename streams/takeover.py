"""Taking partition numbers over, and going back to what Redis holds of them after an effect failed.

Both end alike: the owner's copy is made from what Redis answers, what was committed and not published goes out first,
and reading goes on after the lowest fence. A takeover claims (raises the epoch); going back only looks, and gives up
when somebody else has claimed meanwhile: only whom Kafka assigns a partition may claim it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeVar

import structlog

from processors.dedup import Seen
from schemas.errors import (
    ClaimLostError,
    FootfallError,
    ForeignTopicError,
    NewGenerationError,
    RetryableError,
    RewoundError,
    StaleCommitError,
    UnreachableError,
)
from schemas.partitioning import buckets_of_partition
from schemas.results import BucketClaim
from schemas.topics import INPUT_TOPICS
from sinks.generations import REPLAY_TOKEN
from sinks.profiles import ProfileStore
from streams import metrics
from streams.conservation import BEFORE, RECEIVED
from streams.decision import clock_of, unpack_message
from streams.journey import Journey
from streams.kafka.chunks import gap
from streams.ownership import OwnedPartition, buckets_of, outbox_of, owned_partition
from streams.setbacks import Setbacks
from streams.settings import Settings
from streams.slices import Aligner

log = structlog.get_logger(__name__)

T = TypeVar("T")
Positions = Mapping[tuple[str, int], int]
"""Where to read on, by topic and partition."""
FirstOffsets = Callable[[Sequence[tuple[str, int]]], Positions]
"""Where the logs begin. Raises UnreachableError."""

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_LOG_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """What whoever starts a worker accepts to be lost."""

    rebuild: bool = False
    """Redis was emptied: its profiles."""
    skip_gap: bool = False
    """Retention was faster than the workers: the records it took."""


NOTHING: Final = Accepted()


class Takeover:
    """Makes a journey the owner of partition numbers. One life of a worker has one token."""

    def __init__(
        self,
        settings: Settings,
        store: ProfileStore,
        journey: Journey,
        health: metrics.Health,
        first_offsets: FirstOffsets,
        *,
        accepted: Accepted = NOTHING,
    ) -> None:
        self._settings = settings
        self._store = store
        self._journey = journey
        self._health = health
        self._first_offsets = first_offsets
        self._accepted = accepted
        self._token = os.urandom(8).hex()
        self.setbacks = Setbacks()

    async def claim(self, numbers: Collection[int], committed: Positions) -> Positions:
        """Claim these partition numbers, waiting for servers; where to read each of their topics on.

        Raises:
            RewoundError: Redis holds nothing of a partition number of which the group has committed offsets, or
                retention took records before they were read.
            ForeignTopicError: the fences are those of other topics.

        """
        return await self._patiently(lambda: self._claim(numbers, committed))

    async def go_back(self, error: FootfallError, alive: Callable[[], None]) -> Positions:
        """Drop all that is in memory and read again what Redis holds of the partition numbers owned.

        `error` is why; the same again and again is waited for, each time longer. `alive` is called now and then while
        servers do not answer.

        Raises:
            ClaimLostError: another worker has claimed one of them since.
            StalledError: Redis keeps refusing what is read again.

        """
        believed = await self._journey.abandon()
        await asyncio.sleep(self.setbacks.note(error, monotonic()))
        return await self._patiently(lambda: self._look_again(believed), alive)

    async def _claim(self, numbers: Collection[int], committed: Positions) -> Positions:
        positions: dict[tuple[str, int], int] = {}
        firsts = await self._where_logs_begin(numbers)
        for number in sorted(numbers):
            if not self._accepted.rebuild:
                await self._refuse_emptied(number, committed)
            claims = await asyncio.to_thread(self._store.claim, self._buckets(number), self._token)
            self._journey.hook("claim")
            await self._refuse_shadow()
            positions |= await self._resume(number, claims, firsts)
        return positions

    async def _look_again(self, believed: dict[int, OwnedPartition]) -> Positions:
        positions: dict[tuple[str, int], int] = {}
        firsts = await self._where_logs_begin(believed)
        for number, owner in believed.items():
            claims = await asyncio.to_thread(self._store.peek, self._buckets(number))
            await self._refuse_shadow()
            self._refuse_lost(number, claims, owner)
            _note_rewind(number, claims, owner)
            positions |= await self._resume(number, claims, firsts)
        return positions

    async def _where_logs_begin(self, numbers: Collection[int]) -> Positions:
        tps = [(topic, number) for topic in INPUT_TOPICS for number in sorted(numbers)]
        return await asyncio.to_thread(self._first_offsets, tps)

    async def check_generation(self) -> None:
        """What a worker without events asks now and then: its commits would be refused, but it has none.

        Raises:
            NewGenerationError: a switch has made another generation the live one.

        """
        with suppress(UnreachableError, RetryableError):  # whoever needs Redis will say that it is away
            await self._refuse_shadow()

    async def check_rewind(self) -> None:
        """What a worker without events asks now and then: no refused commit tells it that Redis lost what it confirmed.

        Raises:
            StaleCommitError: Redis holds less of an owned bucket than its owner has seen confirmed.

        """
        if self._journey.busy:  # a commit on its way is looked at by itself
            return
        owned = buckets_of(self._journey.owned.values())
        try:
            marks = await asyncio.to_thread(self._store.marks, list(owned))
        except (UnreachableError, RetryableError):
            return
        held = zip(owned.values(), marks, strict=True)
        behind = [own.bucket for own, (epoch, number) in held if epoch < own.epoch or number < own.number]
        if behind:
            raise StaleCommitError(
                f"Redis holds less of {len(behind)} buckets, as {behind[0]}, than it had confirmed: it lost writes."
            )

    async def _refuse_shadow(self) -> None:
        """Asked after a claim: a switch takes its lease, then every claim, then moves the pointer."""
        standing = await asyncio.to_thread(self._store.standing)
        if standing == "switching":
            raise RetryableError("a replay is switching to another generation of profiles")
        if standing == "shadow":
            raise NewGenerationError(
                "Readers follow another generation of profiles since `footfall replay-topic --switch`: this worker "
                "begins anew with that one, where it has been read up to."
            )

    async def _resume(self, number: int, claims: Sequence[BucketClaim], firsts: Positions) -> Positions:
        fences = {(topic, number): f"{self._journey.topic_ids[topic]}:{number}" for topic in INPUT_TOPICS}
        _refuse_foreign(number, claims, set(fences.values()))
        aligner = await self._aligner(number, claims)
        owner = owned_partition(number, claims, self._token, aligner, Seen(self._settings.batch.dedup_hours))
        stored = {tp: owner.applied.get(fence, -1) + 1 for tp, fence in fences.items()}
        later = {tp: firsts[tp] for tp, position in stored.items() if firsts.get(tp, 0) > position}
        lost = {tp: (stored[tp], first) for tp, first in later.items() if stored[tp] or _received(owner, tp)}
        if lost and not self._accepted.skip_gap:
            raise RewoundError("; ".join(gap(tp, *between) for tp, between in lost.items()))
        owner.applied.update((fences[tp], first - 1) for tp, first in later.items())
        await self._journey.resume(owner, claims)
        _note_later(later, lost)
        return stored | later

    async def _aligner(self, number: int, claims: Sequence[BucketClaim]) -> Aligner:
        """The barrier where the last owner left it: what comes first must wait for a marker of every topic, too."""
        if self._settings.clock != "event" or not any(claim.fences for claim in claims):
            return Aligner(INPUT_TOPICS, event_clock=self._settings.clock == "event")
        noted = await asyncio.to_thread(self._store.clock, number)
        # What was committed and not published is not noted yet.
        left = [clock_of(unpack_message(packed)) for _, _, packed in outbox_of(claims)]
        reached = max((instant for instant in (noted, *left) if instant is not None), default=-1)
        return Aligner(INPUT_TOPICS, event_clock=True, clock=reached)

    def _buckets(self, number: int) -> list[int]:
        return list(buckets_of_partition(number, self._settings.kafka.partitions))

    async def _refuse_emptied(self, number: int, committed: Positions) -> None:
        """A Redis that was flushed or exchanged must not be taken for a new installation: its profiles would be lost.

        Asked before the claim, of which it would know. Who had claimed and applied nothing yet, as while events wait
        for the markers of other topics, may have committed offsets all the same.
        """
        read = {topic: offset for (topic, partition), offset in committed.items() if partition == number}
        if not read:
            return
        if not any(epoch for epoch, _ in await asyncio.to_thread(self._store.marks, self._buckets(number))):
            topic, offset = max(read.items(), key=lambda entry: entry[1])
            raise RewoundError(
                f"partition {number}: Redis holds nothing of it, but this group has read {topic} up to offset "
                f"{offset}: Redis was emptied, or the settings name another one. Give it its data back, or start once "
                "with `footfall process --rebuild` to fold again all that the topics still hold (segment changes count "
                "from 1 again)."
            )

    def _refuse_lost(self, number: int, claims: Sequence[BucketClaim], owner: OwnedPartition) -> None:
        lost = [c.bucket for c in claims if (c.epoch, c.token) != (owner.buckets[c.bucket].epoch, self._token)]
        if any(claim.token.startswith(REPLAY_TOKEN) for claim in claims):
            raise NewGenerationError(
                f"partition {number}: a replay had claimed the buckets and did not switch; this worker begins anew."
            )
        if lost:
            raise ClaimLostError(
                f"partition {number}: {len(lost)} buckets, as {lost[0]}, were claimed by another worker, or Redis lost "
                "this worker's claim. It ends here; started again it claims what Kafka then assigns to it."
            )

    async def _patiently(self, attempt: Callable[[], Awaitable[T]], alive: Callable[[], None] = lambda: None) -> T:
        """Repeat an attempt until the servers answer; /readyz says meanwhile why it waits."""
        pause, logged = _FIRST_PAUSE, 0.0
        while True:
            try:
                result = await attempt()
            except (UnreachableError, RetryableError) as error:
                self._health.not_ready("state", str(error))
                if monotonic() - logged > _LOG_SECONDS:
                    log.warning("waiting for a server", reason=str(error))
                    logged = monotonic()
            else:
                self._health.ready("state")
                return result
            alive()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _note_rewind(number: int, claims: Sequence[BucketClaim], owner: OwnedPartition) -> None:
    """Redis may hold less than it confirmed (a restart without its last writes, a failover): say so."""
    rewound = [claim.bucket for claim in claims if claim.number < owner.buckets[claim.bucket].number]
    if rewound:
        metrics.REWINDS.inc()
        log.warning("Redis holds less than it had confirmed; reading again", partition=number, buckets=len(rewound))


def _received(owner: OwnedPartition, tp: tuple[str, int]) -> int:
    """Records of this log that were ever counted. Before the first one, where the log begins is where reading begins.

    A bucket without a fence does not tell: the commits that give all buckets their first one may be cut off midway.
    """
    topic, number = tp
    return owner.tallied[f"{RECEIVED}:{topic}:{number}"] - owner.tallied[f"{BEFORE}:{topic}:{number}"]


def _note_later(later: Positions, lost: Mapping[tuple[str, int], tuple[int, int]]) -> None:
    for (topic, number), first in later.items():
        if (topic, number) not in lost:
            log.info("reading begins where the log begins", topic=topic, partition=number, offset=first)
    for (topic, number), (expected, first) in lost.items():
        metrics.SKIPPED_RECORDS.labels(topic, number).inc(first - expected)
        log.warning(
            "records lost to retention are skipped", topic=topic, partition=number, first=expected, last=first - 1
        )


def _refuse_foreign(number: int, claims: Sequence[BucketClaim], known: set[str]) -> None:
    foreign = {fence for claim in claims for fence in claim.fences} - known
    if foreign:
        raise ForeignTopicError(
            f"partition {number}: Redis remembers topics that are not these ({', '.join(sorted(foreign)[:3])}): "
            "a topic was deleted and created again, or this Redis belongs to another Kafka. Point the settings at "
            "the right pair, or start a new installation (another redis.prefix)."
        )
