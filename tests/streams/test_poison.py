"""How much bad input is too much: one record never is, a wrong deployment is."""

from __future__ import annotations

import pytest

from schemas.errors import PoisonLimitError
from schemas.events import DecodedChunk, Rejected
from schemas.topics import PURCHASE
from streams.poison import PoisonLimits, PoisonWatch
from tests.schemas.records import Record


def chunk(received: int, bad: int) -> DecodedChunk:
    rejected = [Rejected(n, "invalid_field", "revenue: -1", Record(n)) for n in range(bad)]
    return DecodedChunk(PURCHASE, 3, [], rejected, [], received)


def test_one_percent_of_100_000_is_borne_and_more_is_not() -> None:
    watch = PoisonWatch()
    for _ in range(10):
        watch.note(chunk(10_000, 100))
    with pytest.raises(
        PoisonLimitError,
        match=r"1001 of the last 100000 records.*limit: 1 %.*topic purchase, partition 3: invalid_field, revenue: -1",
    ):
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


def test_the_message_says_what_stopped_it_why_and_how_to_go_on() -> None:
    mixed = [Rejected(1, "unknown_schema", "schema id 7", Record(1)), Rejected(2, "undecodable", "value", Record(2))]
    with pytest.raises(PoisonLimitError) as stopped:
        PoisonWatch(PoisonLimits(in_a_row=2)).note(DecodedChunk(PURCHASE, 3, [], mixed, [], 2))
    said = str(stopped.value)
    assert said.startswith("2 records in a row are bad (limit: 2): unknown_schema 1, undecodable 1; the last")
    for words in ("start again", "footfall dead-letters ls", "FOOTFALL_POISON__IN_A_ROW", "FOOTFALL_POISON__SHARE"):
        assert words in said


def test_a_higher_limit_lets_what_is_bad_for_good_through() -> None:
    watch = PoisonWatch(PoisonLimits(in_a_row=1_001, share=0.5))
    watch.note(chunk(1_000, 1_000))
    watch.note(chunk(100_000, 40_000))
    with pytest.raises(PoisonLimitError, match="50 %"):
        watch.note(chunk(100_000, 50_001))
