"""How far a topic-partition has been read, and whether what was counted there adds up with what the log holds. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.results import BucketClaim
from streams.conservation import BEFORE, COUNTED, RECEIVED, Place, by_place, imbalance
from streams.doctor.finding import Row


@dataclass(frozen=True, slots=True)
class Standing:
    """One topic-partition: its log [first, end), what its buckets have applied, and what they have counted."""

    place: Place
    first: int
    end: int
    lowest: int
    """The position after the lowest fence of its buckets: every record before it is applied."""
    highest: int
    """The position after the highest one: no record from there on is applied."""
    counts: Counter[str]

    @property
    def in_flight(self) -> int:
        """Records in the log that not every bucket has passed."""
        return max(0, self.end - max(self.lowest, self.first))

    @property
    def imbalance(self) -> int:
        """Records received that have no outcome."""
        return imbalance(self.counts)

    @property
    def counted_twice(self) -> int:
        """Records received beyond those that can have been applied: 0 in good order."""
        return max(0, self._received - self.highest)

    @property
    def uncounted(self) -> int:
        """Offsets passed in the log that were not received: 0 unless producers use transactions, which leave gaps."""
        return max(0, self.lowest - self.first - self._received)

    @property
    def beyond_the_end(self) -> bool:
        """Whether more was applied than the log holds: it lost its tail, or is another log."""
        return self.highest > self.end

    @property
    def unread_and_gone(self) -> int:
        """Records that retention took before they were read; 0 where nothing was ever applied."""
        return max(0, self.first - self.lowest) if self.lowest > 0 else 0

    @property
    def row(self) -> Row:
        """The figures, for a table."""
        counts = {what: self.counts[what] for what in COUNTED}
        topic, partition = self.place
        return {"topic": topic, "partition": partition, "end": self.end, **counts, "in_flight": self.in_flight}

    @property
    def name(self) -> str:
        """For a sentence."""
        return f"{self.place[0]} partition {self.place[1]}"

    @property
    def _received(self) -> int:
        """From the log as it is now."""
        return self.counts[RECEIVED] - self.counts[BEFORE]


def standings(
    claims: Sequence[BucketClaim],
    topic_ids: Mapping[str, str],
    partitions: int,
    firsts: Mapping[Place, int],
    ends: Mapping[Place, int],
) -> list[Standing]:
    """All topic-partitions of the input topics; `claims` are what all buckets hold."""
    counted = by_place(_sum(claims))
    found = []
    for topic, identity in topic_ids.items():
        for number in range(partitions):
            place, fence = (topic, number), f"{identity}:{number}"
            passed = [claim.fences.get(fence, -1) + 1 for claim in claims if claim.bucket % partitions == number]
            counts = counted.get(place, Counter())
            found.append(Standing(place, firsts.get(place, 0), ends.get(place, 0), min(passed), max(passed), counts))
    return found


def foreign_fences(claims: Sequence[BucketClaim], topic_ids: Mapping[str, str], partitions: int) -> list[str]:
    """Fences that are not those of these topics in these partitions: what makes a worker stop at its claim."""
    known = {f"{identity}:{number}" for identity in topic_ids.values() for number in range(partitions)}
    return sorted({fence for claim in claims for fence in claim.fences} - known)


def _sum(claims: Sequence[BucketClaim]) -> Counter[str]:
    total: Counter[str] = Counter()
    for claim in claims:
        total.update(claim.tally)
    return total
