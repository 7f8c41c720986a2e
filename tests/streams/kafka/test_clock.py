from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UnreachableError
from streams.embedded.ports import HOST, choose_port
from streams.kafka.clock import ReadClock, end_offsets
from streams.kafka.config import KafkaConfig
from tests.streams.kafka.harness import Log

TP, OTHER = ("purchase", 0), ("app", 0)


def clock_at(position: int) -> ReadClock:
    clock = ReadClock()
    clock.assign({TP: position})
    return clock


def test_an_end_that_was_reached_before_proves_its_instant() -> None:
    clock = clock_at(10)
    clock.observe({TP: (1000, 10)})
    assert clock.read_until(0) == 1000


def test_an_end_that_is_not_reached_proves_nothing_until_it_is() -> None:
    clock = clock_at(10)
    clock.observe({TP: (1000, 12)})
    assert clock.read_until(0) == 0
    clock.advance(TP, 11, None)
    assert clock.read_until(0) == 0
    clock.advance(TP, 12, None)
    assert clock.read_until(0) == 1000


def test_under_load_the_clock_moves_although_the_newest_end_is_never_reached() -> None:
    clock = clock_at(0)
    for step in range(1, 50):
        clock.observe({TP: (1000 * step, 10 * step + 10)})
        clock.advance(TP, 10 * step, None)
    assert clock.read_until(0) > 40_000


def test_a_record_appended_later_proves_the_instant_too() -> None:
    clock = clock_at(0)
    clock.advance(TP, 1, 5000)
    assert clock.read_until(0) == 5000


def test_the_clock_of_a_partition_number_is_that_of_its_slowest_topic() -> None:
    clock = ReadClock()
    clock.assign({TP: 0, OTHER: 0})
    clock.observe({TP: (1000, 0)})
    assert clock.read_until(0) == 0
    clock.observe({OTHER: (900, 0)})
    assert clock.read_until(0) == 900
    assert clock.read_until(1) == 0


def test_after_a_seek_nothing_is_known_to_be_read() -> None:
    clock = clock_at(10)
    clock.observe({TP: (1000, 10)})
    clock.seek(TP, 5)
    assert clock.read_until(0) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=60))
def test_it_never_claims_an_instant_before_everything_older_is_read(steps: list[tuple[int, int, bool]]) -> None:
    """A log grows as time passes; the clock may only claim t when all that was appended before t is acknowledged."""
    clock, appended, position = clock_at(0), list[int](), 0
    for now, (grow, read, look) in enumerate(steps, 1):
        appended += [now] * grow
        if look:
            clock.observe({TP: (now, len(appended))})
        if read:
            position = min(len(appended), position + read)
            clock.advance(TP, position, None)
        claimed = clock.read_until(0)
        assert all(time >= claimed for time in appended[position:])


async def test_ends_are_those_of_the_log(config: KafkaConfig, new_log: Callable[..., Log]) -> None:
    log = new_log(1, 3)
    log.append_to(log.tps[0], 7)
    log.append_to(log.tps[1], 1)
    log.producer.flush()
    log.append_to(log.tps[0], 5)  # a second batch: the embedded broker's own answer would be 8, not 12
    log.producer.flush()
    assert await end_offsets(config, log.tps) == {log.tps[0]: 12, log.tps[1]: 1, log.tps[2]: 0}


async def test_no_topic_partitions_have_no_ends(config: KafkaConfig) -> None:
    assert await end_offsets(config, []) == {}


async def test_an_unreachable_broker_is_one_sentence() -> None:
    with pytest.raises(UnreachableError, match="does not tell where its topics end"):
        await end_offsets(KafkaConfig(f"{HOST}:{choose_port()}"), [TP])
