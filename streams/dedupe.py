"""Which events of a batch count: no replays, no repetitions; everything else is counted in the tallies."""

from __future__ import annotations

from collections.abc import Sequence

from processors.event import Event
from schemas.events import Rejected
from streams.decision import Decision
from streams.ownership import OwnedPartition, Profiles
from streams.slices import Slice, merged

HOUR = 3_600_000


def fresh(owner: OwnedPartition, parts: Sequence[Slice], profiles: Profiles, decision: Decision) -> list[Event]:
    """The events to fold, merged over topics; all others are tallied."""
    ids = owner.seen.ids
    keep: list[Event] = []
    by_fence = {part.fence: part for part in parts}
    for part in parts:
        _count_bucketless(owner, part, decision)
    for event in merged(parts):
        part = by_fence[event.origin]
        bucket = profiles.get(event.customer_id).bucket
        if owner.is_replay(part.fence, bucket, event.offset):
            continue
        decision.count(bucket, "received", part)
        hour = event.time // HOUR
        known = ids.get((event.customer_id, event.event_id))
        if known and abs(known[0] - hour) <= 1:
            if known[1] == event.checksum:
                decision.count(bucket, "duplicate", part)
            else:
                detail = f"event_id {event.event_id!r} came before with another payload; the first one counts"
                bad = Rejected(event.offset, "id_conflict", detail, part.record_at(event.offset))
                decision.reject(bucket, part, bad)
            continue
        ids[event.customer_id, event.event_id] = hour, event.checksum
        decision.count(bucket, "applied", part)
        keep.append(event)
    return keep


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
