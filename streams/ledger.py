"""The conservation law while it runs: what a worker's partition numbers have committed, as gauges that must balance.

Nothing is asked of Redis: the totals are known from the claim, and every commit adds its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import structlog

from streams import metrics
from streams.conservation import COUNTED, RECEIVED, Place, by_place, imbalance, parsed
from streams.decision import Decision
from streams.ownership import OwnedPartition

log = structlog.get_logger(__name__)


class Ledger:
    """Shows the committed totals of each topic-partition, and what of them is out of balance."""

    def __init__(self) -> None:
        self._broken: dict[Place, int] = {}

    def show(self, owned: Iterable[OwnedPartition]) -> None:
        """Bring the gauges to what these partition numbers have committed; others are shown no more."""
        committed: dict[tuple[str, int, str], float] = {}
        missing: dict[Place, int] = {}
        for owner in owned:
            for place, counts in by_place(owner.tallied).items():
                committed |= {(*place, what): counts[what] for what in COUNTED}
                missing[place] = imbalance(counts) + owner.uncounted[place[0]]
        metrics.show_only(metrics.COMMITTED_RECORDS, committed)
        metrics.show_only(metrics.IMBALANCE_RECORDS, missing)
        self._say(missing)

    def _say(self, missing: Mapping[Place, int]) -> None:
        broken = {place: n for place, n in missing.items() if n}
        for (topic, partition), n in broken.items() - self._broken.items():
            log.error("the conservation law is broken", topic=topic, partition=partition, records=n)
        self._broken = broken


def show_in_flight(owned: Iterable[OwnedPartition], read: Mapping[Place, int], topic_ids: Mapping[str, str]) -> None:
    """Records read (up to these positions) and not committed, where this worker knows both."""
    in_flight: dict[Place, float] = {}
    for owner in owned:
        for topic, identity in topic_ids.items():
            position = read.get((topic, owner.number))
            if position is not None:
                committed = owner.applied.get(f"{identity}:{owner.number}", -1) + 1
                in_flight[topic, owner.number] = max(0, position - committed)
    metrics.show_only(metrics.IN_FLIGHT_RECORDS, in_flight)


def note_uncounted(decision: Decision, sums: Mapping[tuple[str, str, int], int]) -> None:
    """Hold what a committed decision counted, as (what, topic, partition) -> records, against what was in the log.

    A record that some bucket may have applied before the claim is counted or not; all others must be.
    """
    for owner, part in decision.slices:
        missing = len(part.records) - sums.get((RECEIVED, part.topic, part.partition), 0)
        if part.first > owner.replayed.get(part.fence, -1) or missing < 0:
            owner.uncounted[part.topic] += missing


def sums_of(decision: Decision) -> dict[tuple[str, str, int], int]:
    """The tallies of a decision over all buckets: (what, topic, partition) -> records."""
    by_name: defaultdict[str, int] = defaultdict(int)
    for tally in decision.tallies.values():
        for name, n in tally.items():
            by_name[name] += n
    return {(what, *place): n for what, place, n in parsed(by_name)}
