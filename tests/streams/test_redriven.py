"""An event that was refused and comes again after the fix counts once, however late and however often it comes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from processors.calendar import DAY, HOUR
from schemas.partitioning import bucket_of, partition_of
from schemas.topics import CLICKSTREAM, PURCHASE, REDRIVE_HEADER, REFUSED_HEADER
from schemas.validation import ContractRules
from tests.schemas.records import NOW, encoded, event
from tests.streams.killing import KilledError, killer
from tests.streams.test_journey import visit
from tests.streams.worker import Log, Worker, World

PARTITION = partition_of("anna", 2)


def gold(event_id: str = "g", revenue: int = 500, at: int = NOW) -> dict[str, Any]:
    """An order in a currency without a rate."""
    return event(
        PURCHASE, customer_id="anna", event_id=event_id, currency="XAU", revenue=revenue, order_id=event_id,
        event_time=at, received_time=at,
    )  # fmt: skip


async def a_worker(world: World, token: str, hook: Any = None, **rates: int) -> Worker:
    worker = Worker(world, token, hook) if hook else Worker(world, token)
    contract = ContractRules(rates={name: Fraction(rate) for name, rate in rates.items()}, clamp_to_append=True)
    worker.journey._terms = replace(worker.journey._terms, contract=contract)
    await worker.assign()
    return worker


def redrive(world: World, place: int = 0, topic: str = PURCHASE) -> None:
    """Send the record of a letter again."""
    letter = world.letters()[place]
    headers = [(REDRIVE_HEADER, letter.letter_id.encode()), (REFUSED_HEADER, letter.reason.encode())]
    world.log.append_raw(topic, PARTITION, letter.value, letter.key, headers)


async def refused(*orders: dict[str, Any], later: int = 0) -> World:
    """Orders became letters, and the customer's time has gone on by so many ms since."""
    world = World(Log([(PURCHASE, one) for one in orders], append_time=NOW), clock="wall")
    worker = await a_worker(world, "before")
    await worker.read()
    world.log.append_time = NOW + later
    if later:
        world.log.append(CLICKSTREAM, visit(minutes=later // 60_000))
        await worker.read()
    assert [letter.reason for letter in world.letters()] == ["unknown_currency"] * len(orders)
    return world


@pytest.mark.parametrize("later", [0, 3 * DAY], ids=["within the dedup window", "long after it"])
@pytest.mark.parametrize("size", [1, 100], ids=["record by record", "in one poll"])
async def test_a_letter_sent_again_three_times_counts_once(later: int, size: int) -> None:
    world = await refused(gold(), later=later)
    for _ in range(3):
        redrive(world)
    worker = await a_worker(world, "after", XAU=3)
    await worker.read(size)
    assert world.profile("anna").monetary == 1_500
    tallies = world.tallies()
    assert (tallies["dead_lettered"], tallies["duplicate"], tallies["applied"]) == (1, 2, 1 + bool(later))


async def test_another_worker_knows_what_came_again_before_it() -> None:
    world = await refused(gold(), later=3 * DAY)
    for token in ("after", "heir", "heir of the heir"):
        redrive(world)
        await (await a_worker(world, token, XAU=3)).read()
    assert world.profile("anna").monetary == 1_500
    assert world.tallies()["duplicate"] == 2


@pytest.mark.parametrize("stage", ["bury", "commit", "publish"])
async def test_killed_while_it_counts_it_counts_once(stage: str) -> None:
    world = await refused(gold(), later=3 * DAY)
    redrive(world)
    redrive(world)
    killed = await a_worker(world, "killed", killer(stage, 1), XAU=3)
    with pytest.raises(KilledError):
        await killed.read()
    await (await a_worker(world, "heir", XAU=3)).read()
    assert world.profile("anna").monetary == 1_500


async def test_letters_of_a_client_s_retries_count_once_together() -> None:
    """Each retry is a letter of its own, long after the window all are sent again."""
    world = await refused(gold(), gold(at=NOW + 5), gold(at=NOW + 9), gold("other", 700), later=3 * DAY)
    for place in range(4):
        redrive(world, place)
    await (await a_worker(world, "after", XAU=1)).read()
    assert world.profile("anna").monetary == 1_200
    assert world.tallies()["duplicate"] == 2


async def test_of_two_payloads_under_one_id_the_first_sent_again_counts() -> None:
    world = await refused(gold(), gold(revenue=900), later=3 * DAY)
    redrive(world, 0)
    redrive(world, 1)
    await (await a_worker(world, "after", XAU=1)).read()
    assert world.profile("anna").monetary == 500
    assert world.letters()[-1].reason == "id_conflict"


async def test_the_client_s_own_success_in_the_window_is_found() -> None:
    world = await refused(gold(), later=HOUR)
    world.log.append(PURCHASE, gold(at=NOW + 7))
    redrive(world)
    await (await a_worker(world, "after", XAU=1)).read()
    assert world.profile("anna").monetary == 500


async def test_an_event_whose_row_was_refused_is_not_counted_again_however_late() -> None:
    world = World(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    worker = await a_worker(world, "one")
    await worker.read()
    world.log.append_time = NOW + 3 * DAY
    world.log.append(CLICKSTREAM, visit(minutes=3 * 24 * 60))
    await worker.read()
    headers = [(REDRIVE_HEADER, b"id"), (REFUSED_HEADER, b"sink_rejected")]
    world.log.append_raw(CLICKSTREAM, PARTITION, encoded(CLICKSTREAM, visit()), b"anna", headers)
    await worker.read()
    assert world.tallies() == {"received": 3, "applied": 2, "duplicate": 1}


async def test_refused_again_it_is_a_letter_of_its_own() -> None:
    world = await refused(gold())
    redrive(world)
    await (await a_worker(world, "still without a rate")).read()
    first, second = world.letters()
    assert first.letter_id != second.letter_id
    assert (REDRIVE_HEADER, first.letter_id.encode()) in second.headers


async def test_a_letter_read_again_after_the_fix_is_no_event() -> None:
    """The first worker died before all fences had followed; its heir knows the currency."""
    world = await refused(gold())
    fences = [bucket.fences for bucket in world.store.buckets.values()]
    assert {} in fences, "some bucket's fence makes the heir read from the start"
    heir = await a_worker(world, "heir", XAU=1)
    assert heir.positions[PURCHASE, PARTITION] == 0
    await heir.read()
    assert world.tallies() == {"received": 1, "dead_lettered": 1}


async def test_letters_sent_again_before_the_fix_stop_nobody() -> None:
    """Two thousand of them are letters again, and the worker goes on: only new bad records count."""
    world = await refused(gold())
    for _ in range(2_000):
        redrive(world)
    await (await a_worker(world, "still without a rate")).read()
    assert world.tallies() == {"received": 2_001, "dead_lettered": 2_001}


async def test_ordinary_events_leave_no_trace_beside_the_window() -> None:
    world = World(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    await (await a_worker(world, "one")).read()
    assert -1 not in world.store.buckets[bucket_of("anna")].seen
