"""One run of one contestant: started on full topics, watched until everything is through, stopped, checked."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.peers.plan import Plan
from benchmarks.peers.tree import Cost, members
from streams.embedded.child import Child, Launch

PATIENCE: Final = 600.0
"""Seconds a run may take."""
LOOK_SECONDS: Final = 0.2
QUIET_SECONDS: Final = 1.0
SHORTEST: Final = 1.0
"""Seconds that are measured: of less, chance and the looks make the rate."""
FROM: Final = 0.1
"""The clock starts when this share of the events is through: starting up and warming up are not measured."""
GRACE: Final = 20.0
_PATIENCE: Final = 10.0
_FETCH_MS: Final = 10
"""The end of a partition is told by a fetch that finds nothing, however long it waits for something."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one run gave. Times in seconds; processor time of everything the contestant runs on but Kafka."""

    events: int
    seconds: float
    cpu: float
    peak_mib: float
    whole: bool = True
    """Whether it came to the end: only then is there something to compare."""

    @property
    def rate(self) -> float:
        """Events/s."""
        return self.events / self.seconds

    @property
    def cpu_per_million(self) -> float:
        """Seconds of processor time per million events."""
        return self.cpu / self.events * 1e6


class Program(Child):
    """A peer's program in a session of its own: what it started ends with it."""

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        super().__init__(Launch(argv[0], argv, log))

    def check(self) -> None:
        """Raises RuntimeError, with the end of its log, when it has ended by itself."""
        if not self.running:
            raise RuntimeError(f"{self.launch.name} ended with {self.returncode}:\n{self.log_tail()}")

    def stop(self, grace: float = GRACE) -> None:
        """SIGTERM, and SIGKILL for whatever is left of its session after a while."""
        super().stop(grace)
        while left := members(self.pid or 0):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


class Outputs:
    """How far the output topic has come: also what is not committed yet, and markers of transactions, which are few."""

    def __init__(self, plan: Plan) -> None:
        self._consumer: Any = Consumer(
            {"bootstrap.servers": plan.bootstrap, "group.id": plan.group, "isolation.level": "read_uncommitted",
             "enable.partition.eof": True, "fetch.wait.max.ms": _FETCH_MS}
        )  # fmt: skip
        self._topic = plan.output
        self._partitions = range(plan.partitions)
        self._told: Mapping[int, int] = {}

    def count(self) -> int:
        """The sum of the ends; 0 while the topic is so new that its partitions have no leader.

        The embedded broker tells where its last batch begins, not where it ends: where nothing moves, that is read.
        """
        before, self._told = self._told, self._ends()
        return self.exactly() if self._told == before else sum(self._told.values())

    def exactly(self) -> int:
        """The sum of the ends, whatever the broker tells: the last records are read."""
        ends = dict(self._ends())
        self._consumer.assign([TopicPartition(self._topic, n, end - 1) for n, end in ends.items() if end])
        open_ones = sum(end > 0 for end in ends.values())
        while open_ones and (message := self._consumer.poll(_PATIENCE)):
            open_ones -= message.error() is not None
            ends[message.partition()] = max(ends[message.partition()], message.offset() + (not message.error()))
        self._consumer.unassign()
        return sum(ends.values())

    def _ends(self) -> Mapping[int, int]:
        places = {number: TopicPartition(self._topic, number) for number in self._partitions}
        try:
            return {n: self._consumer.get_watermark_offsets(at, timeout=_PATIENCE)[1] for n, at in places.items()}
        except KafkaException:
            return {}

    def settle(self) -> None:
        """Wait until nothing comes any more: markers may have been counted in place of the last messages."""
        before = -1
        while (now := self.count()) != before:
            before = now
            time.sleep(QUIET_SECONDS)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


def watch(
    done: Callable[[], int], events: int, cost: Cost, check: Callable[[], None], most: float = PATIENCE
) -> Result:
    """Wait until `done` says that all events are through, or `most` seconds after the warm-up; what that part took.

    Raises TimeoutError, ValueError where the events are too few to measure, and what `check` raises when the
    contestant has ended.
    """
    deadline = time.monotonic() + PATIENCE
    begun: tuple[float, int, float] | None = None
    while time.monotonic() < deadline:
        now, count = time.monotonic(), done()
        cost.look()
        if begun is None and count >= FROM * events:
            begun = (now, count, cost.cpu)
        if begun is not None and (count >= events or now - begun[0] >= most):
            at, before, cpu = begun
            if now - at < SHORTEST:
                raise ValueError(f"nine tenths of the events took {now - at:.1f} s: give more --events")
            return Result(min(count, events) - before, now - at, cost.cpu - cpu, cost.peak_mib, whole=count >= events)
        check()
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"{done():,} of {events:,} events were through after {PATIENCE:.0f} s")
