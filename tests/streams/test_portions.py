"""A large poll is taken in groups of partition numbers, and that nobody can tell from what comes of it."""

from __future__ import annotations

import pytest

from processors.calendar import DAY
from schemas.events import Chunk
from schemas.topics import CLICKSTREAM
from streams import portions, ticking
from streams.portions import groups_of
from tests.schemas.records import NOW, Record
from tests.streams.test_journey import essence, orders, visit
from tests.streams.worker import PARTITIONS, Log, Worker, World, history_log


def chunk(topic: str, partition: int, size: int) -> Chunk:
    return Chunk(topic, partition, 0, size, 0, [Record(n, NOW, b"k", b"") for n in range(size)])


def test_a_group_has_all_topics_of_its_numbers_and_a_small_rest_joins_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "SMALL", 10)
    chunks = [chunk(topic, number, size) for number, size in enumerate((4, 6, 20, 3)) for topic in ("a", "b")]
    grouped = [[(one.topic, one.partition) for one in group] for group in groups_of(chunks)]
    assert grouped == [[("a", 0), ("b", 0), ("a", 1), ("b", 1)], [("a", 2), ("b", 2), ("a", 3), ("b", 3)]]
    assert groups_of([]) == [[]]


@pytest.mark.parametrize("limit", [0, 3_000, 1 << 20])
async def test_groups_give_what_the_whole_poll_gives(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    events = orders()[:300]
    found = []
    for small in (1 << 30, 1):
        monkeypatch.setattr(portions, "SMALL", small)
        world = World(history_log(events))
        worker = Worker(world)
        await worker.assign()
        worker.journey.profiles._limit = limit
        taken = 0
        while chunks := worker.next_poll(1_000):
            taken = max(taken, len(groups_of(chunks)))
            await worker.journey.run(chunks)
        await worker.journey.settle()
        found.append((taken, essence(world.changes()), world.portraits(), world.tallies()))
    assert [one[0] for one in found] == [1, PARTITIONS]
    assert found[0][1:] == found[1][1:]
    assert found[0][1]


async def test_what_a_tick_wakes_does_not_stay_in_memory_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticking, "BATCH", 10)
    world = World(Log([(CLICKSTREAM, visit(f"c{n}")) for n in range(300)], append_time=NOW), clock="wall")
    worker = Worker(world)
    await worker.assign()
    profiles = worker.journey.profiles
    await worker.read(5)
    profiles._limit = profiles.memory // 10
    peak, add = 0, worker.journey._outstanding.add

    async def watched(*decided: object) -> None:
        nonlocal peak
        peak = max(peak, len(profiles))
        await add(*decided)  # type: ignore[arg-type]

    profiles.trim([])
    monkeypatch.setattr(worker.journey._outstanding, "add", watched)
    await worker.journey.tick(dict.fromkeys(range(PARTITIONS), NOW + 30 * DAY + 1))
    await worker.journey.settle()
    assert 0 < peak < 150
