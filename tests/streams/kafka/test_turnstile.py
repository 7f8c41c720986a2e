"""How many polls may be out, and how large the next one may be."""

from __future__ import annotations

import pytest

from streams.kafka.config import KafkaConfig
from streams.kafka.turnstile import FIRST, LEAST, Pace, Turnstile

MOST = 40_000
PACED = KafkaConfig("unused:1", max_poll_records=MOST, poll_seconds=4.0)


def test_the_first_poll_is_a_part_and_quick_ones_grow_to_the_whole() -> None:
    pace = Pace(PACED)
    sizes = [pace.records]
    for _ in range(3):
        pace.note(pace.records, 0.5)
        sizes.append(pace.records)
    assert sizes == [MOST // FIRST, MOST // 2, MOST, MOST]


def test_a_slow_poll_shrinks_the_next_one_to_what_fits_into_the_time() -> None:
    pace = Pace(PACED)
    pace.note(10_000, 10.0)
    assert pace.records == 4_000
    pace.note(4_000, 400.0)
    assert pace.records == MOST // LEAST, "fixed costs would be most of a smaller one"


def test_a_small_poll_that_was_quick_says_nothing_and_a_slow_one_does() -> None:
    pace = Pace(PACED)
    pace.note(10, 0.0)
    assert pace.records == MOST // FIRST
    pace.note(2_000, 2.0)
    assert pace.records == 4_000


def test_without_a_time_the_size_is_the_largest() -> None:
    pace = Pace(KafkaConfig("unused:1", max_poll_records=500))
    assert pace.records == 500
    pace.note(500, 1_000.0)
    assert pace.records == 500


@pytest.mark.parametrize("most", [1, 3])
def test_the_smallest_setting_leaves_room(most: int) -> None:
    pace = Pace(KafkaConfig("unused:1", max_poll_records=most, poll_seconds=4.0))
    assert pace.records == 1
    pace.note(1, 100.0)
    assert pace.records == 1


def test_there_is_room_until_the_polls_ahead_are_out_and_after_a_small_one_for_none() -> None:
    turnstile = Turnstile(PACED)
    assert turnstile.room == MOST // FIRST
    turnstile.enter(1, MOST // FIRST)
    assert turnstile.room == MOST // FIRST, "a full poll: the next one is read ahead"
    turnstile.enter(2, MOST // FIRST)
    assert turnstile.room == 0
    turnstile.leave(1)
    turnstile.enter(3, 10)
    turnstile.leave(2)
    assert turnstile.room == 0, "what comes meanwhile joins the next poll"
    turnstile.leave(3)
    assert turnstile.room > 0
