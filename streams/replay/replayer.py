"""Produces a history to the input topics, and with it the clock: markers at the end of every simulated day.

A marker is a keyed record without a value, its header `footfall-clock` the instant it closes. It goes to every
partition of every input topic after all events up to that instant, so a reader who has it has seen them.
"""

from __future__ import annotations

import time as machine
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Protocol

from schemas.errors import UnreachableError
from schemas.topics import CLOCK_HEADER
from streams.replay.encoding import Outgoing

MARKER_KEY: Final = b"footfall-clock"
_SLICE: Final = 0.02
"""Seconds between two looks at the clock when paced: a fiftieth looks even to a person."""
_POLL_EVERY: Final = 1_000
_FLUSH_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is: events and markers sent, the simulated instant (ms), seconds since its start."""

    events: int
    markers: int
    instant: int
    seconds: float


class Producer(Protocol):
    """The part of `confluent_kafka.Producer` that is used here."""

    def produce(self, topic: str, value: bytes | None = None, key: bytes | None = None, **more: Any) -> None:
        """Queue one record; raises BufferError when the queue is full."""

    def poll(self, timeout: float) -> int:
        """Serve delivery reports."""

    def flush(self, timeout: float) -> int:
        """Wait for the deliveries; returns how many are still open."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What others want to be told while a replay runs.

    `wait_for(instant)` is called with the last ms of a day before that day's marker is sent, with every event of
    the day delivered: returning lets time go on (lockstep). `progress` is called about ten times a second.
    """

    wait_for: Callable[[int], None] | None = None
    progress: Callable[[Progress], None] | None = None
    clock: Callable[[], float] = machine.monotonic
    sleep: Callable[[float], None] = machine.sleep


@dataclass(slots=True)
class Replayer:
    """Sends records in the order given. `partitions`: topic -> partition count; `rate`: events/s, None for no limit."""

    producer: Producer
    partitions: Mapping[str, int]
    rate: float | None = None
    zone: tzinfo = UTC
    hooks: Hooks = Hooks()
    events: int = field(default=0, init=False)
    markers: int = field(default=0, init=False)
    _now: int = field(default=0, init=False)
    _day_end: int | None = field(default=None, init=False)
    _began: float = field(default=0.0, init=False)
    _reported: float = field(default=0.0, init=False)
    _failures: list[str] = field(default_factory=list, init=False)

    def replay(self, records: Iterable[Outgoing], end: int | None = None) -> Progress:
        """Send all records and the markers, and wait until Kafka has confirmed them.

        The last marker is at `end`, by default the last event's time. A record after a day's end sends that day's
        marker first; one that comes late (before the day already closed) is sent as it comes.

        Raises:
            UnreachableError: Kafka did not confirm everything.

        """
        self._began = self.hooks.clock()
        pause_every = max(1, int(self.rate * _SLICE)) if self.rate else _POLL_EVERY
        for record in records:
            if record.time > self._now:
                self._advance(record.time)
            self._send(record.topic, record.value, record.key)
            self.events += 1
            if self.events % pause_every == 0:
                self._breathe()
        self._finish(end)
        return self._report()

    def _advance(self, time: int) -> None:
        if self._day_end is None:
            self._day_end = end_of_day(time, self.zone)
        while time > self._day_end:
            self._mark(self._day_end)
            self._day_end = end_of_day(self._day_end + 1, self.zone)
        self._now = time

    def _finish(self, end: int | None) -> None:
        last = max(self._now, end or 0)
        if self._day_end is not None:
            self._advance(last)
            self._mark(last)
        self._flush()

    def _mark(self, instant: int) -> None:
        if self.hooks.wait_for is not None:
            self._flush()
            self.hooks.wait_for(instant)
        header = [(CLOCK_HEADER, str(instant).encode())]
        for topic, count in self.partitions.items():
            for partition in range(count):
                self._send(topic, None, MARKER_KEY, partition=partition, headers=header)
                self.markers += 1

    def _send(self, topic: str, value: bytes | None, key: bytes, **more: Any) -> None:
        while True:
            try:
                self.producer.produce(topic, value, key, on_delivery=self._delivered, **more)
            except BufferError:
                self.producer.poll(0.05)
            else:
                return

    def _breathe(self) -> None:
        self.producer.poll(0)
        if self._failures:
            self._flush()
        now = self.hooks.clock()
        if self.hooks.progress is not None and now - self._reported >= 0.1:
            self._reported = now
            self.hooks.progress(self._report())
        if self.rate:
            ahead = self.events / self.rate - (now - self._began)
            if ahead > 0:
                self.hooks.sleep(ahead)

    def _delivered(self, error: Any, message: Any) -> None:
        del message
        if error is not None:
            self._failures.append(str(error))

    def _flush(self) -> None:
        left = self.producer.flush(_FLUSH_SECONDS) + len(self._failures)
        if left:
            why = self._failures[0] if self._failures else f"no answer within {_FLUSH_SECONDS:.0f} s"
            raise UnreachableError(f"Kafka has not confirmed {left} of the replayed records ({why}): is it running?")

    def _report(self) -> Progress:
        return Progress(self.events, self.markers, self._now, self.hooks.clock() - self._began)


def end_of_day(time: int, zone: tzinfo) -> int:
    """The last ms of the day of `zone` that an instant lies in."""
    local = datetime.fromtimestamp(time / 1000, zone)
    midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), zone)
    return int(midnight.timestamp()) * 1000 - 1
