"""A `dead-letters` topic in memory, as its reader and its writer see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from schemas.codec import OutputCodec
from schemas.partitioning import partition_of
from schemas.results import DeadLetter, OutgoingMessage
from schemas.topics import DEAD_LETTERS
from streams.kafka.reader import PlacedRecord
from streams.letters.shelf import Entry, entry_of

PARTITIONS: Final = 2
NOW: Final = 1_767_225_600_000
"""2026-01-01T00:00Z."""
CODEC: Final = OutputCodec({DEAD_LETTERS: 7})


def letter(number: int = 0, **fields: Any) -> DeadLetter:
    """A letter of an order in a currency without a rate."""
    own: dict[str, Any] = {
        "letter_id": f"letter-{number}", "topic": "purchase", "partition": 1, "offset": number, "timestamp": NOW,
        "reason": "unknown_currency", "detail": "currency: 'XAU' has no rate", "key": b"anna", "value": b"\x00body",
        "headers": [("trace", b"t")], "value_bytes": 5,
    }  # fmt: skip
    return DeadLetter(**(own | fields))


def entry(number: int = 0, refused: int = NOW, **fields: Any) -> Entry:
    return entry_of(letter(number, **fields), PlacedRecord(0, number, refused, b"", b""))


class Topic:
    """Both `Source` and `Publisher`; all published lies in `sent`, what is for dead-letters also in the topic."""

    def __init__(self, letters: Sequence[DeadLetter] = ()) -> None:
        self.records: list[list[PlacedRecord]] = [[] for _ in range(PARTITIONS)]
        self.sent: list[OutgoingMessage] = []
        self.failures: list[Exception | None] = []
        for one in letters:
            self.append(one.letter_id.encode(), CODEC.encode_dead_letter(one))

    def append(self, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> None:
        partition = partition_of(key.decode(), PARTITIONS)
        records = self.records[partition]
        records.append(PlacedRecord(partition, len(records), NOW, key, value, headers))

    def read(self, starts: Mapping[int, int]) -> Iterator[list[PlacedRecord]]:
        for partition, first in starts.items():
            for record in self.records[partition][first:]:
                yield [record]

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        self.sent += messages
        for message in messages:
            if message.topic == DEAD_LETTERS:
                self.append(message.key or b"", message.value, message.headers)
