"""A producer that keeps to a pace, in a process of its own, and remembers when it called `produce` for each record."""

from __future__ import annotations

import multiprocessing
import signal
import time
from array import array
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Producer

from benchmarks.generator import Generator, Load, Record, readdressed
from streams.roles.replay import producer_config
from streams.settings import Settings

LINGER_MS: Final = 5
_STEP: Final = 0.005
_MADE_AT_ONCE: Final = 5_000
_SPAWN: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Pace:
    """What to send: `events` of a load whose rate is that of the wall clock, beginning when its first is due."""

    settings: Settings
    load: Load
    schema_ids: dict[str, int]
    events: int
    probe_every: int = 0
    """Every so many-th record is a probe, the only event of a customer of its own; 0: none."""
    linger_ms: int = LINGER_MS
    """How long the producer collects records of a partition into a batch."""

    @property
    def probes(self) -> range:
        """Which records are probes."""
        return range(0, self.events, self.probe_every) if self.probe_every else range(0)


def probe_name(place: int) -> str:
    """The customer of the probe that is the record of this place."""
    return f"p{place:07d}"


def records_of(pace: Pace) -> list[Record]:
    """All records, in order."""
    partitions = pace.settings.kafka.partitions
    generator = Generator(pace.load, pace.schema_ids, partitions)
    records: list[Record] = []
    while len(records) < pace.events:
        records += generator.batch(min(_MADE_AT_ONCE, pace.events - len(records)))
    for place in pace.probes:
        records[place] = readdressed(records[place], probe_name(place), partitions)
    return records


class PacedSender:
    """The process, from the parent's side."""

    def __init__(self, pace: Pace) -> None:
        self._answer, theirs = _SPAWN.Pipe(duplex=False)
        self._process = _SPAWN.Process(target=_send, args=(pace, theirs), daemon=True)
        self._process.start()

    @property
    def done(self) -> bool:
        """Whether everything is sent and confirmed, or the process has failed."""
        return bool(self._answer.poll()) or not self._process.is_alive()

    def called(self) -> array[float]:
        """When `produce` was called for each record, Unix seconds. Raises RuntimeError when not all were confirmed."""
        if not self._answer.poll(60):
            raise RuntimeError(f"the producer ended with {self._process.exitcode}")
        refused, times = self._answer.recv()
        self._process.join(10)
        if refused:
            raise RuntimeError(refused)
        called = array("d")
        called.frombytes(times)
        return called

    def kill(self) -> None:
        """End it whatever it does."""
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def due_by(seconds: float, rate: float, most: int) -> int:
    """How many records are due so many seconds after the first; none before it."""
    return max(0, min(most, int(seconds * rate)))


def _send(pace: Pace, answer: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    records = records_of(pace)
    failures: list[str] = []
    producer: Any = Producer(producer_config(pace.settings.kafka) | {"linger.ms": pace.linger_ms})
    producer.list_topics(timeout=10)

    def delivered(error: Any, _message: Any) -> None:
        if error is not None:
            failures.append(str(error))

    times = array("d")
    start, rate = pace.load.start / 1000, pace.load.rate
    while len(times) < len(records):
        due = due_by(time.time() - start, rate, len(records))
        for topic, partition, key, value in records[len(times) : due]:
            times.append(time.time())
            producer.produce(topic, value, key, partition, on_delivery=delivered)
        producer.poll(0)
        time.sleep(_STEP)
    left = producer.flush(30) + len(failures)
    answer.send((f"{left} records were not confirmed: {failures[:1]}" if left else "", times.tobytes()))
