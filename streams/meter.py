"""What the journey measures about itself: seconds a stage, and what each decision did, as Prometheus instruments."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from streams import metrics
from streams.decision import Decision
from streams.ledger import note_uncounted, sums_of
from streams.slices import Slice

_TALLIED: Final = {
    "received": metrics.EVENTS_RECEIVED,
    "applied": metrics.EVENTS_APPLIED,
    "duplicate": metrics.EVENTS_DUPLICATE,
    "control": metrics.EVENTS_CONTROL,
    "late": metrics.EVENTS_LATE,
    "dedup_unchecked": metrics.EVENTS_UNCHECKED,
}
"""Kinds of tallies -> counter by topic; `dead_lettered` is counted by reason, from the letters."""


class _Timed:
    """Tells how long its body took. Some run for every few customers; `contextmanager` costs four times as much."""

    __slots__ = ("_begin", "_name", "_tell")

    def __init__(self, name: str, tell: Callable[[str, float], None]) -> None:
        self._name, self._tell, self._begin = name, tell, 0.0

    def __enter__(self) -> None:
        self._begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._tell(self._name, time.perf_counter() - self._begin)


class Meter:
    """Reports to Prometheus, and keeps sums for whoever runs the journey in a test or a benchmark."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.counts: Counter[str] = Counter()
        self._parts: defaultdict[str, float] = defaultdict(float)

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time one stage of one batch."""
        return _Timed(name, self._observe)

    def part(self, name: str) -> AbstractContextManager[None]:
        """Time a part of a stage of one batch: `parts_ended` reports their sum."""
        return _Timed(name, self._add)

    def parts_ended(self) -> None:
        """The batch is through the stages that were timed in parts."""
        for name, took in self._parts.items():
            self._observe(name, took)
        self._parts.clear()

    def drop_parts(self) -> None:
        """There was nothing to do: a tick that wakes nobody is no batch."""
        self._parts.clear()

    def _add(self, name: str, took: float) -> None:
        self._parts[name] += took

    def _observe(self, name: str, took: float) -> None:
        self.seconds[name] += took
        metrics.STAGE_SECONDS.labels(name).observe(took)

    def finished(self, decision: Decision) -> None:
        """One decision has all its effects."""
        self._count_records(decision)
        changes = decision.outcome.changes
        self.counts["changes"] += len(changes)
        for group, n in Counter(change.group or change.segment for change in changes).items():
            metrics.SEGMENT_CHANGES.labels(group).inc(n)
        self.counts["batches"] += 1
        self.counts["changed"] += len(decision.changed)
        metrics.PROFILES_CHANGED.inc(len(decision.changed))
        self.counts["examples"] += len(decision.outcome.answers)
        self.counts["ticks"] += decision.ticks
        metrics.DUE_TICKS.inc(decision.ticks)
        now = time.time()
        for _, part in decision.slices:
            _observe_latency(part, now)

    def _count_records(self, decision: Decision) -> None:
        sums = sums_of(decision)
        note_uncounted(decision, sums)
        for (what, topic, _), n in sums.items():
            self.counts[what] += n
            if what in _TALLIED:
                _TALLIED[what].labels(topic).inc(n)
        for letter in decision.letters:
            metrics.EVENTS_DEAD_LETTERED.labels(letter.topic, letter.reason).inc()


def _observe_latency(part: Slice, now: float) -> None:
    """The first record of a slice waited longest."""
    metrics.EVENTS_CLAMPED.labels(part.topic).inc(part.misdated.clamped)
    metrics.EVENTS_TOO_LATE.labels(part.topic).inc(part.misdated.too_late)
    if part.records:
        metrics.LATENCY_SECONDS.labels(part.topic).observe(max(0.0, now - part.records[0].timestamp / 1000))
    metrics.BATCH_RECORDS.observe(part.received)
