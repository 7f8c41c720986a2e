"""The journey of a batch on a store in memory: what comes out does not depend on where batches end, or workers die."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cache
from time import monotonic, sleep
from typing import Any

import pytest

from processors.calendar import DAY, MINUTE
from processors.rules import parse_rules
from schemas.errors import PoisonLimitError, RetryableError, StaleCommitError
from schemas.partitioning import bucket_of, partition_of
from schemas.results import SegmentChange
from schemas.topics import CLICKSTREAM, DEAD_LETTERS, PROFILES, PURCHASE, SEGMENT_CHANGES
from streams import journey, ticking
from streams.decision import clock_of
from streams.replay.datasets import cdnow
from tests.oracle.diary import effective_time
from tests.oracle.history import history
from tests.schemas.records import NOW, encoded, event
from tests.streams.worker import Log, TopicEvent, Worker, World, history_log, worked


@cache
def orders() -> list[TopicEvent]:
    """Every 40th customer of CDNOW, the first 700 orders."""
    return [pair for pair in cdnow() if int(pair[1]["customer_id"]) % 40 == 0][:700]


@cache
def six_topics() -> list[TopicEvent]:
    """Some customers of the seeded history in order of time: repetitions, refunds, surveys, complaints ..."""
    source = history(7, customers=40)
    chosen = {row.event["customer_id"] for row in source.records if row.event["customer_id"][0] == "c"}
    rows = [(row.topic, dict(row.event)) for row in source.records if row.event["customer_id"] in chosen]
    return sorted(rows, key=lambda row: effective_time(row[1]))


HISTORIES = {"cdnow": orders, "six topics": six_topics}


def by_customer(changes: list[SegmentChange]) -> dict[str, list[SegmentChange]]:
    """Rule-driven changes in the order they were sent; model-driven ones follow batch edges."""
    found: dict[str, list[SegmentChange]] = defaultdict(list)
    for change in changes:
        if change.driver == "rule":
            found[change.customer_id].append(change)
    return found


def essence(changes: list[SegmentChange]) -> dict[str, list[Any]]:
    return {
        customer: [(c.change_id, c.sequence, c.effective_time, c.segment, c.from_segment, c.to_segment) for c in mine]
        for customer, mine in by_customer(changes).items()
    }


def picture(world: World) -> dict[str, Any]:
    """What must be the same however the log was read."""
    return {
        "changes": essence(world.changes()),
        "portraits": world.portraits(),
        "examples": sorted((e.example_id, e.label, e.snapshot_time, e.label_time) for e in world.examples()),
        "letters": sorted((x.letter_id, x.reason, x.offset) for x in world.letters()),
        "tallies": world.tallies(),
        "fences": {number: bucket.fences for number, bucket in world.store.buckets.items()},
    }


@pytest.mark.parametrize("name", HISTORIES)
async def test_where_batches_end_changes_nothing(name: str) -> None:
    log = history_log(HISTORIES[name]())
    at_once = await worked(log)
    assert len(at_once.changes()) > 500
    sequences = [[change.sequence for change in mine] for mine in by_customer(at_once.changes()).values()]
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in sequences)
    expected = picture(at_once)
    for size in (7, 200):
        for what, seen in picture(await worked(log, size)).items():
            assert seen == expected[what], f"{what} at {size} records a poll"


@pytest.mark.parametrize("name", HISTORIES)
async def test_every_record_is_counted_once(name: str) -> None:
    log = history_log(HISTORIES[name]())
    tallies = (await worked(log, 200)).tallies()
    assert tallies["received"] == log.size
    assert sum(tallies.get(what, 0) for what in ("applied", "duplicate", "dead_lettered", "control")) == log.size


async def on_the_wall_clock(size: int) -> dict[str, list[Any]]:
    """The changes when a tick comes after every poll, as far as the log has been read."""
    log = Log()
    for topic, one in orders()[:150]:
        log.append_time = one["received_time"]
        log.append(topic, one)
    world = World(log, clock="wall")
    worker = Worker(world)
    await worker.assign()
    while chunks := worker.next_poll(size):
        await worker.journey.run(chunks)
        await worker.journey.tick({chunk.partition: chunk.records[-1].timestamp - 1 for chunk in chunks})
    await worker.journey.tick(dict.fromkeys(range(2), log.append_time + 30 * DAY))
    await worker.journey.settle()
    return essence(world.changes())


async def test_on_the_wall_clock_batches_and_the_ticks_between_them_change_nothing() -> None:
    at_once = await on_the_wall_clock(1_000_000)
    assert sum(map(len, at_once.values())) > 150
    for size in (3, 50):
        assert await on_the_wall_clock(size) == at_once


async def test_a_repetition_is_found_by_the_next_worker_too() -> None:
    """Its memory is empty: the ids of the hours around are read from the store."""
    world = await worked(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    world.log.append(CLICKSTREAM, visit(url="/other"))
    world.log.append(CLICKSTREAM, visit())
    heir = Worker(world, "second")
    await heir.assign()
    await heir.read()
    assert world.tallies() == {"received": 3, "applied": 1, "duplicate": 1, "dead_lettered": 1}


async def test_more_due_profiles_than_one_commit_takes_are_all_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticking, "BATCH", 3)
    log = Log([(CLICKSTREAM, visit(f"c{n}")) for n in range(20)], append_time=NOW)
    world = World(log, clock="wall")
    worker = Worker(world)
    await worker.assign()
    await worker.read()
    await worker.journey.tick(dict.fromkeys(range(2), NOW + 30 * DAY + 1))
    await worker.journey.settle()
    assert {world.profile(f"c{n}").activity for n in range(20)} == {"dormant"}


SCORE_AND_TIME = """
segments:
  - id: at_risk_again
    name: {en: At risk again, zh: At risk again}
    when: churn_probability >= 0.05 and sessions_90d >= 1
