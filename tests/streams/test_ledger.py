"""The conservation law while a worker runs: the gauges are what Redis committed, and a lost record unbalances them."""

from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client import Gauge

from processors.event import Event
from processors.profile import Profile
from schemas.partitioning import partition_of
from schemas.topics import CLICKSTREAM, INPUT_TOPICS
from streams import dedupe, metrics
from streams.conservation import by_place, imbalance
from streams.ledger import Ledger, show_in_flight
from streams.ownership import OwnedPartition
from tests.schemas.records import NOW, event
from tests.streams.killing import KilledError, killer
from tests.streams.test_journey import orders
from tests.streams.worker import PARTITIONS, Log, Worker, World, history_log

HOME = partition_of("anna", PARTITIONS)


def log_of(*ids: str) -> Log:
    log = Log([(CLICKSTREAM, event(CLICKSTREAM, customer_id="anna", event_id=one)) for one in ids], append_time=NOW)
    log.append_raw(CLICKSTREAM, HOME, b"no Avro")
    return log


def shown(gauge: Gauge) -> dict[tuple[str, ...], float]:
    [family] = gauge.collect()
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


async def running(world: World, token: str = "one") -> Worker:
    worker = Worker(world, token)
    await worker.assign()
    return worker


async def test_the_gauges_are_what_redis_has_committed_before_and_since_the_claim() -> None:
    world = World(log_of("a", "b", "a"), clock="wall")
    await (await running(world)).read(size=2)
    world.log.append(CLICKSTREAM, event(CLICKSTREAM, customer_id="anna", event_id="c"))
    heir = await running(world, "two")
    ledger = Ledger()
    ledger.show(heir.journey.owned.values())
    assert shown(metrics.COMMITTED_RECORDS)[CLICKSTREAM, str(HOME), "received"] == 4, "known from the claim"
    await heir.read()
    ledger.show(heir.journey.owned.values())
    assert shown(metrics.COMMITTED_RECORDS) == {
        (CLICKSTREAM, str(HOME), "received"): 5,
        (CLICKSTREAM, str(HOME), "applied"): 3,
        (CLICKSTREAM, str(HOME), "duplicate"): 1,
        (CLICKSTREAM, str(HOME), "dead_lettered"): 1,
        (CLICKSTREAM, str(HOME), "control"): 0,
    }
    assert shown(metrics.IMBALANCE_RECORDS) == {(CLICKSTREAM, str(HOME)): 0}
    assert sum(heir.journey.owned[HOME].tallied.values()) == sum(world.store.tallies().values())


async def test_what_is_not_owned_is_not_shown() -> None:
    world = World(log_of("a"), clock="wall")
    worker = await running(world)
    await worker.read()
    ledger = Ledger()
    ledger.show(worker.journey.owned.values())
    assert shown(metrics.IMBALANCE_RECORDS) != {}
    worker.journey.forget(HOME)
    ledger.show(worker.journey.owned.values())
    assert shown(metrics.COMMITTED_RECORDS) == shown(metrics.IMBALANCE_RECORDS) == {}


@pytest.mark.parametrize("lost", [1, 2])
async def test_an_event_that_is_lost_between_the_log_and_the_tallies_is_shown(
    monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    honest = dedupe._not_applied

    def losing(owner: OwnedPartition, events: list[Event], hand: dict[str, Profile]) -> object:
        return honest(owner, events[lost:], hand)

    monkeypatch.setattr(dedupe, "_not_applied", losing)
    worker = await running(World(log_of("a", "b", "c"), clock="wall"))
    await worker.read()
    Ledger().show(worker.journey.owned.values())
    assert shown(metrics.IMBALANCE_RECORDS) == {(CLICKSTREAM, str(HOME)): lost}


@pytest.mark.parametrize("stage", ["bury", "commit", "publish"])
async def test_the_law_holds_for_an_heir_that_reads_again_what_was_applied(stage: str) -> None:
    world = World(history_log(orders()[:200]))
    killed = Worker(world, "one", killer(stage, 3))
    await killed.assign()
    with pytest.raises(KilledError):
        await killed.read(size=7)
    heir = await running(world, "two")
    await heir.read(size=7)
    Ledger().show(heir.journey.owned.values())
    assert set(shown(metrics.IMBALANCE_RECORDS).values()) == {0}
    received = {key: n for key, n in shown(metrics.COMMITTED_RECORDS).items() if key[2] == "received"}
    assert sum(received.values()) == world.log.size


async def test_records_read_and_not_committed_are_in_flight() -> None:
    world = World(log_of("a", "b"), clock="wall")
    worker = await running(world)
    chunks = worker.next_poll(10)
    show_in_flight(worker.journey.owned.values(), worker.positions, worker.journey.topic_ids)
    assert shown(metrics.IN_FLIGHT_RECORDS)[CLICKSTREAM, str(HOME)] == 3
    await worker.journey.run(chunks)
    await worker.journey.settle()
    show_in_flight(worker.journey.owned.values(), worker.positions, worker.journey.topic_ids)
    assert set(shown(metrics.IN_FLIGHT_RECORDS).values()) == {0}
    assert len(shown(metrics.IN_FLIGHT_RECORDS)) == len(INPUT_TOPICS) * PARTITIONS


def test_a_record_without_an_outcome_and_an_outcome_without_a_record_are_both_out_of_balance() -> None:
    tallies = {"received:app:3": 5, "applied:app:3": 3, "duplicate:app:3": 1, "late:app:3": 2, "control:app:4": 1}
    places = by_place(tallies)
    assert imbalance(places["app", 3]) == 1
    assert imbalance(places["app", 4]) == -1
    assert imbalance(Counter()) == 0
