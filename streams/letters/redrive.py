"""Letters sent again: the original key, value and headers to the original topic, to the partition of the key.

A record that is sent carries the letter's id and reason as headers; when Kafka has confirmed a window of them, each
letter gets a mark in `dead-letters`, and a marked letter is not sent again. A crash between the two sends a window
twice: the workers count an event that comes this way once (processors/redriven.py). docs/decisions/0014 says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from schemas.codec import OutputCodec
from schemas.reasons import MEANINGS
from schemas.results import DeadLetter, OutgoingMessage
from schemas.topics import (
    DEAD_LETTERS,
    INPUT_TOPICS,
    PROFILES,
    REDRIVE_HEADER,
    REDRIVEN_HEADER,
    REFUSED_HEADER,
    SEGMENT_CHANGES,
)
from sinks.windows import windows
from streams.letters.shelf import Entry, Shelf, Source, letter_in

WINDOW_LETTERS: Final = 5_000
WINDOW_BYTES: Final = 32_000_000
"""Letters in memory at a time: within a window they go out in the order of their records."""

TOPICS: Final = frozenset((*INPUT_TOPICS, SEGMENT_CHANGES))
"""What may be sent again: readers of these count or show a repetition once."""


class Publisher(Protocol):
    """The part of `sinks.kafka.Publisher` that redriving uses."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What a redrive would do."""

    chosen: list[Entry]
    sent_before: int
    """Letters asked for that were sent again already."""
    obstacles: Counter[str] = field(default_factory=Counter)
    """Why letters asked for stay where they are -> how many."""


def plan_of(shelf: Shelf) -> Plan:
    """Sort out the letters of a shelf."""
    chosen, obstacles, before = [], Counter[str](), 0
    for entry in shelf.entries.values():
        obstacle = obstacle_of(entry)
        if entry.letter_id in shelf.redriven:
            before += 1
        elif obstacle is not None:
            obstacles[obstacle] += 1
        else:
            chosen.append(entry)
    return Plan(chosen, before, obstacles)


def obstacle_of(entry: Entry) -> str | None:
    """Why sending this letter's record again cannot help, or would do harm; null where it may."""
    if entry.topic == PROFILES:
        return "profiles: an old version would hide a newer one; the customer's next version takes its place"
    if entry.topic not in TOPICS:
        return "a topic this release does not know"
    meaning = next((meaning for reason, meaning in MEANINGS.items() if reason == entry.reason), None)
    if meaning is None:
        return "a reason this release does not know: use the one that wrote the letter"
    if not meaning.redrive:
        return f"{entry.reason}: {meaning.remedy}"
    return None if entry.whole else "the record was too large for a letter, which holds its beginning only"


def redrive(
    source: Source,
    plan: Plan,
    codec: OutputCodec,
    publisher: Publisher,
    progress: Callable[[int], None] = lambda _sent: None,
) -> int:
    """Send the chosen letters' records again, and mark the letters; how many. `progress` hears the count so far.

    Raises:
        RetryableError: Kafka did not confirm; what was sent counts once however often this is repeated.
        UnreachableError: Kafka or the registry does not answer.

    """
    sent = 0
    for found in windows(_letters(source, plan.chosen, codec), _bytes, WINDOW_BYTES, WINDOW_LETTERS):
        window = sorted(found, key=_origin)
        publisher.publish([record_of(letter) for letter in window])
        publisher.publish([mark_of(letter) for letter in window])
        sent += len(window)
        progress(sent)
    return sent


def record_of(letter: DeadLetter) -> OutgoingMessage:
    """The original record, and which letter it comes from."""
    ours = {REDRIVE_HEADER, REFUSED_HEADER}
    headers = [header for header in letter.headers if header[0] not in ours]
    headers += [(REDRIVE_HEADER, letter.letter_id.encode()), (REFUSED_HEADER, letter.reason.encode())]
    return OutgoingMessage(letter.topic, letter.key, letter.value, headers)


def mark_of(letter: DeadLetter) -> OutgoingMessage:
    """Says in `dead-letters`, behind the letter, that it was sent again."""
    return OutgoingMessage(DEAD_LETTERS, letter.letter_id.encode(), None, [(REDRIVEN_HEADER, letter.topic.encode())])


def _letters(source: Source, chosen: Sequence[Entry], codec: OutputCodec) -> Iterator[DeadLetter]:
    """The letters with their bytes, read again from the first of them on."""
    places = {entry.place for entry in chosen}
    for records in source.read(_firsts(places)) if places else ():
        for record in records:
            if (record.partition, record.offset) in places:
                places.discard((record.partition, record.offset))
                letter = letter_in(record, codec)
                if letter is not None:
                    yield letter
        if not places:
            return


def _firsts(places: Iterable[tuple[int, int]]) -> Mapping[int, int]:
    firsts: dict[int, int] = {}
    for partition, offset in places:
        firsts[partition] = min(offset, firsts.get(partition, offset))
    return firsts


def _bytes(letter: DeadLetter) -> int:
    return len(letter.value or b"")


def _origin(letter: DeadLetter) -> tuple[str, int, int]:
    return letter.topic, letter.partition, letter.offset