"""


@pytest.mark.parametrize(("second", "end"), [(5, 130), (20, 200)])
async def test_whom_the_score_makes_due_again_is_written_once_in_a_decision(second: int, end: int) -> None:
    """The rule's time begins to run when its score comes true: after the ticks of the batch that scored him."""
    log = Log()
    log.mark(NOW)
    log.append(CLICKSTREAM, visit(minutes=60))
    log.mark(NOW + DAY)
    log.append(CLICKSTREAM, visit(minutes=second * 1440))
    log.mark(NOW + end * DAY)
    log.mark(NOW + (end + 1) * DAY)
    world = World(log)
    world.policy = replace(world.policy, rules=parse_rules(SCORE_AND_TIME, "a.yaml"))
    worker = Worker(world)
    await worker.assign()
    await worker.read(1)
    assert world.tallies()["applied"] == 2
    assert [change.sequence for change in world.changes()] == list(range(1, len(world.changes()) + 1))
    assert world.profile("anna").due > NOW + end * DAY


async def test_a_clock_is_told_after_every_label_up_to_it_however_far_one_batch_reaches() -> None:
    log, later = Log(), NOW + 40 * DAY
    log.mark(NOW)
    log.append(CLICKSTREAM, visit())
    log.mark(later)
    world = await worked(log)
    sent = world.examples_sent()
    home = str(partition_of("anna", 2)).encode()
    (told,) = (place for place, m in enumerate(sent) if m.key == home and clock_of(m) == later)
    assert [m.key for m in sent[:told] if m.value is not None] == [b"anna"]


