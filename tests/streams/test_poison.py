"""How much bad input is too much: one record never is, a wrong deployment is."""

from __future__ import annotations

import pytest

from schemas.errors import PoisonLimitError
from schemas.events import DecodedChunk, Rejected
from schemas.topics import CLICKSTREAM, PURCHASE
from streams.poison import USUAL, PoisonLimits, PoisonWatch
from tests.schemas.records import NOW, Record
from tests.streams.test_journey import visit
from tests.streams.worker import Log, Worker, World


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


# -- over restarts -----------------------------------------------------------------------------------------------------


def went_on(watch: PoisonWatch, limits: PoisonLimits = USUAL) -> PoisonWatch:
    """The watch of the next process."""
    later = PoisonWatch(limits)
    later.recall(watch.to_keep())
    return later


def test_the_row_and_the_share_go_on_in_the_next_process() -> None:
    watch = PoisonWatch()
    watch.note(chunk(999, 999))
    with pytest.raises(PoisonLimitError, match="1000 records in a row"):
        went_on(watch).note(chunk(1, 1))
    watch = PoisonWatch()
    watch.note(chunk(100_000, 1_000))
    with pytest.raises(PoisonLimitError, match="1002 of the last 100100 records"):
        went_on(watch).note(chunk(100, 2))


def test_nothing_is_kept_while_nothing_is_bad_and_a_good_record_ends_a_row_that_is_kept() -> None:
    watch = PoisonWatch()
    watch.note(chunk(1_000, 0))
    assert watch.to_keep() is None
    watch.note(chunk(3, 3))
    kept = watch.to_keep()
    assert kept is not None
    assert (kept.row, kept.received, kept.bad) == (3, 1_003, {"invalid_field": 3})
    watch.note(chunk(0, 0))
    assert watch.to_keep() is None
    later = PoisonWatch()
    later.recall(kept)
    later.note(chunk(1, 0))
    ended = later.to_keep()
    assert ended is not None
    assert (ended.row, ended.bad) == (0, kept.bad)
    later.note(chunk(1, 0))
    assert later.to_keep() is None


@pytest.mark.parametrize("limits", [PoisonLimits(in_a_row=5_000), PoisonLimits(share=0.5)])
def test_other_limits_begin_anew_there_and_back(limits: PoisonLimits) -> None:
    watch = PoisonWatch()
    watch.note(chunk(999, 999))
    raised = went_on(watch, limits)
    raised.note(chunk(999, 999))
    usual = went_on(raised)
    usual.note(chunk(999, 999))
    kept = usual.to_keep()
    assert kept is not None
    assert kept.row == 999


async def one_process(world: World, *, orderly: bool = True, size: int = 110) -> None:
    """Started, as a supervisor does, and at work until the log ends or the limit stops it."""
    worker = Worker(world)
    await worker.assign()
    while chunks := worker.next_poll(size):
        await worker.journey.run(chunks)
        await worker.journey.settle()
        if orderly:
            await worker.journey.advance_fences()


def junk(log: Log, count: int) -> None:
    for _ in range(count):
        log.append_raw(CLICKSTREAM, 0, b"junk")


async def test_a_supervisor_that_starts_it_again_and_again_does_not_drain_the_topic() -> None:
    world = World(Log(append_time=NOW), clock="wall")
    junk(world.log, 5_000)
    for _ in range(5):
        with pytest.raises(PoisonLimitError):
            await one_process(world)
        assert len(world.letters()) == 990, "nine polls"
    assert world.poison.saved == 9


async def test_once_the_producer_is_mended_a_few_bad_ones_are_borne_again() -> None:
    world = World(Log(append_time=NOW), clock="wall")
    junk(world.log, 900)
    await one_process(world)
    for n in range(3):
        world.log.append(CLICKSTREAM, visit(minutes=n))
    await one_process(world)
    junk(world.log, 900)
    await one_process(world)
    assert len(world.letters()) == 1_800


async def test_good_records_that_are_read_again_after_a_crash_end_no_row() -> None:
    world = World(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    log = next(tp for tp, records in world.log.records.items() if records)
    for _ in range(500):
        world.log.append_raw(*log, b"junk")
    await one_process(world, orderly=False, size=1)
    assert world.poison.sums is not None
    assert world.poison.sums.row == 500
    for _ in range(499):
        world.log.append_raw(*log, b"junk")
    await one_process(world, orderly=False, size=2_000)
    assert world.poison.sums.row == 999
    world.log.append_raw(*log, b"junk")
    with pytest.raises(PoisonLimitError, match="1000 records in a row"):
        await one_process(world, orderly=False, size=2_000)
