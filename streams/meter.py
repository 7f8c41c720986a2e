"""What the journey measures about itself: seconds a stage, and what a batch did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from streams.decision import Decision


class Meter:
    """Sums since the start; `streams.metrics` subclasses it to feed Prometheus."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.stage_took(name, perf_counter() - begin)

    def stage_took(self, name: str, seconds: float) -> None:
        """One stage of one batch took so long."""
        self.seconds[name] += seconds

    def finished(self, decision: Decision, owned_profiles: int) -> None:
        """One decision has all its effects."""
        self.counts["batches"] += 1
        self.counts["changed"] += len(decision.changed)
        self.counts["changes"] += len(decision.outcome.changes)
        self.counts["examples"] += len(decision.outcome.answers)
        self.counts["ticks"] += decision.ticks
        self.counts["dead_lettered"] += len(decision.letters)
        self.counts["owned_profiles"] = owned_profiles
