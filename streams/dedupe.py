"""Which events of a batch count: no replays, no repetitions; everything else is counted in the tallies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import compress

from processors.dedup import Verdict, event_digests
from processors.event import Event
from processors.gathering import buckets_of_events, checksums_of, counted, names_of, times_of
from processors.profile import Profile
from processors.redriven import OUTSIDE_TIME, Redriven
from schemas.events import Rejected
from schemas.partitioning import bucket_of, bucket_of_key
from schemas.topics import REDRIVE_HEADER, REFUSED_HEADER
from schemas.validation import shortened
from sinks.profiles import ProfileStore
from streams.decision import Decision
from streams.ownership import OwnedBucket, OwnedPartition
from streams.slices import Slice, merged

_ROW_REFUSED = b"sink_rejected"

Settle = Callable[[], Awaitable[None]]
"""Waits until every commit on its way is stored."""

_TALLIES: dict[Verdict, str] = {"duplicate": "duplicate", "unchecked": "dedup_unchecked"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Events with what identifies each, position by position."""

    events: Sequence[Event]
    buckets: Sequence[int]
    digests: Sequence[int]
    checksums: Sequence[int]

    def id_at(self, i: int) -> tuple[int, int, int]:
        return self.buckets[i], self.digests[i], self.checksums[i]


class Deduper:
    """Finds repetitions with the ids in memory; older hours are read from Redis when an event asks for them."""

    def __init__(self, store: ProfileStore, key: bytes) -> None:
        self._store = store
        self._key = key

    async def fresh(
        self,
        owner: OwnedPartition,
        parts: Sequence[Slice],
        hand: dict[str, Profile],
        decision: Decision,
        settle: Settle,
    ) -> Sequence[Event]:
        """The events to fold, merged over topics; all others are tallied. The profiles of all are at `hand`."""
        for part in parts:
            _count_refused(owner, part, decision)
        events, buckets = _not_applied(owner, merged(parts), hand)
        times = times_of(events)
        await self._load_hours(owner, times, buckets, settle)
        digests, checksums = event_digests(self._key, *names_of(events)), checksums_of(events)
        verdicts = owner.seen.check_batch(buckets, times, digests, checksums)
        for bucket in set(buckets):  # taken at once: the next batch is checked while this one is being committed
            decision.seen[bucket] = owner.seen.additions(bucket)
            decision.seen_drop[bucket] = owner.seen.expired(bucket)
            owner.seen.committed(bucket)
        sent_again = _sent_again(parts)
        if sent_again:
            await settle()  # a commit on its way may add to these ids
            asked = _Asked(events, buckets, digests.tolist(), checksums)
            await self._judge_redriven(asked, sent_again, verdicts, decision)
        return _judged(events, buckets, verdicts, {part.fence: part for part in parts}, decision)

    async def _judge_redriven(
        self, asked: _Asked, sent_again: dict[tuple[str, int], bool], verdicts: list[Verdict], decision: Decision
    ) -> None:
        """Correct the verdicts on redriven events: the dedup window may be over for them."""
        places = [i for i, event in enumerate(asked.events) if (event.origin, event.offset) in sent_again]
        hours = [(bucket, OUTSIDE_TIME) for bucket in sorted({asked.buckets[i] for i in places})]
        stored = await asyncio.to_thread(self._store.seen, hours)
        redriven = Redriven({bucket: entries for (bucket, _), entries in zip(hours, stored, strict=True)})
        for i in places:
            counted = sent_again[asked.events[i].origin, asked.events[i].offset]
            verdicts[i] = "duplicate" if counted else redriven.check(*asked.id_at(i), verdicts[i])
        for bucket, entries in redriven.additions().items():
            decision.seen[bucket].append((OUTSIDE_TIME, entries))

    async def _load_hours(
        self, owner: OwnedPartition, times: Sequence[int], buckets: Sequence[int], settle: Settle
    ) -> None:
        needs = sorted(owner.seen.needs(buckets, times))
        if needs:
            await settle()  # a commit on its way may add to these hours
            stored = await asyncio.to_thread(self._store.seen, needs)
            for (bucket, hour), entries in zip(needs, stored, strict=True):
                owner.seen.load(bucket, hour, entries)


