"""The log of one partition number read again: six topics, merged in the order in which their records were appended.

A worker folds what a poll brings; read again years later, one topic would run far ahead of another. So a poll here ends
for all topics at one append time, which is what a worker saw that kept up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Protocol

from schemas.errors import RewoundError, UnreachableError
from schemas.events import Chunk
from streams.kafka.reader import ANSWER_SECONDS, LogRecord
from streams.refold.bounds import Bound

READ_SECONDS: Final = 0.05


class Reader(Protocol):
    """The part of `PartitionReader` that is used here."""

    @property
    def end(self) -> int | None: ...
    def seek(self, offset: int, partition: int = 0) -> None: ...
    def read(self, limit: int, seconds: float) -> list[LogRecord]: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """How a log is read."""

    since: Bound = field(default_factory=Bound)
    """Where it is begun; by default at its start."""
    held_records: int = 8_000
    """About so many records of each topic are in memory at once."""


@dataclass(slots=True)
class Lane:
    """One topic: what was read of it and not yet handed over."""

    topic: str
    reader: Reader
    position: int
    """Everything before it was handed over."""
    bound: Bound
    since: int = 0
    """Records appended earlier (ms) are passed over."""
    next: int | None = None
    """Where it ends, once that is known: at the bound, or at the end of the log."""
    records: list[LogRecord] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)
    """For each of the records the latest append time up to it."""

    def begin(self, partition: int) -> None:
        """Seek; what has nothing to read is at its end."""
        if self.bound.offset is not None and self.bound.offset <= self.position:
            self.next = self.position
        else:
            self.reader.seek(self.position, partition)

    def fill(self, limit: int) -> bool:
        """Read on up to `limit` records in memory; whether that brought anything, the end included."""
        if self.next is not None or not self._short(limit):
            return False
        found = self.reader.read(max(1, limit - len(self.records)), READ_SECONDS)
        for record in found:
            if self.bound.excludes(record.offset, record.timestamp):
                self.next = record.offset if self.bound.offset is None else min(record.offset, self.bound.offset)
                break
            self._keep(record)
        if self.next is None and self.bound.offset is not None and self.after >= self.bound.offset:
            self.next = self.bound.offset
        if self.next is None and self.reader.end is not None:
            self._end_at(self.reader.end)
        return bool(found) or self.next is not None

    @property
    def after(self) -> int:
        """The offset after the last record in memory."""
        return self.records[-1].offset + 1 if self.records else self.position

    def _short(self, limit: int) -> bool:
        """Whether more is wanted; records of one instant are always read together."""
        return len(self.records) < limit or self.reached[0] == self.reached[-1]

    def _keep(self, record: LogRecord) -> None:
        if record.offset < self.after or record.timestamp < self.since:
            return
        self.records.append(record)
        self.reached.append(max(record.timestamp, self.reached[-1] if self.reached else 0))

    def _end_at(self, end: int) -> None:
        if self.bound.known and self.bound.offset is not None and end < self.bound.offset:
            raise RewoundError(
                f"topic {self.topic} ends at offset {end}, but the live profiles hold its records up to "
                f"{self.bound.offset - 1}: Kafka has lost records, so no replay can give the same profiles."
            )
        self.next = max(end, self.after)

    @property
    def horizon(self) -> int | None:
        """Everything appended before this instant (ms) is in memory; null: everything there is."""
        if self.next is not None:
            return None
        return self.reached[-1] if self.reached else 0

    def take(self, before: int | None, partition: int) -> Chunk | None:
        """Hand over what was appended before an instant; with null, all."""
        n = len(self.records) if before is None else bisect_left(self.reached, before)
        whole = n == len(self.records) and self.next is not None
        first, after = self.position, self.next if whole else None
        if after is None:
            after = self.records[n - 1].offset + 1 if n else first
        records, self.records, self.reached = self.records[:n], self.records[n:], self.reached[n:]
        self.position = after
        return Chunk(self.topic, partition, first, after, 1, records) if after > first else None


class MergedLog:
    """Polls of one partition number, from where it stands up to its bounds. Blocking; one thread at a time."""

    def __init__(
        self,
        readers: Mapping[str, Reader],
        partition: int,
        positions: Mapping[str, int],
        bounds: Mapping[str, Bound],
        terms: Terms,
    ) -> None:
        """Read on from these positions, or from where the terms begin."""
        self._partition = partition
        self._limit = terms.held_records
        since, first = terms.since.time or 0, terms.since.offset or 0
        self._lanes = [
            Lane(topic, reader, max(first, positions[topic]), bounds[topic], since) for topic, reader in readers.items()
        ]
        for lane in self._lanes:
            lane.begin(partition)

    def next_poll(self) -> Sequence[Chunk]:
        """The next records of all topics; empty at the end.

        Raises:
            RewoundError: the log ends before a bound that must be there.
            UnreachableError: nothing came for 30 s.

        """
        deadline = monotonic() + ANSWER_SECONDS
        while True:
            filled = [lane.fill(self._limit) for lane in self._lanes]
            if any(filled):
                deadline = monotonic() + ANSWER_SECONDS
            horizons = [lane.horizon for lane in self._lanes if lane.horizon is not None]
            before = min(horizons, default=None)
            found = [lane.take(before, self._partition) for lane in self._lanes]
            chunks = [chunk for chunk in found if chunk is not None]
            if chunks or not horizons:
                return chunks
            if monotonic() > deadline:
                raise UnreachableError(
                    f"Kafka gave no more of partition {self._partition} for {ANSWER_SECONDS:g} s: check "
                    "FOOTFALL_KAFKA__BOOTSTRAP, and that the broker is well."
                )
