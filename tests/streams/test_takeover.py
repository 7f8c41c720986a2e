"""Going back to what Redis holds after an effect failed: as if it had not, whatever Redis did with the commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, cast

import pytest
from structlog.testing import capture_logs

from schemas.errors import (
    ClaimLostError,
    FootfallError,
    NewGenerationError,
    RetryableError,
    RewoundError,
    StaleCommitError,
    StalledError,
    UnreachableError,
)
from schemas.events import Chunk
from schemas.partitioning import BUCKETS, bucket_of, partition_of
from schemas.results import OutgoingMessage
from schemas.topics import CLICKSTREAM, CLOCK_HEADER, INPUT_TOPICS, PROFILES, PURCHASE
from sinks.profiles import ProfileStore
from streams import metrics, setbacks, takeover, ticking
from streams.decision import clock_of
from streams.doctor.positions import judge_conservation, judge_process
from streams.doctor.standing import standings
from streams.kafka.chunks import TopicPartition
from streams.metrics import Health
from streams.setbacks import Setbacks
from streams.settings import KafkaSettings, Settings
from streams.takeover import NOTHING, Accepted, Takeover
from tests.schemas.records import NOW, event
from tests.streams.killing import KilledError, distinct, killer
from tests.streams.test_journey import essence, orders
from tests.streams.worker import PARTITIONS, Log, Worker, World, history_log, worked

GONE: Final = UnreachableError("no answer")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setbacks, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(takeover, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(takeover, "_LONGEST_PAUSE", 0.0)


def _first_offsets(firsts: Mapping[TopicPartition, int], tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    return {tp: firsts.get(tp, 0) for tp in tps}


class Member:
    """A worker whose partition numbers were claimed as in production."""

    def __init__(
        self, world: World, accepted: Accepted = NOTHING, firsts: Mapping[TopicPartition, int] = MappingProxyType({})
    ) -> None:
        self.worker = Worker(world)
        self.health = Health()
        settings = Settings(installation="test", clock=world.clock, kafka=KafkaSettings(partitions=PARTITIONS))
        store = cast("ProfileStore", world.store)
        first_offsets = partial(_first_offsets, firsts)
        journey = self.worker.journey
        self.takeover = Takeover(settings, store, journey, self.health, first_offsets, accepted=accepted)
        self.failures: list[FootfallError] = []

    async def join(self) -> None:
        self.worker.positions = dict(await self.takeover.claim(range(PARTITIONS), {}))

    async def read(self, size: int, polls: int = 1_000_000) -> None:
        """To the end of the log, going back as often as an effect fails."""
        while not await self.read_once(size, polls):
            pass

    async def read_once(self, size: int, polls: int = 1_000_000) -> bool:
        """Whether it came to the end of the log; else it has gone back."""
        try:
            await self.worker.read(size, polls)
        except (RetryableError, UnreachableError) as error:
            self.failures.append(error)
            self.worker.positions = dict(await self.takeover.go_back(error, lambda: None))
            return False
        return True


def log_of_orders() -> Log:
    return history_log(orders()[:300])


async def same_as_undisturbed(world: World, member: Member) -> None:
    await member.read(7)
    await member.worker.journey.advance_fences()
    undisturbed = await worked(log_of_orders(), 7)
    assert essence(distinct(world.changes())) == essence(undisturbed.changes())
    assert world.portraits() == undisturbed.portraits()
    assert world.tallies() == undisturbed.tallies()
    assert {u.customer_id: u.version for u in world.updates()} == {
        customer: stored.version
        for bucket in world.store.buckets.values()
        for customer, stored in bucket.profiles.items()
    }


@pytest.mark.parametrize("stored", [False, True])
async def test_a_commit_without_an_answer_is_looked_up_whether_it_was_stored_or_not(*, stored: bool) -> None:
    world = World(log_of_orders())
    member = Member(world)
    await member.join()
    await member.read(7, polls=5)
    world.store.fail_next(UnreachableError("no answer"), after_effect=stored)
    await same_as_undisturbed(world, member)
    assert [type(error) for error in member.failures] == [UnreachableError]


@pytest.mark.parametrize("after", [2, 5, 30])
async def test_work_that_is_given_up_between_two_decisions_is_finished_by_the_next_owner(
    monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(ticking, "BATCH", 1)
    world = World(log_of_orders())
    first, asked = Member(world), list[bool]()
    await first.join()

    def leaving() -> bool:
        asked.append(len(asked) >= after)
        return asked[-1]

    first.worker.journey.leaving = leaving
    while not any(asked):
        await first.read(7, polls=1)
    await first.worker.journey.advance_fences()
    for number in range(PARTITIONS):
        first.worker.journey.forget(number)
    second = Member(world)
    await second.join()
    await same_as_undisturbed(world, second)


async def test_a_redis_that_lost_its_last_writes_is_read_into_again() -> None:
    world = World(log_of_orders())
    member = Member(world)
    await member.join()
    await member.read(7, polls=5)
    older = world.store.snapshot()
    await member.read(7, polls=5)
    world.store.rewind(older)
    await same_as_undisturbed(world, member)
    assert [type(error) for error in member.failures] == [StaleCommitError]


async def test_a_redis_that_lost_its_last_writes_is_noticed_though_nothing_arrives() -> None:
    world = World(log_of_orders())
    member = Member(world)
    await member.join()
    await member.read(7, polls=5)
    older = world.store.snapshot()
    await member.takeover.check_rewind()
    await member.read(7)
    await member.worker.journey.advance_fences()
    await member.takeover.check_rewind()
    world.store.rewind(older)
    with pytest.raises(StaleCommitError, match="lost writes"):
        await member.takeover.check_rewind()
    member.worker.positions = dict(await member.takeover.go_back(GONE, lambda: None))
    await same_as_undisturbed(world, member)


async def test_while_effects_are_on_their_way_nobody_asks_what_redis_holds() -> None:
    world = World(log_of_orders())
    member = Member(world)
    await member.join()
    older = world.store.snapshot()
    await member.read(7, polls=5)
    world.store.rewind(older)
    journey = member.worker.journey
    await journey.run(member.worker.next_poll(7))
    assert journey.busy
    await member.takeover.check_rewind()
    with pytest.raises(StaleCommitError):
        await journey.settle()


async def test_whoever_lost_the_claim_writes_no_more() -> None:
    world = World(log_of_orders())
    zombie = Member(world)
    await zombie.join()
    await zombie.read(7, polls=3)
    heir = Member(world)
    await heir.join()
    with pytest.raises(ClaimLostError, match="another worker"):
        await zombie.read(7)
    assert zombie.worker.journey.owned == {}
    await same_as_undisturbed(world, heir)


async def test_while_a_switch_is_at_work_nothing_is_claimed_for_use_and_afterwards_the_worker_begins_anew() -> None:
    world = World(log_of_orders())
    member = Member(world)
    await member.join()
    await member.read(7, polls=3)
    world.store.standing_now = "switching"
    world.store.claim(range(BUCKETS), "replay-1")
    waited: list[str] = []

    def alive() -> None:
        waited.append(member.health.reasons["state"])
        if len(waited) == 3:
            world.store.standing_now = "shadow"

    with pytest.raises(StaleCommitError):
        await member.worker.read(7)
    with pytest.raises(NewGenerationError, match="another generation"):
        await member.takeover.go_back(GONE, alive)
    assert waited == ["a replay is switching to another generation of profiles"] * 3
    sent = len(world.effects)
    with pytest.raises(NewGenerationError):
        await member.takeover.check_generation()
    with pytest.raises(NewGenerationError):
        await Member(world).join()
    assert {effect[0] for effect in world.effects[sent:]} == {"claim"}, "nothing is sent for a generation that is gone"


async def test_a_worker_whom_a_replay_that_did_not_switch_took_its_buckets_begins_anew() -> None:
    world = World(log_of_orders())
    member = Member(world)
    await member.join()
    await member.read(7, polls=3)
    world.store.claim(range(BUCKETS), "replay-1")
    with pytest.raises(NewGenerationError, match="did not switch"):
        await member.read(7)
    heir = Member(world)
    await heir.join()
    await same_as_undisturbed(world, heir)


async def test_a_silent_redis_is_not_what_asking_for_the_generation_reports() -> None:
    world = World(log_of_orders())
    world.store.fail_next(UnreachableError("no answer"))
    await Member(world).takeover.check_generation()
    world.store.fail_next(UnreachableError("no answer"))
    await Member(world).takeover.check_rewind()


async def test_it_waits_for_servers_and_says_why_it_is_not_ready() -> None:
    world = World(log_of_orders())
    member = Member(world)
    await member.join()
    await member.read(7, polls=3)
    for _ in range(4):
        world.store.fail_next(UnreachableError("Redis at nowhere does not answer"))
    reasons: list[str] = []
    with pytest.raises(UnreachableError):
        await member.worker.read(7)
    positions = await member.takeover.go_back(GONE, lambda: reasons.append(member.health.reasons["state"]))
    assert reasons == ["Redis at nowhere does not answer"] * 3
    assert member.health.reasons == {}
    member.worker.positions = dict(positions)
    await same_as_undisturbed(world, member)


async def test_what_fails_again_and_again_is_tried_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setbacks, "FIRST_SECONDS", 0.001)
    world = World(log_of_orders())
    member = Member(world)
    await member.join()
    await member.read(7, polls=3)
    pauses: list[float] = []
    noted = Setbacks.note

    def note(self: Setbacks, error: FootfallError, now: float) -> float:
        pauses.append(noted(self, error, now))
        return pauses[-1]

    monkeypatch.setattr(Setbacks, "note", note)
    world.store.refuse_commits(6, RetryableError("Redis refuses for now: OOM"))
    await same_as_undisturbed(world, member)
    assert pauses == [0.0, 0.001, 0.002, 0.004, 0.008, 0.016]


async def test_a_commit_that_is_refused_for_ever_ends_the_worker_though_other_partitions_get_on() -> None:
    """Partition numbers are decided one after the other: those before the refused one are stored each time."""
    stored, refused = (
        next(name for name in map(str, range(99)) if partition_of(name, PARTITIONS) == n) for n in (0, 1)
    )
    world = World(Log(append_time=NOW), clock="wall")
    member = Member(world)
    member.takeover.setbacks.patience = 0.2
    await member.join()
    world.store.refused.add(bucket_of(refused))
    world.log.append(CLICKSTREAM, event(CLICKSTREAM, customer_id=refused, event_id="refused"))

    async def work_on() -> None:
        for n in range(10_000):
            world.log.append(CLICKSTREAM, event(CLICKSTREAM, customer_id=stored, event_id=f"stored-{n}"))
            await member.read_once(10)

    with pytest.raises(StalledError, match="refused"):
        await work_on()
    assert len(member.failures) >= 5
    assert world.tallies()["applied"] >= 5, "the other partition got on meanwhile"


async def test_profiles_committed_and_not_published_are_sent_by_the_next_owner() -> None:
    world = World(
        Log([(CLICKSTREAM, event(CLICKSTREAM, customer_id="anna", event_id="a"))], append_time=NOW), clock="wall"
    )
    killed = Worker(world, "first", killer("commit", 1))
    await killed.assign()
    with pytest.raises(KilledError):
        await killed.read()
    assert world.published(PROFILES) == []
    heir = Worker(world, "second")
    await heir.assign()
    assert [(u.customer_id, u.version) for u in world.updates()] == [("anna", 1)]
    await heir.journey.advance_fences()
    assert all(not bucket.dirty for bucket in world.store.buckets.values()), "a confirmed version is trimmed"


async def test_clocks_committed_and_not_published_come_after_the_labels_they_speak_of() -> None:
    log = log_of_orders()
    world = World(log)
    killed = Worker(world, "first", killer("commit", 1))
    await killed.assign()
    with pytest.raises(KilledError):
        await killed.read()
    heir = Worker(world, "second")
    await heir.assign()
    sent = world.examples_sent()
    for number in range(PARTITIONS):
        of_number = [message for message in sent if number_of(message) == number]
        clocks = [clock_of(message) for message in of_number]
        assert len(clocks) > 10
        assert clocks[-1] == world.store.clock(number) is not None
        assert clocks[:-1] == [None] * (len(clocks) - 1)


def number_of(message: OutgoingMessage) -> int:
    key = (message.key or b"").decode()
    return int(key) if clock_of(message) is not None else partition_of(key, PARTITIONS)


async def test_an_emptied_redis_is_not_taken_for_a_new_installation() -> None:
    world = World(log_of_orders())
    member = Member(world)
    committed = {(PURCHASE, 0): 0, (PURCHASE, 1): 812}
    for attempt in (member, Member(world)):
        with pytest.raises(RewoundError, match=r"partition 1: Redis holds nothing.* up to offset 812.*--rebuild"):
            await attempt.takeover.claim([1], committed)
    assert dict(await member.takeover.claim([0], {}))[PURCHASE, 0] == 0, "nothing was ever read of it"
    rebuilding = Member(world, Accepted(rebuild=True))
    assert dict(await rebuilding.takeover.claim([1], committed))[PURCHASE, 1] == 0


async def test_who_claimed_and_died_before_anything_was_applied_has_not_emptied_redis() -> None:
    """Events may wait for the markers of other topics: they are acknowledged, and no fence tells of them."""
    log = Log([(PURCHASE, event(PURCHASE, customer_id="anna", event_time=NOW, received_time=NOW))], append_time=NOW)
    home = partition_of("anna", PARTITIONS)
    log.append_raw(PURCHASE, home, None, b"clock", [(CLOCK_HEADER, str(NOW).encode())])
    world = World(log)
    killed = Member(world)
    await killed.join()
    await killed.read(7)
    assert world.tallies() == {}, "it waits for the other topics"
    heir = Member(world)
    assert dict(await heir.takeover.claim([home], {(PURCHASE, home): 2}))[PURCHASE, home] == 0


# -- logs whose beginning retention took -----------------------------------------------------------------------------

TPS: Final = [(topic, number) for topic in INPUT_TOPICS for number in range(PARTITIONS)]


def clicks(number: int) -> Log:
    events = [event(CLICKSTREAM, customer_id=f"c{n}", event_id=f"e{n}", event_time=NOW) for n in range(number)]
    return Log([(CLICKSTREAM, one) for one in events], append_time=NOW)


def fences_of(world: World, number: int) -> set[int]:
    name = f"{world.site.topic_ids[CLICKSTREAM]}:{number}"
    return {held.fences.get(name, -1) for bucket, held in world.store.buckets.items() if bucket % PARTITIONS == number}


def in_good_order(world: World, firsts: Mapping[TopicPartition, int]) -> bool:
    """What the doctor says of the logs."""
    claims = world.store.peek(range(BUCKETS))
    ends = {tp: len(world.log.records[tp]) for tp in TPS}
    found = standings(claims, world.site.topic_ids, PARTITIONS, firsts, ends)
    return {judge_conservation(found).status, judge_process(found, 1_000).status} == {"ok"}


@pytest.mark.usefixtures("no_skips")
@pytest.mark.parametrize("accepted", [NOTHING, Accepted(rebuild=True), Accepted(skip_gap=True)])
async def test_where_nothing_was_read_yet_reading_begins_where_the_log_begins(accepted: Accepted) -> None:
    world = World(clicks(40), clock="wall")
    firsts = {(CLICKSTREAM, number): 5 for number in range(PARTITIONS)}
    member = Member(world, accepted, firsts)
    await member.join()
    assert member.worker.positions == dict.fromkeys(TPS, 0) | firsts
    assert fences_of(world, 0) == fences_of(world, 1) == {4}, "or a kill in the first commit would leave a gap"
    await member.read(7)
    await member.worker.journey.advance_fences()
    assert world.tallies() == {"received": 30, "applied": 30}
    assert in_good_order(world, firsts)
    assert all(not owner.uncounted.total() for owner in member.worker.journey.owned.values())
    assert metrics.SKIPPED_RECORDS._metrics == {}


async def test_a_first_claim_that_was_cut_off_midway_begins_where_the_log_begins_too() -> None:
    world = World(clicks(40), clock="wall")
    firsts = {(CLICKSTREAM, number): 5 for number in range(PARTITIONS)}
    await Member(world, firsts=firsts).join()
    for bucket in range(0, BUCKETS, 3):
        world.store.buckets[bucket].fences.clear()
    later = dict.fromkeys(firsts, 8)
    heir = Member(world, firsts=later)
    await heir.join()
    await heir.read(7)
    await heir.worker.journey.advance_fences()
    assert world.tallies() == {"received": 24, "applied": 24}
    assert in_good_order(world, later)


async def test_who_goes_back_before_the_first_record_goes_back_to_where_the_log_begins() -> None:
    world = World(clicks(40), clock="wall")
    firsts = {(CLICKSTREAM, number): 5 for number in range(PARTITIONS)}
    member = Member(world, firsts=firsts)
    await member.join()
    world.store.fail_next(UnreachableError("no answer"))
    await member.read(7)
    assert len(member.failures) == 1
    assert world.tallies() == {"received": 30, "applied": 30}


@pytest.fixture
def no_skips() -> Iterator[None]:
    metrics.SKIPPED_RECORDS.clear()
    yield
    metrics.SKIPPED_RECORDS.clear()


@pytest.mark.usefixtures("no_skips")
async def test_records_that_retention_took_stop_the_worker_until_somebody_accepts_their_loss() -> None:
    world = World(clicks(40), clock="wall")
    member = Member(world)
    await member.join()
    await member.read(3, polls=2)
    await member.worker.journey.advance_fences()
    firsts = {(CLICKSTREAM, 1): 9}
    assert not in_good_order(world, firsts)
    with pytest.raises(RewoundError, match=r"partition 1: records 6 to 8 are gone .*begins at 9.*process --skip-gap"):
        await Member(world, firsts=firsts).join()
    heir = Member(world, Accepted(skip_gap=True), firsts)
    with capture_logs() as said:
        await heir.join()
    warnings = [entry for entry in said if entry["log_level"] == "warning"]
    assert [(w["topic"], w["partition"], w["first"], w["last"]) for w in warnings] == [(CLICKSTREAM, 1, 6, 8)]
    assert metrics.SKIPPED_RECORDS.labels(CLICKSTREAM, 1)._value.get() == 3
    assert heir.worker.positions[CLICKSTREAM, 0] == 6
    await heir.read(7)
    await heir.worker.journey.advance_fences()
    assert world.tallies() == {"received": 37, "applied": 37}
    assert in_good_order(world, firsts)
    again = Member(world, firsts=firsts)
    await again.join()
    assert again.worker.positions[CLICKSTREAM, 1] == len(world.log.records[CLICKSTREAM, 1]), "it is accepted once"


async def test_a_bucket_that_missed_records_which_are_gone_is_a_gap_though_others_have_passed_them() -> None:
    world = World(clicks(40), clock="wall")
    member = Member(world)
    await member.join()
    await member.read(3, polls=2)
    assert {-1, 5} < fences_of(world, 0)
    with pytest.raises(RewoundError, match="records 0 to 2 are gone"):
        await Member(world, firsts={(CLICKSTREAM, 0): 3}).join()


@pytest.mark.parametrize("published", [True, False])
async def test_the_barrier_stands_where_the_last_owner_left_it(*, published: bool) -> None:
    """Else the first poll of a takeover would be folded before the other topics of the same hours are there."""
    world = World(log_of_orders())
    first = Member(world)
    await first.join()
    if published:
        await first.read(40, polls=3)
    else:  # the clock is told by what the commit left in the outbox, and noted nowhere else
        world.publisher.failures = [UnreachableError("no answer")]
        with pytest.raises(UnreachableError):
            await first.worker.read(40, polls=3)
        await first.worker.journey.abandon()
        assert all(world.store.clock(number) is None for number in range(PARTITIONS))
    heir = Member(world)
    await heir.join()
    for number in range(PARTITIONS):
        aligner = heir.worker.journey.owned[number].aligner
        assert 0 < aligner.clock == world.store.clock(number)
    applied = world.tallies()["applied"]
    (topic, number), position = max(heir.worker.positions.items(), key=lambda item: item[0][0] == PURCHASE)
    records = world.log.records[topic, number][position : position + 1]
    await heir.worker.journey.run([Chunk(topic, number, position, position + 1, 1, records)])
    await heir.worker.journey.settle()
    assert world.tallies()["applied"] == applied, "one topic alone is not folded"
    heir.worker.positions[topic, number] += 1
    await same_as_undisturbed(world, heir)