def _not_applied(
    owner: OwnedPartition, events: Sequence[Event], hand: dict[str, Profile]
) -> tuple[Sequence[Event], list[int]]:
    """Events that their bucket's fence has not passed, and their buckets."""
    buckets = buckets_of_events(events, hand)
    if not owner.catching_up(events):
        return events, buckets
    new = [not owner.is_replay(e.origin, b, e.offset) for e, b in zip(events, buckets, strict=True)]
    return list(compress(events, new)), list(compress(buckets, new))


def _sent_again(parts: Sequence[Slice]) -> dict[tuple[str, int], bool]:
    """(fence, offset) of every redriven record -> whether its event was counted before, and only its row refused."""
    return {
        (part.fence, record.offset): (REFUSED_HEADER, _ROW_REFUSED) in record.headers
        for part in parts
        for record in part.records
        if record.headers and any(name == REDRIVE_HEADER for name, _ in record.headers)
    }


def refuse_unreadable(
    owner: OwnedPartition, parts: Sequence[Slice], unreadable: Collection[str], decision: Decision
) -> None:
    """Events of customers whose key in Redis holds no profile become letters; nothing of these customers is written.

    Their own buckets count them, so that a fence that has passed an event says that it is dealt with already.
    """
    for part in parts if unreadable else ():
        bad = [event for event in part.events if event.customer_id in unreadable]
        part.events = [event for event in part.events if event.customer_id not in unreadable]
        for event in bad:
            bucket = bucket_of(event.customer_id)
            if owner.is_replay(event.origin, bucket, event.offset):
                continue
            detail = (
                f"customer_id {shortened(event.customer_id)}: the key in Redis, bucket {bucket}, holds no profile; "
                "another program writes under Footfall's prefix"
            )
            decision.count(bucket, "received", part)
            record = part.record_at(event.offset)
            decision.reject(bucket, part, Rejected(event.offset, "state_type_error", detail, record))


def _judged(
    events: Sequence[Event],
    buckets: Sequence[int],
    verdicts: Sequence[Verdict],
    parts: dict[str, Slice],
    decision: Decision,
) -> Sequence[Event]:
    """The events that count; the tallies of all."""
    counts = counted(events, buckets)
    _count_all("received", counts, parts, decision)
    odd = [i for i, verdict in enumerate(verdicts) if verdict != "new"]
    for i in odd:
        _count_odd(events[i], buckets[i], verdicts[i], parts[events[i].origin], decision)
    gone = {i for i in odd if verdicts[i] != "unchecked"}
    if gone:
        left = [i not in gone for i in range(len(events))]
        events = list(compress(events, left))
        counts = counted(events, list(compress(buckets, left)))
    _count_all("applied", counts, parts, decision)
    return events


def _count_all(what: str, counts: dict[str, dict[int, int]], parts: dict[str, Slice], decision: Decision) -> None:
    """Origin -> bucket -> events, into the tallies."""
    for origin, by_bucket in counts.items():
        for bucket, n in by_bucket.items():
            decision.count(bucket, what, parts[origin], n)


def _count_odd(event: Event, bucket: int, verdict: Verdict, part: Slice, decision: Decision) -> None:
    if verdict != "conflict":
        decision.count(bucket, _TALLIES[verdict], part)
        return
    detail = f"event_id {event.event_id!r} of this customer came before with another payload; the first one counts"
    decision.reject(bucket, part, Rejected(event.offset, "id_conflict", detail, part.record_at(event.offset)))


def _count_refused(owner: OwnedPartition, part: Slice, decision: Decision) -> None:
    """Bad records and clock markers, unless the fence of the bucket that counts them has passed them."""
    lowest = owner.lowest
    markers = sum(marker.offset > lowest.fences.get(part.fence, -1) for marker in part.markers)
    if markers:
        decision.count(lowest.bucket, "received", part, markers)
        decision.count(lowest.bucket, "control", part, markers)
    for rejected in part.rejected:
        bucket = _bucket_of_refused(owner, rejected.record.key)
        if rejected.offset > bucket.fences.get(part.fence, -1):
            decision.count(bucket.bucket, "received", part)
            decision.reject(bucket.bucket, part, rejected)


def _bucket_of_refused(owner: OwnedPartition, key: bytes | None) -> OwnedBucket:
    """The bucket of the record's key; the partition number's lowest one without a key, or with one from elsewhere.

    It is the bucket that would count the record were it an event: one that was refused, and is read again when a
    schema or a rate was added meanwhile, must find a fence that has passed it.
    """
    return owner.lowest if key is None else owner.buckets.get(bucket_of_key(key), owner.lowest)
