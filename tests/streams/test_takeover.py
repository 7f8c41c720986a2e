"""Going back to what Redis holds after an effect failed: as if it had not, whatever Redis did with the commit."""

from __future__ import annotations

from typing import cast

import pytest

from schemas.errors import (
    ClaimLostError,
    FootfallError,
    NewGenerationError,
    RetryableError,
    RewoundError,
    StaleCommitError,
    UnreachableError,
)
from schemas.partitioning import BUCKETS, partition_of
from schemas.results import OutgoingMessage
from schemas.topics import CLICKSTREAM, PROFILES, PURCHASE
from sinks.profiles import ProfileStore
from streams import takeover
from streams.decision import clock_of
from streams.metrics import Health
from streams.settings import KafkaSettings, Settings
from streams.takeover import Takeover
from tests.schemas.records import NOW, event
from tests.streams.test_journey import KilledError, distinct, essence, killer, orders
from tests.streams.worker import PARTITIONS, Log, Worker, World, history_log, worked


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(takeover, "_LONGEST_PAUSE", 0.0)


class Member:
    """A worker whose partition numbers were claimed as in production."""

    def __init__(self, world: World, *, rebuild: bool = False) -> None:
        self.worker = Worker(world)
        self.health = Health()
        settings = Settings(installation="test", clock=world.clock, kafka=KafkaSettings(partitions=PARTITIONS))
        store = cast("ProfileStore", world.store)
        self.takeover = Takeover(settings, store, self.worker.journey, self.health, rebuild=rebuild)
        self.failures: list[FootfallError] = []

    async def join(self) -> None:
        self.worker.positions = dict(await self.takeover.claim(range(PARTITIONS), {}))

    async def read(self, size: int, polls: int = 1_000_000) -> None:
        """To the end of the log, going back as often as an effect fails."""
        while True:
            try:
                await self.worker.read(size, polls)
            except (RetryableError, UnreachableError) as error:
                self.failures.append(error)
                self.worker.positions = dict(await self.takeover.go_back(lambda: None))
            else:
                return


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
        await member.takeover.go_back(alive)
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
    positions = await member.takeover.go_back(lambda: reasons.append(member.health.reasons["state"]))
    assert reasons == ["Redis at nowhere does not answer"] * 3
    assert member.health.reasons == {}
    member.worker.positions = dict(positions)
    await same_as_undisturbed(world, member)


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
    with pytest.raises(RewoundError, match=r"partition 1: Redis holds nothing.* up to offset 812.*--rebuild"):
        await member.takeover.claim([1], committed)
    assert dict(await member.takeover.claim([0], {}))[PURCHASE, 0] == 0, "nothing was ever read of it"
    rebuilding = Member(world, rebuild=True)
    assert dict(await rebuilding.takeover.claim([1], committed))[PURCHASE, 1] == 0
