"""The conservation law: every record received is applied, a duplicate, dead-lettered or a clock marker, and just once.

The tallies commit with the state they speak of, so the law survives any kill. A tally is named
`<what>:<topic>:<partition>` and lies in the bucket of the record's customer, or in the lowest one of its partition.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

Place = tuple[str, int]
"""(topic, partition)."""

RECEIVED: Final = "received"
OUTCOMES: Final = ("applied", "duplicate", "dead_lettered", "control")
COUNTED: Final = (RECEIVED, *OUTCOMES)
BEFORE: Final = "before"
"""What was received from an earlier log of the same topic: the embedded broker begins a new one at every start."""


def by_place(tallies: Mapping[str, int]) -> dict[Place, Counter[str]]:
    """What was counted on each topic-partition: `<what>` -> records."""
    places: defaultdict[Place, Counter[str]] = defaultdict(Counter)
    for what, place, n in parsed(tallies):
        places[place][what] += n
    return dict(places)


def parsed(tallies: Mapping[str, int]) -> Iterator[tuple[str, Place, int]]:
    """Each tally as (what, place, records)."""
    for name, n in tallies.items():
        what, topic, partition = name.split(":")
        yield what, (topic, int(partition)), n


def imbalance(counts: Mapping[str, int]) -> int:
    """Records received that have no outcome; below 0: outcomes of records that were not received. 0 in good order."""
    return counts.get(RECEIVED, 0) - sum(counts.get(what, 0) for what in OUTCOMES)
