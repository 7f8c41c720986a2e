"""Notices that nothing moves although something should: consumers that go silent, offsets that stop, dead agents.

Faust and aiokafka are known for all three, and none of them raises anything. Nothing inside the process can be trusted
to mend it then, so the process ends with an exit code that its supervisor knows, and starts again from the fences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from streams.kafka.chunks import TopicPartition
from streams.kafka.watchdog import STOP, WORK

Kind = Literal["silent consumer", "standstill", "hung work", "hung stop"]
"""Why a watchdog ends a process: the labels of the metric."""

KIND_OF: Final[Mapping[str, Kind]] = {WORK: "hung work", STOP: "hung stop"}
"""What a watchdog expected in vain -> its kind; nothing for a stop that was asked for twice."""
KINDS: Final[tuple[Kind, ...]] = ("silent consumer", "standstill", "hung work", "hung stop")


@dataclass(slots=True)
class Standstill:
    """Pure: told now and then what is going on, it says what is wrong. Times are seconds of one monotonic clock."""

    patience: float
    _positions: Mapping[TopicPartition, int] = field(default_factory=dict)
    _moved: float = 0.0
    _heard: float = 0.0
    _begun: bool = False

    def excuse(self, now: float) -> None:
        """Nothing is expected: no partition is assigned, a server is waited for, work is at hand or on its way."""
        self._moved = self._heard = now
        self._begun = True

    def look(
        self,
        now: float,
        answered: float | None,
        ends: Mapping[TopicPartition, int],
        positions: Mapping[TopicPartition, int],
    ) -> tuple[Kind, str] | None:
        """What is wrong, and how one sees it; null: nothing.

        `answered` is when a broker last answered a fetch; null while nothing more is wanted of it.
        """
        if not self._begun:  # a worker may have joined before anything could be excused
            self.excuse(now)
        self._heard = now if answered is None else max(self._heard, answered)
        if positions != self._positions:
            self._positions, self._moved = dict(positions), now
        behind = {tp: end - positions[tp] for tp, end in ends.items() if end > positions.get(tp, end)}
        if not behind:
            self._moved = now
        if now - self._heard > self.patience:
            return "silent consumer", f"no fetch was answered for {now - self._heard:.0f} s"
        if now - self._moved > self.patience:
            (topic, partition), records = max(behind.items(), key=lambda item: item[1])
            return "standstill", (
                f"no offset moved for {now - self._moved:.0f} s though {len(behind)} topic-partitions have records, "
                f"as {topic} {partition} has {records}"
            )
        return None
