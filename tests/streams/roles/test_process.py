"""The process role on a store in memory: what it claims, where it reads on, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from schemas.errors import ForeignTopicError, NewGenerationError, RetryableError, StaleCommitError
from schemas.partitioning import bucket_of, partition_of
from schemas.topics import CLICKSTREAM, INPUT_TOPICS
from streams import effects, metrics
from streams.environment import Environment
from streams.kafka.models import ModelsReader
from streams.metrics import Health
from streams.roles.process import Models, ProcessRole
from streams.settings import KafkaSettings, RedisSettings, Settings
from streams.takeover import Takeover
from streams.vitals import STANDS_BY
from tests.schemas.records import NOW, event
from tests.streams.worker import Log, Worker, World

TPS = {(topic, number) for topic in INPUT_TOPICS for number in range(2)}


class NoModels:
    """A models topic without a model."""

    def read_all(self) -> list[Any]:
        return []

    def poll_new(self) -> list[Any]:
        return []


def role_in(world: World, redis: RedisSettings | None = None) -> tuple[ProcessRole, Worker]:
    """The role, and the worker whose journey it drives."""
    worker = Worker(world)
    kafka, redis = KafkaSettings(partitions=2), redis or RedisSettings()
    settings = Settings(installation="test", clock=world.clock, kafka=kafka, redis=redis)
    unused = cast("Any", None)
    environment = Environment(settings, unused, cast("Any", world.store), unused, unused, unused, b"")
    models = Models(cast("ModelsReader", NoModels()), worker.journey.scorers)
    health = Health("partitions")
    takeover = Takeover(settings, environment.store, worker.journey, health, lambda tps: dict.fromkeys(tps, 0))
    return ProcessRole(environment, worker.journey, models, takeover, health), worker


def world_of(*customers: str) -> World:
    events = [event(CLICKSTREAM, customer_id=customer, event_id=customer) for customer in customers]
    return World(Log([(CLICKSTREAM, one) for one in events], append_time=NOW), clock="wall")


async def test_a_new_installation_reads_every_topic_from_its_start() -> None:
    role, _ = role_in(world_of())
    assert await role.assigned(TPS) == dict.fromkeys(TPS, 0)


async def test_it_reads_on_after_the_lowest_fence_of_each_topic_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "SWEEP_SECONDS", float("inf"))
    world = world_of("anna")
    home = partition_of("anna", 2)
    role, worker = role_in(world)
    worker.positions = dict(await role.assigned(TPS))
    await worker.journey.run(worker.next_poll(10))
    await worker.journey.settle()
    heir, _ = role_in(world)
    positions = await heir.assigned(TPS)
    assert positions[CLICKSTREAM, home] == 0, "127 buckets of the partition have not been told yet"
    await heir.revoked(TPS)
    role, worker = role_in(world)
    worker.positions = dict(await role.assigned(TPS))
    await worker.journey.run(worker.next_poll(10))
    await role.revoked(TPS)
    assert worker.journey.owned == {}
    heir, _ = role_in(world)
    assert (await heir.assigned(TPS))[CLICKSTREAM, home] == 1
    assert world.tallies() == {"received": 1, "applied": 1}


async def test_only_the_positions_of_what_was_assigned_are_answered() -> None:
    role, worker = role_in(world_of())
    some = {tp for tp in TPS if tp[1] == 1}
    assert set(await role.assigned(some)) == some
    assert set(worker.journey.owned) == {1}


async def test_fences_of_an_unknown_topic_stop_it() -> None:
    world = world_of()
    world.store.buckets[bucket_of("anna")].fences["deleted-topic:0"] = 7
    role, _ = role_in(world)
    with pytest.raises(ForeignTopicError, match=r"deleted-topic:0.*redis\.prefix"):
        await role.assigned(TPS)


async def test_a_revoked_partition_is_written_no_more() -> None:
    world = world_of("anna")
    role, worker = role_in(world)
    worker.positions = dict(await role.assigned(TPS))
    await worker.read()
    await role.revoked(TPS)
    commits = sum(effect[0] == "commit" for effect in world.effects)
    await worker.journey.advance_fences()
    await role.tick()
    assert sum(effect[0] == "commit" for effect in world.effects) == commits


async def test_what_is_kept_in_memory_is_shown() -> None:
    role, worker = role_in(world_of("anna", "bert"))
    worker.positions = dict(await role.assigned(TPS))
    await worker.read()
    role.show()
    gauges = (metrics.OWNED_PROFILES, metrics.EVENT_IDS, metrics.DUE_PROFILES)
    shown = [sample.value for gauge in gauges for metric in gauge.collect() for sample in metric.samples]
    assert shown == [2, 2, sum(len(owner.due) for owner in worker.journey.owned.values())]


class Moving:
    """What the role asks of its worker."""

    handed_out = 0

    def __init__(self, positions: Mapping[Any, int]) -> None:
        self.done = dict(positions)
        self.unread = 1

    def positions(self) -> dict[Any, int]:
        return self.done

    def read_positions(self) -> dict[Any, int]:
        return self.done

    def lag(self) -> dict[Any, int]:
        return dict.fromkeys(self.done, self.unread)

    def alive(self) -> None:
        """Nobody watches."""


@pytest.mark.parametrize("progress", ["acknowledged", "nothing left"])
async def test_a_failure_keeps_it_from_being_ready_until_work_goes_on(progress: str) -> None:
    role, _ = role_in(world_of("anna"))
    worker = Moving(await role.assigned(TPS))
    role.worker = cast("Any", worker)
    role.show()
    assert role._health.reasons == {}
    await role.recover(RetryableError("Kafka did not confirm"))
    role.show()
    assert role._health.reasons == {"work": "it is tried again after a failure: Kafka did not confirm"}
    if progress == "acknowledged":
        worker.done[CLICKSTREAM, 0] += 1
    else:
        worker.unread = 0
    role.show()
    assert role._health.reasons == {}


async def test_without_partitions_it_is_not_ready() -> None:
    role, _ = role_in(world_of())
    await role.assigned(TPS)
    await role.revoked(TPS)
    assert role._health.reasons == {"partitions": "none are assigned"}


async def test_beside_a_member_for_each_partition_it_stands_by_and_is_ready() -> None:
    role, worker = role_in(world_of())
    assert await role.assigned(()) == {}
    assert role._health.reasons == {}
    assert role._health.notes == {"partitions": STANDS_BY}
    await role.assigned(TPS)
    assert role._health.notes == {}
    assert set(worker.journey.owned) == {0, 1}


async def test_without_events_it_asks_whether_readers_still_follow_its_generation() -> None:
    world = world_of()
    role, _ = role_in(world)
    await role.assigned(TPS)
    role.worker = cast("Any", Idle())
    await role.tick()
    world.store.standing_now = "shadow"
    role._asked = 0.0
    with pytest.raises(NewGenerationError):
        await role.tick()


async def test_without_events_it_asks_whether_redis_still_holds_what_it_confirmed() -> None:
    world = world_of("anna")
    older = world.store.snapshot()
    role, worker = role_in(world)
    worker.positions = dict(await role.assigned(TPS))
    role.worker = cast("Any", Idle())
    await worker.read()
    await role.tick()
    world.store.rewind(older)
    await role.tick()
    role._compared = 0.0
    with pytest.raises(StaleCommitError):
        await role.tick()


class Idle:
    """A worker that has read everything."""

    def read_until(self, number: int) -> int:
        return NOW + number

    def lag(self) -> dict[tuple[str, int], int]:
        return {}