async def test_profiles_are_asked_for_once_while_their_events_are_decoded() -> None:
    log = Log([(CLICKSTREAM, visit(c)) for c in ("anna", "bert", "carl")], append_time=NOW)
    log.append_raw(CLICKSTREAM, 0, b"junk", b"\xff no text")
    log.append_raw(CLICKSTREAM, 1 - partition_of("anna", 2), b"junk", b"anna")
    world = World(log, clock="wall")
    asked: list[list[tuple[int, str]]] = []
    read = world.store.read
    world.store.read = lambda places: asked.append(list(places)) or read(places)  # type: ignore[func-returns-value,method-assign]

    def decoded(step: str) -> None:
        deadline = monotonic() + 5
        while step == "decode" and not asked and monotonic() < deadline:
            sleep(0.001)  # another thread asks: it may be later, but needs nothing from this one
        if step == "decode":
            asked.append([])

    worker = Worker(world, hook=decoded)
    await worker.assign()
    await worker.read()
    places = {(bucket_of(c), c) for c in ("anna", "bert", "carl")}
    assert (set(asked[0]), asked[1:]) == (places, [[]]), "before the hook of decode, each customer once, at home"
    assert world.tallies() == {"received": 5, "applied": 3, "dead_lettered": 2}


async def test_others_get_their_turns_while_many_are_folded_and_while_time_wakes_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns: list[str] = []

    async def pause() -> None:
        turns.append("pause")

    monkeypatch.setattr(journey, "PAUSE", 2 * journey.BLOCK)
    monkeypatch.setattr(journey, "_pause", pause)
    customers = [name for name in (f"c{n}" for n in range(200)) if partition_of(name, 2) == 0][: 5 * journey.BLOCK]
    worker = Worker(World(Log([(CLICKSTREAM, visit(name)) for name in customers], append_time=NOW), clock="wall"))
    await worker.assign()
    await worker.read()
    assert turns == ["pause"] * 3, "after the first, the third and the fifth block"
    await worker.journey.tick({0: NOW + 31 * DAY})
    assert turns == ["pause"] * 6
    await worker.journey.settle()


def visit(customer: str = "anna", minutes: int = 0, **fields: Any) -> dict[str, Any]:
    at = NOW + minutes * MINUTE
    return event(
        CLICKSTREAM,
        **(
            {"customer_id": customer, "event_id": f"{customer}-{minutes}", "event_time": at, "received_time": at}
            | fields
        ),
    )


async def test_dead_letters_go_before_the_commit_and_changes_after_it() -> None:
    log = Log([(CLICKSTREAM, visit())], append_time=NOW)
    log.append_raw(CLICKSTREAM, partition_of("anna", 2), b"junk")
    world = await worked(log, clock="wall")
    order = [effect[1] if effect[0] == "publish" else effect[0] for effect in world.effects if effect[0] != "claim"]
    assert order.index(DEAD_LETTERS) < order.index("commit") < order.index(SEGMENT_CHANGES) < order.index(PROFILES)
    assert all(effect[2] == "applied" for effect in world.effects if effect[0] == "commit")


