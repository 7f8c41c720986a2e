"""How much bad input is too much: one record never is, a wrong deployment is."""

from __future__ import annotations

import pytest

from schemas.errors import PoisonLimitError
from schemas.events import DecodedChunk, Rejected
from schemas.topics import PURCHASE
from streams.poison import PoisonWatch
from tests.schemas.records import Record


def chunk(received: int, bad: int) -> DecodedChunk:
    rejected = [Rejected(n, "invalid_field", "revenue: -1", Record(n)) for n in range(bad)]
    return DecodedChunk(PURCHASE, 3, [], rejected, [], received)


def test_one_percent_of_100_000_is_borne_and_more_is_not() -> None:
    watch = PoisonWatch()
    for _ in range(10):
        watch.note(chunk(10_000, 100))
    with pytest.raises(PoisonLimitError, match=r"topic purchase, partition 3; the last: invalid_field, revenue: -1"):
        watch.note(chunk(10_000, 101))


def test_many_among_few_are_borne_until_there_are_enough_to_judge() -> None:
    watch = PoisonWatch()
    watch.note(chunk(1_500, 900))
    watch.note(chunk(90_000, 0))
    with pytest.raises(PoisonLimitError):
        watch.note(chunk(9_000, 200))


def test_a_million_good_records_before_excuse_nothing() -> None:
    watch = PoisonWatch()
    for _ in range(100):
        watch.note(chunk(10_000, 0))
    for _ in range(9):
        watch.note(chunk(10_000, 102))
    with pytest.raises(PoisonLimitError, match="of the last 100000 records"):
        watch.note(chunk(10_000, 102))


def test_a_good_record_between_ends_the_row_and_an_empty_chunk_does_not() -> None:
    watch = PoisonWatch()
    watch.note(chunk(999, 999))
    watch.note(chunk(1, 0))
    watch.note(chunk(999, 999))
    watch.note(chunk(0, 0))
    with pytest.raises(PoisonLimitError):
        watch.note(chunk(1, 1))
