"""What the replayer sends, in which order, and how fast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schemas.errors import ConfigurationError, UnreachableError
from streams.replay.datasets import DAY
from streams.replay.encoding import Outgoing
from streams.replay.replayer import Hooks, Progress, Replayer, end_of_day
from streams.roles.replay import ReplayOptions, rate_of, replay
from streams.settings import KafkaSettings, load_settings

PARTITIONS = {"purchase": 2, "app": 1}


@dataclass
class Log:
    """A producer that keeps what it is given: events as (topic, time), markers as (topic, partition, instant)."""

    records: list[tuple[Any, ...]] = field(default_factory=list)
    full: int = 0
    unconfirmed: int = 0
    refuses: bool = False

    def produce(self, topic: str, value: bytes | None = None, key: bytes | None = None, **more: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        if value is None:
            ((name, instant),) = more["headers"]
            assert (name, key) == ("footfall-clock", b"footfall-clock")
            self.records.append((topic, more["partition"], int(instant)))
        else:
            self.records.append((topic, int(value)))
        if self.refuses:
            more["on_delivery"]("refused", None)

    def poll(self, timeout: float) -> int:
        del timeout
        return 0

    def flush(self, timeout: float) -> int:
        del timeout
        return self.unconfirmed


@dataclass
class Watch:
    """A clock that moves only when somebody sleeps."""

    now: float = 100.0

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def event(time: int, topic: str = "purchase") -> Outgoing:
    return Outgoing(time, topic, b"c", str(time).encode())


def sent(records: Iterable[Outgoing], log: Log | None = None, **options: Any) -> list[tuple[Any, ...]]:
    log = log or Log()
    end = options.pop("end", None)
    Replayer(log, PARTITIONS, **options).replay(records, end)
    return log.records


def markers(instant: int) -> list[tuple[Any, ...]]:
    return [("purchase", 0, instant), ("purchase", 1, instant), ("app", 0, instant)]


def test_every_partition_hears_that_a_day_is_over_after_its_last_event() -> None:
    records = [event(5), event(DAY - 1, "app"), event(DAY), event(3 * DAY + 7)]
    assert sent(records) == [
        ("purchase", 5),
        ("app", DAY - 1),
        *markers(DAY - 1),
        ("purchase", DAY),
        *markers(2 * DAY - 1),
        *markers(3 * DAY - 1),
        ("purchase", 3 * DAY + 7),
        *markers(3 * DAY + 7),
    ]


def test_the_last_marker_may_be_asked_for_later_than_the_last_event() -> None:
    assert sent([event(5)], end=DAY + 3) == [("purchase", 5), *markers(DAY - 1), *markers(DAY + 3)]


def test_a_late_event_does_not_turn_the_clock_back() -> None:
    assert sent([event(DAY + 5), event(7)]) == [("purchase", DAY + 5), ("purchase", 7), *markers(DAY + 5)]


def test_a_history_without_events_sends_nothing() -> None:
    assert sent([]) == []


def test_days_are_those_of_the_time_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    noon = int(datetime(2024, 3, 31, 12, tzinfo=berlin).timestamp()) * 1000
    midnight = int(datetime(2024, 4, 1, tzinfo=berlin).timestamp()) * 1000
    assert end_of_day(noon, berlin) == midnight - 1
    assert end_of_day(midnight - DAY + 3_600_000, berlin) == midnight - 1  # the day of the change has 23 hours
    assert end_of_day(0, UTC) == DAY - 1


def test_in_lockstep_a_days_events_are_out_before_its_marker_is_waited_for() -> None:
    log = Log()
    seen: list[tuple[int, int]] = []
    hooks = Hooks(wait_for=lambda instant: seen.append((instant, len(log.records))))
    sent([event(5), event(DAY + 1)], log, hooks=hooks)
    assert seen == [(DAY - 1, 1), (DAY + 1, 5)]


def test_a_full_queue_is_waited_for() -> None:
    assert sent([event(5)], Log(full=3)) == [("purchase", 5), *markers(5)]


def test_records_that_kafka_does_not_confirm_are_an_error() -> None:
    with pytest.raises(UnreachableError, match="not confirmed 2"):
        sent([event(5)], Log(unconfirmed=2))
    with pytest.raises(UnreachableError, match="refused"):
        sent([event(5)], Log(refuses=True))


def test_a_rate_spreads_the_events_evenly() -> None:
    watch = Watch()
    seen: list[Progress] = []
    hooks = Hooks(progress=seen.append, clock=watch.read, sleep=watch.sleep)
    records = [event(n) for n in range(3_000)]
    progress = Replayer(Log(), PARTITIONS, 1_000.0, hooks=hooks).replay(records)
    assert progress.seconds == pytest.approx(3.0, abs=0.03)
    assert (progress.events, progress.markers, progress.instant) == (3_000, 3, 2_999)
    assert 25 <= len(seen) <= 32
    assert all(abs(p.events - 1_000 * p.seconds) <= 21 for p in seen)


@pytest.mark.parametrize("speed", ["fast", "0", "-3", "nan", "inf"])
def test_a_speed_is_max_or_a_number(speed: str) -> None:
    assert rate_of("max") is None
    assert rate_of("2500") == 2_500
    with pytest.raises(ConfigurationError, match="neither `max` nor"):
        rate_of(speed)


def test_a_broker_that_does_not_answer_is_one_sentence() -> None:
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9 .*kafka\.bootstrap"):
        replay(load_settings(kafka=KafkaSettings(bootstrap="127.0.0.1:9")), ReplayOptions("ecom"))
