"""What the live generation holds of the log: up to where it has read, and how many records it has received."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.errors import ConfigurationError, ForeignTopicError
from schemas.results import BucketClaim
from schemas.topics import INPUT_TOPICS
from streams.kafka.chunks import TopicPartition
from streams.refold.bounds import Bound


@dataclass(frozen=True, slots=True)
class Layout:
    """Kafka's identities of the input topics, and their number of partitions."""

    topic_ids: Mapping[str, str]
    partitions: int

    def positions(self, fences: Iterable[tuple[int, Mapping[str, int]]]) -> dict[TopicPartition, int]:
        """The offset after the last record held, from (bucket, fences) read at one instant.

        The greatest of a partition number's buckets counts: one whose fence lies lower had no record in between, for
        all buckets that a batch touches move in one step.
        """
        names = {f"{topic_id}:{number}": (topic, number) for topic, topic_id in self.topic_ids.items()
                 for number in range(self.partitions)}  # fmt: skip
        found = dict.fromkeys(names.values(), 0)
        for _, held in fences:
            for name, offset in held.items():
                tp = names.get(name)
                if tp is None:
                    raise ForeignTopicError(
                        f"Redis remembers a topic that is not one of these ({name}): a topic was deleted and created "
                        "again, or this Redis belongs to another Kafka; there is no log to replay."
                    )
                found[tp] = max(found[tp], offset + 1)
        return found

    def numbers(self) -> range:
        """All partition numbers."""
        return range(self.partitions)


@dataclass(frozen=True, slots=True)
class LiveLog:
    """The live generation at one instant."""

    positions: Mapping[TopicPartition, int]
    received: Mapping[TopicPartition, int] = field(default_factory=dict)
    """Records counted, duplicates and dead letters included."""

    @classmethod
    def of(cls, claims: Iterable[BucketClaim], layout: Layout) -> LiveLog:
        """From all buckets.

        Raises:
            ForeignTopicError: a fence names a topic that is gone.
            ConfigurationError: nothing was ever folded.

        """
        claims = list(claims)
        positions = layout.positions((claim.bucket, claim.fences) for claim in claims)
        if not any(positions.values()):
            raise ConfigurationError(
                "The live profiles hold no record yet, so there is nothing to compare a replay with: run "
                "`footfall process` first, or check FOOTFALL_REDIS__URL and FOOTFALL_REDIS__PREFIX."
            )
        received: Counter[TopicPartition] = Counter()
        for claim in claims:
            for name, count in claim.tally.items():
                what, topic, partition = name.split(":")
                if what == "received":
                    received[topic, int(partition)] += count
        return cls(positions, received)

    def bounds(self, number: int) -> dict[str, Bound]:
        """What a partition number's replay reads."""
        return {topic: Bound(offset=self.positions[topic, number], known=True) for topic in INPUT_TOPICS}

    def unlogged(self, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Records counted that the log no longer holds before these positions: what they did cannot be folded again."""
        held = {tp: max(0, position - starts[tp]) for tp, position in self.positions.items()}
        return {tp: gone for tp in held if (gone := self.received.get(tp, 0) - held[tp]) > 0}
