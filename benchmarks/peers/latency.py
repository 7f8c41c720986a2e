"""From the producer's call for an event to the first message that includes it, for one contestant after the other.

A producer keeps to a pace that everybody sustains. Every twenty-fifth event is a probe: the only event of a customer of
its own, so that the first message about that customer includes it whatever is in the message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isinf
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer

from benchmarks.generator import Generator, Load, Record
from benchmarks.listener import Listener, Received
from benchmarks.measure import percentile
from benchmarks.paced import LINGER_MS, Pace, PacedSender, probe_name
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.ours import publish_model
from benchmarks.peers.plan import Plan
from streams.embedded.topics import make_topics
from streams.registration import register_schemas
from streams.roles.replay import producer_config
from streams.settings import Settings

RATE: Final = 1_000
"""Events/s: about half of what the slowest contestant does."""
WARM_UP: Final = 10.0
"""Seconds of the pace before the first probe that counts: until JITs and caches are warm."""
PROBE_EVERY: Final = 25
ENOUGH: Final = 0.95
"""Share of the probes that must come back, or there is no figure."""
_LEAD: Final = 4.0
"""The producer makes its records before the first is due."""
_PATIENCE: Final = 30.0
"""Seconds after the last event."""
_STARTING: Final = 120.0
_WAKE_SECONDS: Final = 0.25
_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Stage:
    """What every contestant gets."""

    settings: Settings
    load: Load
    """Who the customers are; its time and its rate are set to now and to `rate`."""
    seconds: float
    rate: int

    def pace(self, start: float) -> Pace:
        """All events, beginning at an instant (Unix seconds)."""
        load = self._at(start, self.rate)
        return Pace(self.settings, load, register_schemas(self.settings), self.events, PROBE_EVERY)

    @property
    def events(self) -> int:
        """How many are sent."""
        return int((WARM_UP + self.seconds) * self.rate)

    def waking(self, start: float) -> list[Record]:
        """Events before the pace begins, one each `_WAKE_SECONDS`."""
        load, partitions = self._at(start, 1 / _WAKE_SECONDS), self.settings.kafka.partitions
        return Generator(load, register_schemas(self.settings), partitions).batch(int(_STARTING / _WAKE_SECONDS))

    def _at(self, start: float, rate: float) -> Load:
        return replace(self.load, start=int(start * 1000), rate=float(rate))


@dataclass(frozen=True, slots=True)
class Delays:
    """Of one contestant's probes, milliseconds; infinite where no message came."""

    milliseconds: Sequence[float]

    @property
    def back(self) -> float:
        """The share of the probes that a message came of."""
        return 1 - sum(map(isinf, self.milliseconds)) / len(self.milliseconds) if self.milliseconds else 0.0

    def at(self, share: float) -> float | None:
        """A percentile; null where too few probes came back, or it would lie among those that did not."""
        found = percentile(self.milliseconds, share)
        return None if self.back < ENOUGH or isinf(found) else found


def measured(one: Contestant, plan: Plan, home: Path, stage: Stage) -> Delays:
    """One contestant on topics made anew. Raises what its `running` raises, and TimeoutError when it says nothing."""
    make_topics(stage.settings)
    publish_model(stage.settings, int(time.time() * 1000))
    with one.running(plan, home) as running:
        listener = Listener(plan.bootstrap, one.output(plan), plan.partitions)
        with listener.listening():
            _wake(stage, listener, running.check)
            return _paced(stage, listener, running.check)


def _wake(stage: Stage, listener: Listener, check: Callable[[], None]) -> None:
    """An event now and then until the first message comes: started, joined and assigned takes seconds."""
    producer: Any = Producer(producer_config(stage.settings.kafka) | {"linger.ms": LINGER_MS})
    for topic, partition, key, value in stage.waking(time.time()):
        if listener.received:
            producer.flush()
            return
        producer.produce(topic, value, key, partition)
        producer.poll(0)
        time.sleep(_WAKE_SECONDS)
        check()
    raise TimeoutError(f"no message within {_STARTING:.0f} s")


def _paced(stage: Stage, listener: Listener, check: Callable[[], None]) -> Delays:
    pace = stage.pace(time.time() + _LEAD)
    sender = PacedSender(pace)
    try:
        while not sender.done:
            check()
            time.sleep(_LOOK_SECONDS)
        called = sender.called()
    finally:
        sender.kill()
    sent = {probe_name(place): called[place] for place in pace.probes if place >= WARM_UP * stage.rate}
    deadline = time.monotonic() + _PATIENCE
    while (found := delays(sent, listener.received)).back < 1.0 and time.monotonic() < deadline:
        check()
        time.sleep(_LOOK_SECONDS)
    return found


def delays(sent: Mapping[str, float], received: Iterable[Received]) -> Delays:
    """From the call for each probe to the first message about its customer. `sent`: customer -> Unix seconds."""
    first: dict[str, float] = {}
    for at, key, _ in received:
        if key is not None:
            first.setdefault(key.decode(), at)
    return Delays([1000 * (first.get(customer, inf) - at) for customer, at in sent.items()])
