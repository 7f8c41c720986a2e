"""Which events of a batch count: no replays, no repetitions; everything else is counted in the tallies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import compress
from operator import attrgetter

from processors.dedup import Verdict, event_digests
from processors.event import Event
from schemas.events import Rejected
from sinks.profiles import ProfileStore
from streams.decision import Decision
from streams.ownership import OwnedPartition, Profiles
from streams.slices import Slice, merged

_CUSTOMER, _EVENT_ID, _TIME = attrgetter("customer_id"), attrgetter("event_id"), attrgetter("time")
_CHECKSUM, _ORIGIN = attrgetter("checksum"), attrgetter("origin")

Settle = Callable[[], Awaitable[None]]
"""Waits until every commit on its way is stored."""

_TALLIES: dict[Verdict, str] = {"duplicate": "duplicate", "unchecked": "dedup_unchecked"}


class Deduper:
    """Finds repetitions with the ids in memory; older hours are read from Redis when an event asks for them."""

    def __init__(self, store: ProfileStore, profiles: Profiles, key: bytes) -> None:
        self._store = store
        self._profiles = profiles
        self._key = key

    async def fresh(
        self, owner: OwnedPartition, parts: Sequence[Slice], decision: Decision, settle: Settle
    ) -> Sequence[Event]:
        """The events to fold, merged over topics; all others are tallied. Their profiles are in memory."""
        for part in parts:
            _count_bucketless(owner, part, decision)
        events, buckets = self._not_applied(owner, merged(parts))
        await self._load_hours(owner, events, buckets, settle)
        digests = event_digests(self._key, map(_CUSTOMER, events), map(_EVENT_ID, events))
        times, checksums = list(map(_TIME, events)), list(map(_CHECKSUM, events))
        verdicts = owner.seen.check_batch(buckets, times, digests, checksums)
        for bucket in set(buckets):  # taken at once: the next batch is checked while this one is being committed
            decision.seen[bucket] = owner.seen.additions(bucket)
            decision.seen_drop[bucket] = owner.seen.expired(bucket)
            owner.seen.committed(bucket)
        return _judged(events, buckets, verdicts, {part.fence: part for part in parts}, decision)

    def _not_applied(self, owner: OwnedPartition, events: Sequence[Event]) -> tuple[Sequence[Event], list[int]]:
        """Events that their bucket's fence has not passed, and their buckets."""
        buckets = [self._profiles.get(customer).bucket for customer in map(_CUSTOMER, events)]
        if not owner.catching_up(events):
            return events, buckets
        new = [not owner.is_replay(e.origin, b, e.offset) for e, b in zip(events, buckets, strict=True)]
        return list(compress(events, new)), list(compress(buckets, new))

    async def _load_hours(
        self, owner: OwnedPartition, events: Sequence[Event], buckets: Sequence[int], settle: Settle
    ) -> None:
        needs = sorted(owner.seen.needs(buckets, list(map(_TIME, events))))
        if needs:
            await settle()  # a commit on its way may add to these hours
            stored = await asyncio.to_thread(self._store.seen, needs)
            for (bucket, hour), entries in zip(needs, stored, strict=True):
                owner.seen.load(bucket, hour, entries)


def _judged(
    events: Sequence[Event],
    buckets: Sequence[int],
    verdicts: Sequence[Verdict],
    parts: dict[str, Slice],
    decision: Decision,
) -> Sequence[Event]:
    """The events that count; the tallies of all."""
    for (bucket, origin), n in Counter(zip(buckets, map(_ORIGIN, events), strict=True)).items():
        decision.count(bucket, "received", parts[origin], n)
    odd = [i for i, verdict in enumerate(verdicts) if verdict != "new"]
    for i in odd:
        _count_odd(events[i], buckets[i], verdicts[i], parts[events[i].origin], decision)
    gone = {i for i in odd if verdicts[i] != "unchecked"}
    if gone:
        keep = [i not in gone for i in range(len(events))]
        events, buckets = list(compress(events, keep)), list(compress(buckets, keep))
    for (bucket, origin), n in Counter(zip(buckets, map(_ORIGIN, events), strict=True)).items():
        decision.count(bucket, "applied", parts[origin], n)
    return events


def _count_odd(event: Event, bucket: int, verdict: Verdict, part: Slice, decision: Decision) -> None:
    if verdict != "conflict":
        decision.count(bucket, _TALLIES[verdict], part)
        return
    detail = f"event_id {event.event_id!r} of this customer came before with another payload; the first one counts"
    decision.reject(bucket, part, Rejected(event.offset, "id_conflict", detail, part.record_at(event.offset)))


def _count_bucketless(owner: OwnedPartition, part: Slice, decision: Decision) -> None:
    """Bad records and clock markers have no bucket of their own: the partition number's lowest one decides."""
    bucket = owner.lowest
    done = bucket.fences.get(part.fence, -1)
    bad = [rejected for rejected in part.rejected if rejected.offset > done]
    markers = sum(marker.offset > done for marker in part.markers)
    if bad or markers:
        decision.count(bucket.bucket, "received", part, len(bad) + markers)
    if markers:
        decision.count(bucket.bucket, "control", part, markers)
    for rejected in bad:
        decision.reject(bucket.bucket, part, rejected)
