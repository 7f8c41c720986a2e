"""What lies in `dead-letters`: read once from its beginning to its end, without a group, all but the bytes remembered.

A letter is written again under the same id when a worker dies at the wrong instant: it counts once here. A record
without a value under a letter's id says that the letter was sent again (redrive.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Final, Protocol

import msgspec

from schemas.codec import OutputCodec
from schemas.errors import UnreachableError
from schemas.results import DeadLetter
from schemas.topics import REDRIVEN_HEADER
from streams.kafka.reader import PlacedRecord

CUSTOMER: Final = 256
"""Characters of a key that are remembered; a customer id has no more."""


class Source(Protocol):
    """The part of `TopicReader` that is used here."""

    def read(self, starts: Mapping[int, int]) -> Iterator[list[PlacedRecord]]: ...


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A letter without its bytes, and where it lies: about 0.5 KB in memory."""

    letter_id: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    """The record's own, ms."""
    reason: str
    detail: str
    customer: str | None
    """The record's key as text."""
    size: int
    """Bytes of the whole value."""
    whole: bool
    """Whether the letter holds the record as it was."""
    refused: int
    """When the letter was written, ms."""
    place: tuple[int, int]
    """Partition and offset in `dead-letters`."""


@dataclass(slots=True)
class Shelf:
    """The letters asked for, and what else the topic holds."""

    entries: dict[str, Entry] = field(default_factory=dict)
    """By id, each once."""
    redriven: dict[str, int] = field(default_factory=dict)
    """Letter id -> when it was first sent again, ms."""
    unreadable: list[tuple[int, int]] = field(default_factory=list)
    """(partition, offset) of records that are no letters, the first thousand."""
    unread: int = 0
    """How many those are."""
    read: int = 0
    """Records of any kind."""

    def take(self, record: PlacedRecord, codec: OutputCodec, wanted: Callable[[Entry], bool]) -> None:
        """Note one record of the topic."""
        self.read += 1
        if record.value is None:
            if any(name == REDRIVEN_HEADER for name, _ in record.headers):
                self.redriven.setdefault((record.key or b"").decode("utf-8", "replace"), record.timestamp)
            return
        letter = letter_in(record, codec)
        if letter is None:
            self.unread += 1
            self.unreadable += [(record.partition, record.offset)] if self.unread <= 1_000 else []
            return
        entry = entry_of(letter, record)
        if entry.letter_id not in self.entries and wanted(entry):
            self.entries[entry.letter_id] = entry


def read_shelf(
    source: Source,
    partitions: int,
    codec: OutputCodec,
    wanted: Callable[[Entry], bool],
    progress: Callable[[int], None] = lambda _read: None,
) -> Shelf:
    """The whole topic. `progress` hears how many records were read so far.

    Raises:
        UnreachableError: Kafka or the registry does not answer.

    """
    shelf = Shelf()
    for records in source.read(dict.fromkeys(range(partitions), 0)):
        for record in records:
            shelf.take(record, codec, wanted)
        progress(shelf.read)
    return shelf


def letter_in(record: PlacedRecord, codec: OutputCodec) -> DeadLetter | None:
    """The letter a record holds; null where it holds none. Raises UnreachableError when the registry is away."""
    if record.value is None:
        return None
    try:
        return codec.decode_dead_letter(record.value)
    except (UnreachableError, MemoryError):
        raise
    except Exception:  # noqa: BLE001  fastavro raises nearly anything on bad bytes
        return None


def entry_of(letter: DeadLetter, record: PlacedRecord) -> Entry:
    """What is remembered of a letter."""
    customer = None if letter.key is None else letter.key[: 4 * CUSTOMER].decode("utf-8", "backslashreplace")
    return Entry(
        letter_id=letter.letter_id,
        topic=intern(letter.topic),
        partition=letter.partition,
        offset=letter.offset,
        timestamp=letter.timestamp,
        reason=intern(letter.reason),
        detail=letter.detail,
        customer=None if customer is None else customer[:CUSTOMER],
        size=letter.value_bytes if letter.value_bytes is not None else len(letter.value or b""),
        whole=not letter.cut,
        refused=record.timestamp,
        place=(record.partition, record.offset),
    )
