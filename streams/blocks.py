"""From the chunks of a poll to the blocks of the warehouse, and the dead letters of what cannot be written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import NAMESPACE_URL, uuid5

from schemas.bodies import result_batch
from schemas.codec import OutputCodec
from schemas.decode import SchemaLookup, decode_chunks
from schemas.errors import UnreachableError
from schemas.events import Chunk, DecodedChunk, RawRecord, Rejected
from schemas.results import DeadLetter
from schemas.topics import EVENT_NAMES, PROFILES, SEGMENT_CHANGES
from schemas.validation import ContractRules
from sinks.rows import (
    CHANGES,
    EVENTS,
    PROFILE_VERSIONS,
    change_columns,
    change_rows,
    event_rows,
    joined,
    profile_columns,
    profile_rows,
)
from sinks.warehouse import Block, Refused
from streams.poison import USUAL, PoisonLimits, PoisonWatch

TOPICS: Final = (*EVENT_NAMES, SEGMENT_CHANGES, PROFILES)
"""What the warehouse holds."""

_IN_COLUMNS: Final = {SEGMENT_CHANGES: (CHANGES, change_columns), PROFILES: (PROFILE_VERSIONS, profile_columns)}
_OUTPUT_OF: Final = {CHANGES: SEGMENT_CHANGES, PROFILE_VERSIONS: PROFILES}
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Contents:
    """What the chunks of a poll hold: one block a table, and the records nobody else buries."""

    blocks: list[Block]
    letters: list[DeadLetter]


class PollReader:
    """Turns chunks into blocks. What the processor dead-letters is left out here and not buried again."""

    def __init__(
        self, lookup: SchemaLookup, rules: ContractRules, codec: OutputCodec, limits: PoisonLimits = USUAL
    ) -> None:
        self._lookup = lookup
        self._rules = rules
        self._codec = codec
        self._poison = PoisonWatch(limits)

    def read(self, chunks: Sequence[Chunk]) -> Contents:
        """All chunks of a poll.

        Raises:
            UnreachableError: the registry does not answer; call again.
            PoisonLimitError: too many records of an output topic cannot be read.

        """
        tables: dict[str, list[Any]] = defaultdict(list)
        letters: list[DeadLetter] = []
        events = [chunk for chunk in chunks if chunk.topic in EVENT_NAMES]
        for decoded in decode_chunks(events, self._lookup, self._rules):
            tables[EVENTS] += [event_rows(batch) for batch in decoded.batches]
        for chunk in chunks:
            if chunk.topic not in EVENT_NAMES:
                letters += self._read_output(chunk, tables)
        return Contents([Block.of(table, joined(parts)) for table, parts in tables.items() if parts], letters)

    def _read_output(self, chunk: Chunk, tables: dict[str, list[Any]]) -> list[DeadLetter]:
        """The records of an output topic: in columns, or one by one where one of them is bad or of another release."""
        offsets = [record.offset for record in chunk.records if record.value is not None]
        if not offsets:
            return []
        values = [record.value for record in chunk.records if record.value is not None]
        batch = result_batch(chunk.topic, values, self._lookup)
        if batch is None:
            return self._read_one_by_one(chunk, tables)
        table, columns = _IN_COLUMNS[chunk.topic]
        tables[table].append(columns(batch, chunk.partition, offsets))
        self._poison.note(DecodedChunk(chunk.topic, chunk.partition, [], [], [], len(chunk.records)))
        return []

    def _read_one_by_one(self, chunk: Chunk, tables: dict[str, list[Any]]) -> list[DeadLetter]:
        if chunk.topic == SEGMENT_CHANGES:
            changes, offsets, rejected = _decoded(chunk.records, self._codec.decode_change)
            if changes:
                tables[CHANGES].append(change_rows(changes, chunk.partition, offsets))
        else:
            updates, offsets, rejected = _decoded(chunk.records, self._codec.decode_profile_update)
            if updates:
                tables[PROFILE_VERSIONS].append(profile_rows(updates, chunk.partition, offsets))
        self._poison.note(DecodedChunk(chunk.topic, chunk.partition, [], rejected, [], len(chunk.records)))
        return [letter_of(chunk.topic, chunk.partition, bad) for bad in rejected]


def _decoded(records: Sequence[RawRecord], decode: Callable[[bytes], _R]) -> tuple[list[_R], list[int], list[Rejected]]:
    """Results, their offsets, and what cannot be read. Records without a value (tombstones) are none of these."""
    results: list[_R] = []
    offsets: list[int] = []
    rejected: list[Rejected] = []
    for record in records:
        if record.value is None:
            continue
        try:
            results.append(decode(record.value))
        except (UnreachableError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  fastavro raises nearly anything on bad bytes
            rejected.append(Rejected(record.offset, "undecodable", f"{type(error).__name__}: {error}", record))
        else:
            offsets.append(record.offset)
    return results, offsets, rejected


def letter_of(topic: str, partition: int, bad: Rejected) -> DeadLetter:
    """A dead letter under an id that a repetition repeats; the append time tells a recreated topic's apart."""
    identity = f"footfall:sink:{topic}:{partition}:{bad.offset}:{bad.record.timestamp}"
    return DeadLetter.of(str(uuid5(NAMESPACE_URL, identity)), topic, partition, bad)


def refusals(block: Block, refused: Sequence[Refused], chunks: Iterable[Chunk]) -> list[DeadLetter]:
    """The dead letters of refused rows, with the records they came from."""
    if not refused:
        return []
    records = {(c.topic, c.partition, record.offset): record for c in chunks for record in c.records}
    rows = block.rows
    letters = []
    for bad in refused:
        topic = _OUTPUT_OF.get(block.table) or rows["topic"][bad.position].as_py()
        partition, offset = rows["kafka_partition"][bad.position].as_py(), rows["kafka_offset"][bad.position].as_py()
        rejected = Rejected(offset, "sink_rejected", bad.detail, records[topic, partition, offset])
        letters.append(letter_of(topic, partition, rejected))
    return letters
