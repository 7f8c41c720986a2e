"""The journey of a batch when its worker dies: the next one goes on as if nothing had happened."""

from __future__ import annotations

from collections import Counter

import pytest

from processors.calendar import DAY
from schemas.partitioning import partition_of
from schemas.topics import CLICKSTREAM, IDENTITY
from streams import effects, ticking
from streams.boundaries import Hook
from streams.decision import clock_of
from tests.schemas.records import NOW, event
from tests.streams.killing import KilledError, distinct, killer
from tests.streams.test_journey import essence, orders, visit
from tests.streams.worker import CODEC, Log, Worker, World, history_log, worked


def told_too_early(world: World) -> list[tuple[int, int]]:
    """(label, clock) instants of examples that came after a clock which said that they were in."""
    clocks: dict[int, int] = {}
    known, wrong = set(), []
    for message in world.examples_sent():
        if message.value is None:
            number = int(message.key or b"")
            clocks[number] = max(clocks.get(number, -1), clock_of(message) or 0)
            continue
        example = CODEC.decode_training_example(message.value)
        reached = clocks.get(partition_of(example.customer_id, 2), -1)
        if example.example_id not in known and example.label_time <= reached:
            wrong.append((example.label_time, reached))
        known.add(example.example_id)
    assert known
    assert clocks
    return wrong


async def killed_and_succeeded(world: World, undisturbed: World, hook: Hook) -> None:
    """A worker dies, another goes on; what comes out is what comes out undisturbed."""
    killed = Worker(world, "first", hook)
    await killed.assign()
    with pytest.raises(KilledError):
        await killed.read(7)
    heir = Worker(world, "second")
    await heir.assign()
    await heir.read(7)
    await heir.journey.advance_fences()
    assert essence(distinct(world.changes())) == essence(undisturbed.changes())
    assert world.portraits() == undisturbed.portraits()
    assert world.tallies() == undisturbed.tallies()


@pytest.mark.parametrize("times", [1, 2, 3, 50, 51, 52, 53, 400])
async def test_killed_within_a_commit_another_worker_goes_on_from_what_its_parts_have_stored(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    log = history_log(orders()[:400])
    undisturbed, world = await worked(log, 7), World(log)
    monkeypatch.setattr(effects, "PROFILES_A_TRANSACTION", 1)
    await killed_and_succeeded(world, undisturbed, killer("part", times))
    assert {e.example_id for e in world.examples()} == {e.example_id for e in undisturbed.examples()}
    assert told_too_early(world) == []


@pytest.mark.parametrize("stage", ["bury", "commit", "publish"])
@pytest.mark.parametrize("times", [1, 8])
async def test_killed_after_any_effect_another_worker_goes_on_as_if_nothing_had_happened(
    stage: str, times: int
) -> None:
    log = history_log(orders()[:400])
    undisturbed, world = await worked(log, 7), World(log)
    await killed_and_succeeded(world, undisturbed, killer(stage, times))


@pytest.mark.parametrize("before_the_last", [1, 5, 30])
async def test_killed_while_time_passes_for_many_the_next_worker_lets_it_pass_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, before_the_last: int
) -> None:
    """Nothing comes after the marker that said so: if the fences had passed it, nobody would read it again."""
    monkeypatch.setattr(ticking, "BATCH", 3)
    monkeypatch.setattr(effects, "SWEEP_SECONDS", 0.0)
    log = history_log(orders()[:400])
    log.mark(orders()[399][1]["event_time"] + 400 * DAY)
    undisturbed, world, commits = World(log), World(log), Counter[str]()
    worker = Worker(undisturbed, "undisturbed", lambda step: commits.update([step]))
    await worker.assign()
    await worker.read(7)
    await worker.journey.advance_fences()
    await killed_and_succeeded(world, undisturbed, killer("commit", commits["commit"] - before_the_last))
    assert told_too_early(world) == []


async def test_an_heir_sends_the_outbox_again_before_anything_new() -> None:
    log = Log([(CLICKSTREAM, visit())], append_time=NOW)
    world = World(log, clock="wall")
    killed = Worker(world, "first", killer("commit", 1))
    await killed.assign()
    with pytest.raises(KilledError):
        await killed.read()
    assert world.changes() == []
    log.append(IDENTITY, event(IDENTITY, customer_id="anna", event_id="i", name="identified", traits={}))
    heir = Worker(world, "second")
    await heir.assign()
    resent = world.changes()
    assert [change.sequence for change in resent if change.driver == "rule"] == list(range(1, len(resent)))
    assert len(resent) > 1
    await heir.read()
    assert [c.change_id for c in world.changes()[: len(resent)]] == [c.change_id for c in resent]
    assert world.tallies()["applied"] == 2