async def test_the_next_commit_trims_what_kafka_has_confirmed() -> None:
    world = World(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    worker = Worker(world)
    await worker.assign()
    await worker.read()
    held = world.store.buckets[bucket_of("anna")]
    assert len(held.outbox) == len(world.changes()) > 0
    assert held.dirty == {"anna": 1}
    world.log.append(CLICKSTREAM, visit(minutes=1))
    await worker.read()
    assert held.outbox == {}
    await worker.journey.advance_fences()
    assert held.dirty == {}


async def test_repetitions_and_conflicts_are_told_apart() -> None:
    first = visit(url="/a")
    retry = first | {"event_time": NOW + 5, "received_time": NOW + 9}
    other = first | {"url": "/b"}
    log = Log([(CLICKSTREAM, one) for one in (first, retry, other)], append_time=NOW)
    world = await worked(log, size=1, clock="wall")
    assert world.tallies() == {"received": 3, "applied": 1, "duplicate": 1, "dead_lettered": 1}
    (letter,) = world.letters()
    assert (letter.reason, letter.offset, letter.key) == ("id_conflict", 2, b"anna")
    assert letter.value == log.records[CLICKSTREAM, partition_of("anna", 2)][2].value


@pytest.mark.parametrize("known", [True, False], ids=["in memory", "unknown"])
async def test_a_record_in_a_foreign_partition_is_a_dead_letter(*, known: bool) -> None:
    home = partition_of("anna", 2)
    log = Log([(CLICKSTREAM, visit())] if known else [], append_time=NOW)
    world = World(log, clock="wall")
    worker = Worker(world)
    await worker.assign()
    await worker.read()
    log.append_raw(CLICKSTREAM, 1 - home, encoded(CLICKSTREAM, visit(minutes=1)), b"anna")
    await worker.read()
    (letter,) = world.letters()
    assert (letter.reason, letter.partition, letter.offset) == ("wrong_partition", 1 - home, 0)
    assert f"belongs to partition {home} of 2" in letter.detail
    assert world.tallies() == {"received": 1 + known, "dead_lettered": 1} | ({"applied": 1} if known else {})


async def test_a_thousand_bad_records_in_a_row_stop_the_worker_before_anything_is_skipped() -> None:
    log = Log(append_time=NOW)
    for _ in range(1_000):
        log.append_raw(PURCHASE, 0, b"junk")
    with pytest.raises(PoisonLimitError, match=r"1000 records in a row are bad \(limit: 1000\): undecodable 1000"):
        await worked(log, clock="wall")


async def test_999_bad_records_and_a_good_one_do_not() -> None:
    log = Log(append_time=NOW)
    for _ in range(999):
        log.append_raw(CLICKSTREAM, partition_of("anna", 2), b"junk")
    log.append(CLICKSTREAM, visit())
    world = await worked(log, clock="wall")
    assert world.tallies() == {"received": 1_000, "dead_lettered": 999, "applied": 1}
    assert len({letter.letter_id for letter in world.letters()}) == 999


async def test_a_refused_commit_stops_the_worker() -> None:
    world = World(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    zombie, owner = Worker(world, "old"), Worker(world, "new")
    await zombie.assign()
    await owner.assign()
    with pytest.raises(StaleCommitError, match="stale_epoch"):
        await zombie.read()
    assert world.changes() == []
    await owner.read()
    assert world.tallies() == {"received": 1, "applied": 1}


async def test_a_replay_of_applied_records_changes_nothing() -> None:
    """A worker that reads from the start again, as after a seek back: the fences know better."""
    log = history_log(orders()[:100])
    world = await worked(log, 20)
    before, sent = picture(world), len(world.changes())
    again = Worker(world, "again")
    await again.assign()
    again.positions = dict.fromkeys(again.positions, 0)
    await again.read(33)
    await again.journey.advance_fences()
    assert len(world.changes()) == sent
    assert picture(world) == before


async def test_kafka_failing_leaves_the_message_for_the_next_owner() -> None:
    world = World(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    worker = Worker(world)
    await worker.assign()
    world.publisher.failures.append(RetryableError("no answer"))
    with pytest.raises(RetryableError):
        await worker.read()
    assert len(world.store.buckets[bucket_of("anna")].outbox) > 0
    await Worker(world, "second").assign()
    assert world.changes() != []


async def test_fences_of_untouched_buckets_follow() -> None:
    world = await worked(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    home = partition_of("anna", 2)
    fences = [bucket.fences for number, bucket in world.store.buckets.items() if number % 2 == home]
    assert fences == [{f"id-{CLICKSTREAM}:{home}": 0}] * 128


async def test_a_tick_wakes_who_is_due_and_nobody_else() -> None:
    log = Log([(CLICKSTREAM, visit(customer)) for customer in ("anna", "bert")], append_time=NOW)
    world = World(log, clock="wall")
    worker = Worker(world)
    await worker.assign()
    await worker.read()
    await worker.journey.tick(dict.fromkeys(range(2), NOW + 30 * DAY))
    await worker.journey.settle()
    assert {world.profile(c).activity for c in ("anna", "bert")} == {"active"}
    await worker.journey.tick(dict.fromkeys(range(2), NOW + 30 * DAY + 1))
    await worker.journey.settle()
    moved = [c for c in world.changes() if c.group == "activity" and c.from_segment == "active"]
    assert sorted((c.customer_id, c.effective_time, c.cause) for c in moved) == [
        (customer, NOW + 30 * DAY + 1, "tick") for customer in ("anna", "bert")
    ]
