"""Pure bookkeeping of chunks: which to accept, which poll is complete, what may be committed.

A position is the offset of the next record to read. All maps are keyed by (topic, partition).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from schemas.errors import ProtocolError, RewoundError
from schemas.events import Chunk

TopicPartition = tuple[str, int]


def tp_of(chunk: Chunk) -> TopicPartition:
    """The (topic, partition) of a chunk."""
    return (chunk.topic, chunk.partition)


@dataclass(slots=True)
class _Expected:
    position: int
    """Where the next chunk must begin."""
    after_poll: int
    """Polls up to this one were read before the last seek: what they brought is stale."""


@dataclass(slots=True)
class ChunkGate:
    """Accepts each record once and in order: what was read before a rebalance or a seek is turned away."""

    generation: int = 0
    _expected: dict[TopicPartition, _Expected] = field(default_factory=dict)

    def assign(self, generation: int, positions: Mapping[TopicPartition, int], after_poll: int = 0) -> None:
        """Begin a generation: only its chunks are accepted, from these positions on."""
        self.generation = generation
        self._expected = {tp: _Expected(position, after_poll) for tp, position in positions.items()}

    def revoke(self, tps: Collection[TopicPartition]) -> None:
        """Accept nothing more of these."""
        for tp in tps:
            self._expected.pop(tp, None)

    def seek(self, tp: TopicPartition, position: int, after_poll: int) -> None:
        """Expect `position` next; `after_poll` is the last poll that was read before the seek took effect."""
        self._expected[tp] = _Expected(position, after_poll)

    def position(self, tp: TopicPartition) -> int | None:
        """Where the next accepted chunk begins; null when the partition is not assigned."""
        expected = self._expected.get(tp)
        return None if expected is None else expected.position

    def positions(self) -> dict[TopicPartition, int]:
        """Where the next accepted chunk of each assigned topic-partition begins."""
        return {tp: expected.position for tp, expected in self._expected.items()}

    def accept(self, chunk: Chunk) -> bool:
        """Whether to apply this chunk; then the next one must begin where it ends.

        Raises:
            RewoundError: the broker skipped or repeated records on its own: retention removed unread ones, or the
                topic was recreated.

        """
        expected = self._expected.get(tp_of(chunk))
        if chunk.generation != self.generation or expected is None or chunk.poll <= expected.after_poll:
            return False
        if chunk.first != expected.position:
            raise RewoundError(_jump(chunk, expected.position))
        expected.position = chunk.next
        return True


def gap(tp: TopicPartition, expected: int, first: int) -> str:
    """What is said of records that retention took before they were read, and what whoever reads it can do."""
    return (
        f"topic {tp[0]}, partition {tp[1]}: records {expected} to {first - 1} are gone before they were read; the log "
        f"begins at {first}. Raise the topic's retention.ms. To go on without them start once with `footfall process "
        "--skip-gap`; the place of another role's group is Kafka's: `kafka-consumer-groups --reset-offsets`."
    )


def _jump(chunk: Chunk, expected: int) -> str:
    where = f"topic {chunk.topic}, partition {chunk.partition}"
    if chunk.first > expected:
        return gap((chunk.topic, chunk.partition), expected, chunk.first)
    return f"{where}: the log went back from {expected} to {chunk.first}; was the topic recreated?"


@dataclass(slots=True)
class Acks:
    """What may be committed: the end of the last acknowledged chunk, in strict order.

    Faust's own bookkeeping commits past an un-acked head (its gap check is off by one); here nothing can, because
    an acknowledgement out of order is refused.
    """

    _positions: dict[TopicPartition, int] = field(default_factory=dict)
    _dirty: dict[TopicPartition, int] = field(default_factory=dict)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Begin anew: everything before these positions is done.

        They are committed as well: the last owner may have died, or lost its membership, before it committed them, and
        where nothing new arrives nobody else ever would.
        """
        self._positions = dict(positions)
        self._dirty = {tp: position for tp, position in positions.items() if position}

    def seek(self, tp: TopicPartition, position: int) -> None:
        """Chunks of `tp` will be acknowledged from here on; nothing is committed until one is."""
        self._positions[tp] = position
        self._dirty.pop(tp, None)

    def ack(self, chunk: Chunk) -> None:
        """All effects of this chunk are confirmed.

        Raises:
            ProtocolError: an earlier chunk of the topic-partition is not acknowledged, or it is not assigned.

        """
        tp = tp_of(chunk)
        if self._positions.get(tp) != chunk.first:
            done = self._positions.get(tp)
            raise ProtocolError(f"{tp}: acknowledged {chunk.first} to {chunk.next} while everything up to {done} is")
        self._positions[tp] = self._dirty[tp] = chunk.next

    def positions(self) -> dict[TopicPartition, int]:
        """Up to where each topic-partition is done."""
        return dict(self._positions)

    def committable(self) -> dict[TopicPartition, int]:
        """Offsets to commit that were not confirmed yet."""
        return dict(self._dirty)

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Kafka confirmed these."""
        for tp, offset in offsets.items():
            if self._dirty.get(tp) == offset:
                del self._dirty[tp]


@dataclass(slots=True)
class PollAssembler:
    """Puts the chunks of one poll together again after they travelled one by one."""

    _poll: int = 0
    _chunks: list[Chunk] = field(default_factory=list)

    def add(self, chunk: Chunk) -> list[Chunk] | None:
        """The whole poll once its last chunk is in, in the order of arrival.

        A poll of which a rebalance swallowed a part is dropped: its records are read again in the next generation.
        """
        if chunk.poll != self._poll:
            self._poll, self._chunks = chunk.poll, []
        self._chunks.append(chunk)
        if len(self._chunks) < chunk.poll_size:
            return None
        whole, self._chunks = self._chunks, []
        return whole
