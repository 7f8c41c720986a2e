"""A decoded chunk as the fold takes it, and the barrier that lines up the topics of one partition number.

Topics of one partition number share customers but have no order among each other. On the event clock the markers
give one: events are held until every topic has been read up to the same marker, then merged by time. So a replay
gives the same profiles, however its topics interleave while they are fetched.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from processors.event import Event, events_of
from processors.gathering import in_one_order
from schemas.errors import ProtocolError
from schemas.events import NONE_MISDATED, Chunk, DecodedChunk, Marker, Misdated, RawRecord, Rejected

MAX_HELD: int = 1_000_000
"""Events one partition number may hold back: more means that a topic has no markers."""

BATCH: int = 8_000
"""Events of one partition number folded in one commit on the event clock: changes of a batch are held in memory."""

_OFFSET = attrgetter("offset")


@dataclass(slots=True)
class Slice:
    """Part of a topic-partition's log, decoded: the offsets [first, next), each record in exactly one list."""

    topic: str
    partition: int
    fence: str
    """`<topic-id>:<partition>`."""
    first: int
    next: int
    events: list[Event]
    rejected: list[Rejected]
    markers: list[Marker]
    records: Sequence[RawRecord]
    misdated: Misdated = NONE_MISDATED

    @property
    def received(self) -> int:
        """Records of any kind."""
        return len(self.records)

    def record_at(self, offset: int) -> RawRecord:
        """The record as it came."""
        return self.records[bisect_left(self.records, offset, key=_OFFSET)]

    def split(self, end: int) -> tuple[Slice, Slice]:
        """The part before offset `end`, and the rest."""
        return self._part(self.first, end, self.misdated), self._part(end, self.next, NONE_MISDATED)

    def before_last_marker(self) -> tuple[Slice | None, Slice | None]:
        """What comes before the last marker, and the rest; null: nothing."""
        if not self.markers:
            return self, None
        before, rest = self.split(self.markers[-1].offset)
        return (before if before.records else None), rest

    def _part(self, first: int, after: int, misdated: Misdated) -> Slice:
        events, rejected, markers, records = (
            _between(items, first, after) for items in (self.events, self.rejected, self.markers, self.records)
        )
        return Slice(self.topic, self.partition, self.fence, first, after, events, rejected, markers, records, misdated)


def _between(items: Sequence[Any], first: int, after: int) -> list[Any]:
    return list(items[bisect_left(items, first, key=_OFFSET) : bisect_left(items, after, key=_OFFSET)])


def slice_of(chunk: Chunk, decoded: DecodedChunk, topic_id: str, *, wall_clock: bool) -> Slice:
    """A chunk and what it decodes to, as one slice in log order."""
    fence = f"{topic_id}:{chunk.partition}"
    batches = [events_of(batch, fence, wall_clock=wall_clock) for batch in decoded.batches]
    events = batches[0] if len(batches) == 1 else sorted((e for batch in batches for e in batch), key=_OFFSET)
    misdated = Misdated.together(batch.misdated for batch in decoded.batches)
    return Slice(
        chunk.topic, chunk.partition, fence, chunk.first, chunk.next,
        events, decoded.rejected, decoded.markers, chunk.records, misdated,
    )  # fmt: skip


def merged(slices: Sequence[Slice]) -> list[Event]:
    """The events of all topics in one order: log order within a topic, by the latest instant reached across them."""
    return in_one_order([part.events for part in slices])


def before_last_markers(ready: dict[int, list[Slice]]) -> tuple[dict[int, list[Slice]], dict[int, list[Slice]]]:
    """Slices by partition number in two: up to the last marker of each, and from it on."""
    before: dict[int, list[Slice]] = defaultdict(list)
    rest: dict[int, list[Slice]] = defaultdict(list)
    for number, parts in ready.items():
        for part in parts:
            for found, side in zip(part.before_last_marker(), (before, rest), strict=True):
                if found is not None:
                    side[number].append(found)
    return before, rest


