"""The producer process: a generated load into the topics, with clock markers, as fast as the worker takes it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from confluent_kafka import Producer

from benchmarks.generator import Generator, Load, Record
from schemas.topics import CLOCK_HEADER, INPUT_TOPICS
from streams.replay.replayer import MARKER_KEY
from streams.roles.replay import producer_config
from streams.settings import Settings

BATCH: Final = 20_000
_SPAWN: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Sending:
    """What to send: a load, a marker to every topic-partition each `marker_ms` of its time, and how far ahead."""

    settings: Settings
    load: Load
    schema_ids: dict[str, int]
    marker_ms: int
    ahead: int
    """Records the log may hold that the worker has not applied."""


class Gauges:
    """Numbers shared with the sender process."""

    def __init__(self) -> None:
        self.sent: Any = _SPAWN.Value("q", 0)
        """Records, markers included."""
        self.events: Any = _SPAWN.Value("q", 0)
        self.handled: Any = _SPAWN.Value("q", 0)
        """Records the worker is through with: written by who reads its metrics."""
        self.instant: Any = _SPAWN.Value("q", 0)
        """The last marker, ms; final when the process has ended."""
        self.waiting: Any = _SPAWN.Value("d", 0.0)
        """Seconds the sender waited for the worker."""
        self.stop: Any = _SPAWN.Event()


class Sender:
    """The process, from the parent's side."""

    def __init__(self, sending: Sending) -> None:
        self.sending = sending
        self.gauges = Gauges()
        self._process = _SPAWN.Process(target=send, args=(sending, self.gauges), daemon=True)

    @property
    def pid(self) -> int:
        """Its process id, once started."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def sizes(self) -> list[int]:
        """Batch sizes that `Generator.events_of` makes the same load again with."""
        return [BATCH] * (self.gauges.events.value // BATCH)

    def start(self) -> None:
        """Begin to send."""
        self._process.start()

    def check(self) -> None:
        """Raises RuntimeError when it has ended by itself."""
        if not self._process.is_alive() and not self.gauges.stop.is_set():
            raise RuntimeError(f"the producer ended with {self._process.exitcode}")

    def finish(self) -> None:
        """Let it end with a last marker, everything confirmed."""
        self.gauges.stop.set()
        self._process.join(120)
        if self._process.exitcode != 0:
            raise RuntimeError(f"the producer ended with {self._process.exitcode}")

    def kill(self) -> None:
        """End it whatever it does."""
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def send(sending: Sending, gauges: Gauges) -> None:
    """The process: batches until told to stop, then the last marker. `nice`: generating may wait, working may not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    log = LogWriter(sending, gauges)
    generator = Generator(sending.load, sending.schema_ids, sending.settings.kafka.partitions)
    while not gauges.stop.is_set():
        first = generator.made
        log.send(generator.batch(BATCH), first)
        log.wait_for_room()
    log.mark(log.received(generator.made - 1))
    log.flush()


class LogWriter:
    """Writes records and markers in order, and counts them."""

    def __init__(self, sending: Sending, gauges: Gauges) -> None:
        config = producer_config(sending.settings.kafka) | {"queue.buffering.max.messages": 2 * sending.ahead + BATCH}
        self._producer: Any = Producer(config)
        self._sending = sending
        self._gauges = gauges
        self._marker = sending.load.start - 1 + sending.marker_ms
        self._failures: list[str] = []

    def received(self, arrival: int) -> int:
        """When the generator says that a record was received, ms."""
        return self._sending.load.start + int(arrival * (1000.0 / self._sending.load.rate))

    def send(self, records: list[Record], first: int) -> None:
        """A batch whose first record has this arrival index, each marker before the first record after it."""
        begin = 0
        while self.received(first + len(records) - 1) > self._marker:
            end = self._first_after(self._marker, first)
            self._produce(records[begin : end - first])
            begin = end - first
            self.mark(self._marker)
            self._marker += self._sending.marker_ms
        self._produce(records[begin:])
        self._gauges.events.value = first + len(records)
        self._producer.poll(0)

    def mark(self, instant: int) -> None:
        """A marker to every topic-partition."""
        header = [(CLOCK_HEADER, str(instant).encode())]
        partitions = self._sending.settings.kafka.partitions
        for topic in INPUT_TOPICS:
            for partition in range(partitions):
                self._producer.produce(topic, None, MARKER_KEY, partition, headers=header, on_delivery=self._delivered)
        self._gauges.sent.value += len(INPUT_TOPICS) * partitions
        self._gauges.instant.value = instant

    def wait_for_room(self) -> None:
        """Wait until the worker is close enough behind."""
        began = time.monotonic()
        gauges = self._gauges
        while gauges.sent.value - gauges.handled.value > self._sending.ahead and not gauges.stop.is_set():
            self._producer.poll(0)
            time.sleep(0.02)
        gauges.waiting.value += time.monotonic() - began
        self._check()

    def flush(self) -> None:
        """Everything confirmed. Raises RuntimeError when it is not."""
        left = self._producer.flush(60)
        self._check()
        if left:
            raise RuntimeError(f"{left} records were not confirmed within 60 s")

    def _first_after(self, instant: int, first: int) -> int:
        arrival = max(first, int((instant - self._sending.load.start) * self._sending.load.rate / 1000) - 1)
        while self.received(arrival) <= instant:
            arrival += 1
        return arrival

    def _produce(self, records: list[Record]) -> None:
        for topic, group in groupby(sorted(records, key=itemgetter(0)), itemgetter(0)):  # stable: log order is kept
            batch = [{"key": key, "value": value, "partition": partition} for _, partition, key, value in group]
            if self._producer.produce_batch(topic, batch, on_delivery=self._delivered) < len(batch):
                raise RuntimeError(f"the producer's queue refused a record: {next(e for e in batch if '_error' in e)}")
        self._gauges.sent.value += len(records)

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._failures.append(str(error))

    def _check(self) -> None:
        if self._failures:
            raise RuntimeError(f"Kafka refused {len(self._failures)} records: {self._failures[0]}")
