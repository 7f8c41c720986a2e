"""Which events are repetitions: the same event_id of the same customer, in the same event hour or a neighbour.

A repetition is looked for among the ids of the event's own hour and both neighbours (a retry's corrected time can
differ), as long as those hours are not more than the window behind the greatest event hour of the customer's bucket.
An id is 8 bytes of a keyed digest and 4 bytes of its payload's checksum. Everything is counted in whole hours since
the epoch, bucket by bucket and in log order, so the answers do not depend on where batches end, on how many
partitions there are, or on what is still in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import blake2b
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from processors.sealed_ids import ENTRY, Digests, Ints, SealedIds
from schemas.errors import ProtocolError

Verdict = Literal["new", "duplicate", "conflict", "unchecked"]

HOUR: Final = 3_600_000
_LONG_AGO: Final = -(1 << 40)
_CHECKSUM: Final = 0xFFFFFFFF


def event_digest(key: bytes, customer_id: str, event_id: str) -> int:
    """The 64-bit keyed digest of one event of one customer. `key` is at most 16 bytes, one per installation."""
    return int(event_digests(key, [customer_id], [event_id])[0])


def event_digests(key: bytes, customer_ids: Iterable[str], event_ids: Iterable[str]) -> Digests:
    """The digests of a batch. The key keeps anyone from looking for two ids that collide.

    It goes in as BLAKE2's salt, which costs nothing; its key parameter would cost a second block (1 us).
    """
    digest_of = partial(blake2b, digest_size=8, salt=key)
    hashed = [
        digest_of(f"{len(customer)}:{customer}{event}".encode()).digest()
        for customer, event in zip(customer_ids, event_ids, strict=True)
    ]
    return np.frombuffer(b"".join(hashed), "<u8")


class Seen:
    """The event ids of the buckets of one partition number.

    The newest ids are in a dict; when it is full they are sealed into sorted arrays, and when those hold more than
    `memory_ids` the oldest hours leave memory: they are read from the store again when an event asks for them.
    The two newest hours always stay.

    One round of a batch: `needs` and `load`, `check_batch`, then per bucket `additions` and `expired` go into its
    commit, and `committed` or `discard` tells how that ended.
    """

    def __init__(self, window_hours: int = 24, recent_ids: int = 50_000, memory_ids: int = 2_000_000) -> None:
        self._window = window_hours
        self._recent_ids = recent_ids
        self._memory_ids = memory_ids
        self._recent: dict[int, int] = {}
        self._more: dict[int, list[int]] = {}  # further hours of a digest that `_recent` holds: one id, used again
        self._sealed = SealedIds()
        self._newest: dict[int, int] = {}
        self._newest_committed: dict[int, int] = {}
        self._stored: dict[int, set[int]] = {}
        self._absent: set[tuple[int, int]] = set()
        self._pending: dict[int, list[tuple[int, bytes]]] = {}

    def __len__(self) -> int:
        """Ids in memory."""
        return len(self._recent) + sum(map(len, self._more.values())) + len(self._sealed)

    def claim(self, bucket: int, hours: Iterable[int]) -> None:
        """A claimed bucket and the event hours the store holds of it."""
        stored = set(hours)
        self._stored[bucket] = stored
        self._newest[bucket] = self._newest_committed[bucket] = max(stored, default=_LONG_AGO)
        self._absent.update((bucket, hour) for hour in stored)

    def needs(self, buckets: Sequence[int], event_times: Sequence[int]) -> set[tuple[int, int]]:
        """The `(bucket, hour)` that must be loaded before these events (ms) can be checked."""
        if not self._absent:
            return set()
        asked = {(bucket, time // HOUR) for bucket, time in zip(buckets, event_times, strict=True)}
        return self._absent.intersection((bucket, hour + near) for bucket, hour in asked for near in (-1, 0, 1))

    def load(self, bucket: int, hour: int, entries: bytes) -> None:
        """What the store holds for one of the `needs`."""
        if len(entries) % ENTRY.itemsize:
            raise ProtocolError(
                f"the event ids of bucket {bucket}, hour {hour} are {len(entries)} bytes, not entries of 12"
            )
        ids = np.frombuffer(entries, ENTRY)
        if len(ids):
            self._sealed.add(hour, ids["digest"].copy(), ids["checksum"].copy())
        self._absent.discard((bucket, hour))

    def check(self, bucket: int, event_time: int, digest: int, checksum: int) -> Verdict:
        """The verdict on one event."""
        return self.check_batch([bucket], [event_time], [digest], [checksum])[0]

    def check_batch(
        self,
        buckets: Sequence[int],
        event_times: Sequence[int],
        digests: Sequence[int] | Digests,
        checksums: Sequence[int],
    ) -> list[Verdict]:
        """The verdicts on events in log order; new ids are remembered and wait for their bucket's commit."""
        if not len(buckets):
            return []
        places = np.asarray(buckets, np.int64)
        hours = np.asarray(event_times, np.int64) // HOUR
        ids = np.asarray(digests, np.uint64)
        sums = np.asarray(checksums, np.int64)
        numbers, values = ids.tolist(), (hours << 32 | sums).tolist()
        sealed = self._sealed.find(hours, ids)
        others = self._judge(buckets, numbers, values, sealed)
        verdicts: list[Verdict] = ["new"] * len(numbers)
        for i, verdict in others.items():
            verdicts[i] = verdict
        new = np.ones(len(numbers), bool)
        new[list(others)] = False
        self._hold(places[new], hours[new], ids[new], sums[new])
        return verdicts

    def _judge(
        self, buckets: Sequence[int], numbers: list[int], values: list[int], sealed: dict[int, list[int]]
    ) -> dict[int, Verdict]:
        """Position -> verdict of every event that is not new. One by one: the window moves with each event."""
        recent, newest, window = self._recent, self._newest, self._window
        others: dict[int, Verdict] = {}
        for i, (bucket, number, value) in enumerate(zip(buckets, numbers, values, strict=True)):
            hour, oldest = value >> 32, newest[bucket] - window
            if number in recent or hour < oldest or i in sealed:
                verdict = self._verdict(number, value, oldest, sealed.get(i, ()))
                if verdict != "new":
                    others[i] = verdict
                    continue
                self._remember(number, value)
            else:
                recent[number] = value
            if hour > oldest + window:
                newest[bucket] = hour
        return others

    def _verdict(self, digest: int, value: int, oldest: int, sealed: Sequence[int]) -> Verdict:
        hour = value >> 32
        if hour < oldest:
            return "unchecked"
        known = [*sealed, *self._more.get(digest, ())]
        if digest in self._recent:
            known.append(self._recent[digest])
        near = [other for other in known if abs((other >> 32) - hour) <= 1 and other >> 32 >= oldest]
        if not near:
            return "new"
        return "duplicate" if any(not (other ^ value) & _CHECKSUM for other in near) else "conflict"

    def _remember(self, digest: int, value: int) -> None:
        if digest in self._recent:
            self._more.setdefault(digest, []).append(value)
        else:
            self._recent[digest] = value

    def _hold(self, buckets: Ints, hours: Ints, ids: Digests, checksums: Ints) -> None:
        """Pack new ids per bucket and hour, as they will be stored."""
        order = np.lexsort((hours, buckets))
        packed = np.empty(len(order), ENTRY)
        packed["digest"], packed["checksum"] = ids[order], checksums[order]
        entries = packed.tobytes()
        by_bucket, by_hour = buckets[order], hours[order]
        edge = np.ones(len(order), bool)
        edge[1:] = (np.diff(by_bucket) != 0) | (np.diff(by_hour) != 0)
        starts = np.flatnonzero(edge)
        edges = [*(starts * ENTRY.itemsize).tolist(), len(entries)]
        groups = zip(by_bucket[starts].tolist(), by_hour[starts].tolist(), pairwise(edges), strict=True)
        for bucket, hour, (first, end) in groups:
            self._pending.setdefault(bucket, []).append((hour, entries[first:end]))

    def additions(self, bucket: int) -> list[tuple[int, bytes]]:
        """What the bucket's next commit appends: (event hour, 12-byte entries); nothing that it would drop at once."""
        oldest = self._newest[bucket] - self._window
        return [(hour, entries) for hour, entries in self._pending.get(bucket, ()) if hour >= oldest]

    def expired(self, bucket: int) -> list[int]:
        """The hours that the bucket's next commit drops: its event time is a window past them."""
        oldest = self._newest[bucket] - self._window
        return sorted(hour for hour in self._stored[bucket] if hour < oldest)

    def committed(self, bucket: int) -> None:
        """The store has applied the bucket's `additions` and `expired`."""
        expired = self.expired(bucket)
        self._stored[bucket].difference_update(expired)
        self._absent.difference_update((bucket, hour) for hour in expired)
        self._stored[bucket].update(hour for hour, _ in self.additions(bucket))
        self._pending.pop(bucket, None)
        self._newest_committed[bucket] = self._newest[bucket]
        if len(self._recent) > self._recent_ids and not self._pending:
            self._seal()

    def discard(self, bucket: int) -> None:
        """The bucket's commit was refused: its events will be checked again."""
        for hour, entries in self._pending.pop(bucket, ()):
            for digest, checksum in np.frombuffer(entries, ENTRY).tolist():
                self._forget(digest, hour << 32 | checksum)
        self._newest[bucket] = self._newest_committed[bucket]

    def _forget(self, digest: int, value: int) -> None:
        more = self._more.pop(digest, [])
        if self._recent[digest] != value:
            more.remove(value)
        elif more:
            self._recent[digest] = more.pop()
        else:
            del self._recent[digest]
        if more:
            self._more[digest] = more

    def _seal(self) -> None:
        """Move the dict's ids into sorted arrays, and hours that nobody may ask for again out of memory."""
        digests = np.array([*self._recent, *(digest for digest, more in self._more.items() for _ in more)], np.uint64)
        values = np.array(
            [*self._recent.values(), *(value for more in self._more.values() for value in more)], np.int64
        )
        order = np.argsort(values, kind="stable")  # by hour
        digests, values = digests[order], values[order]
        hours, starts = np.unique(values >> 32, return_index=True)
        checksums = (values & _CHECKSUM).astype(np.uint32)
        for hour, first, end in zip(hours.tolist(), starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
            self._sealed.add(hour, digests[first:end], checksums[first:end])
        self._recent, self._more = {}, {}
        self._evict()

    def _evict(self) -> None:
        newest = max(self._newest.values())
        for hour in self._sealed.hours:
            kept = hour >= newest - self._window and len(self._sealed) <= self._memory_ids
            if kept or hour >= newest - 1:  # nearly every event asks for the newest hours: they always stay
                break
            self._sealed.drop(hour)
            self._absent.update((bucket, hour) for bucket, stored in self._stored.items() if hour in stored)