@dataclass(slots=True)
class Aligner:
    """The barrier of one partition number. Pure bookkeeping."""

    topics: Sequence[str]
    event_clock: bool
    clock: int = -1
    """Everything up to this instant has been released, by this owner or the one before; -1 before the first marker of
    every topic."""
    _held: dict[str, deque[Slice]] = field(default_factory=dict)
    _reached: dict[str, int] = field(default_factory=dict)

    def offer(self, part: Slice) -> None:
        """Take in the next slice of a topic."""
        self._held.setdefault(part.topic, deque()).append(part)
        if part.markers:
            self._reached[part.topic] = max(self._reached.get(part.topic, -1), part.markers[-1].instant)

    def take(self, limit: int = BATCH) -> list[Slice]:
        """What may be folded now, topic by topic in log order; on the event clock about `limit` events, then more."""
        if not self.event_clock or (not self._reached and self.clock < 0):
            return [part for topic in self.topics for part in self._drain(topic)]
        reached = min(self._reached.get(topic, -1) for topic in self.topics)
        if reached <= self.clock:  # what is read again after a takeover, else nothing
            self._check_room()
            return [part for topic in self.topics for part in self._drain_upto(topic, reached)]
        self.clock = self._barrier(reached, limit)
        return [part for topic in self.topics for part in self._drain_upto(topic, self.clock)]

    @property
    def held(self) -> int:
        """Events that wait for a marker."""
        return sum(len(part.events) for parts in self._held.values() for part in parts)

    def _barrier(self, reached: int, limit: int) -> int:
        """The latest marker up to which there are at most `limit` events, but at least the next one."""
        held = [_joined(self._held[topic]) for topic in self.topics if self._held.get(topic)]
        for part in held:
            self._held[part.topic] = deque([part])
        markers = [marker for part in held for marker in part.markers if marker.instant <= reached]
        instants = sorted({marker.instant for marker in markers})
        fitting = bisect_right(instants, limit, key=lambda instant: sum(_events_upto(part, instant) for part in held))
        return instants[max(0, fitting - 1)]

    def _drain(self, topic: str) -> Iterable[Slice]:
        held = self._held.pop(topic, deque())
        return [_joined(held)] if held else []

    def _drain_upto(self, topic: str, barrier: int) -> Iterable[Slice]:
        held = self._held.get(topic)
        if not held:
            return []
        whole = _joined(held)
        cut = bisect_right(whole.markers, barrier, key=lambda marker: marker.instant)
        if not cut:
            self._held[topic] = deque([whole])
            return []
        head, tail = whole.split(whole.markers[cut - 1].offset + 1)
        self._held[topic] = deque([tail] if tail.next > tail.first else [])
        return [head]

    def _check_room(self) -> None:
        held = {topic: sum(len(part.events) for part in parts) for topic, parts in self._held.items()}
        if sum(held.values()) > MAX_HELD:
            silent = [topic for topic in self.topics if self._reached.get(topic, -1) <= self.clock]
            raise ProtocolError(
                f"{sum(held.values())} events wait for a clock marker of {', '.join(silent)}: on the event clock every "
                "topic-partition needs markers. Use `footfall replay`, which writes them, or the setting clock = wall."
            )


def _events_upto(part: Slice, instant: int) -> int:
    """Events before the last marker at or before an instant."""
    cut = bisect_right(part.markers, instant, key=lambda marker: marker.instant)
    return bisect_left(part.events, part.markers[cut - 1].offset, key=_OFFSET) if cut else 0


def _joined(parts: Iterable[Slice]) -> Slice:
    """Consecutive slices of one topic as one."""
    held = list(parts)
    if len(held) == 1:
        return held[0]
    first, last = held[0], held[-1]
    return Slice(
        first.topic, first.partition, first.fence, first.first, last.next,
        [e for part in held for e in part.events],
        [r for part in held for r in part.rejected],
        [m for part in held for m in part.markers],
        [r for part in held for r in part.records],
        Misdated.together(part.misdated for part in held),
    )  # fmt: skip
