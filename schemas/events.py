"""What a chunk of records becomes: columns (`EventBatch`), bad records (`Rejected`) and clock markers.

A chunk is what one poll brought for one topic-partition. Decoding is pure: bytes in, columns out. Rows become
Python objects only where a rule needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple, Protocol

from schemas.reasons import Reason


class RawRecord(Protocol):
    """The part of a Kafka record that decoding reads (aiokafka's ConsumerRecord has it)."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one topic-partition, as one poll brought them.

    `first` is the offset the fetch began at and `next` the one after the last record: what lies between and has
    no record (compaction, transaction markers) is read too. A chunk is accepted only in its own assignment
    `generation` and only when `first` equals the previous chunk's `next`.
    """

    topic: str
    partition: int
    first: int
    next: int
    generation: int
    records: Sequence[RawRecord]
    poll: int = 0
    """Number of the poll: chunks of one poll are one unit of work."""
    poll_size: int = 1
    """How many chunks that poll brought."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A clock marker: every event up to `instant` (ms) of this topic-partition has been read."""

    offset: int
    instant: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that goes to `dead-letters`, with its original bytes."""

    offset: int
    reason: Reason
    detail: str
    record: RawRecord


class Misdated(NamedTuple):
    """How many events have a time that is odd beside their receipt: they are kept, and counted."""

    clamped: int = 0
    """More than 5 min after it: the sender's clock is wrong."""
    too_late: int = 0
    """More than 90 d before it: no window takes them any more, lifetime and the order list do."""

    @classmethod
    def together(cls, parts: Iterable[Misdated]) -> Misdated:
        """The sums."""
        return cls(*map(sum, zip(cls(), *parts, strict=True)))


NONE_MISDATED: Final = Misdated()


@dataclass(slots=True)
class EventBatch:
    """Valid events of one topic-partition and one schema, as columns of equal length, in log order.

    Times are ms since the epoch (UTC), money is minor units of the base currency. `event_time` is already
    clamped to `received_time` (domain rule).
    Further columns (own fields of the topic, `properties`, `session_id`, ...) are made when first asked for.
    """

    topic: str
    partition: int
    offsets: list[int]
    append_times: list[int]
    event_id: list[str]
    customer_id: list[str]
    event_time: list[int]
    received_time: list[int]
    name: list[str]
    checksums: list[int]
    """crc32 of the Avro body without its two leading times: equal for a retry of the same event."""
    misdated: Misdated
    load: Callable[[str], list[Any]]
    """Makes one further column as Python values; a column the writer's schema lacks holds its default."""
    arrow: Callable[[str], Any] | None = None
    """One further column as an Arrow array, null where every row holds the default: cheaper than `column` for a sink.
    Money is as it was sent here, before conversion: take that from `column`."""
    _columns: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets)

    def split(self, sizes: Sequence[int], partitions: Sequence[int]) -> list[EventBatch]:
        """Consecutive parts of these sizes, each of its own partition. `misdated` stays with the first."""
        edges = list(accumulate(sizes, initial=0))
        return [
            self._part(first, end, partition)
            for (first, end), partition in zip(pairwise(edges), partitions, strict=True)
        ]

    def _part(self, first: int, end: int, partition: int) -> EventBatch:
        def arrow(name: str) -> Any:
            array = self.arrow(name) if self.arrow else None
            return None if array is None else array.slice(first, end - first)

        return EventBatch(
            topic=self.topic,
            partition=partition,
            offsets=self.offsets[first:end],
            append_times=self.append_times[first:end],
            event_id=self.event_id[first:end],
            customer_id=self.customer_id[first:end],
            event_time=self.event_time[first:end],
            received_time=self.received_time[first:end],
            name=self.name[first:end],
            checksums=self.checksums[first:end],
            misdated=NONE_MISDATED if first else self.misdated,
            load=lambda name: self.column(name)[first:end],
            arrow=arrow if self.arrow else None,
        )

    def column(self, name: str) -> list[Any]:
        """One further column as Python values, kept for the next call."""
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = self.load(name)
        return column


@dataclass(frozen=True, slots=True)
class DecodedChunk:
    """All a chunk holds: batches (one per schema id), bad records and markers; together every record once."""

    topic: str
    partition: int
    batches: list[EventBatch]
    rejected: list[Rejected]
    markers: list[Marker]
    received: int
