"""Profiles read from the store: what they weigh is known from the first moment."""

from __future__ import annotations

from processors.weight import memory_of
from schemas.partitioning import bucket_of
from schemas.topics import CLICKSTREAM
from tests.schemas.records import NOW
from tests.streams.test_journey import visit
from tests.streams.worker import Log, Worker, World


async def test_loaded_and_new_profiles_weigh_before_they_are_used() -> None:
    world = World(Log([(CLICKSTREAM, visit("known"))], append_time=NOW), clock="wall")
    first = Worker(world)
    await first.assign()
    await first.read(5)
    heir = Worker(world, token="two")
    loader, profiles = heir.journey._stages.loader, heir.journey.profiles
    assert await loader.fetch([(bucket_of(name), name) for name in ("known", "new")]) == set()
    known, new = profiles.use("known"), profiles.use("new")
    assert (known.version, new.version) == (1, 0)
    stored = world.store.buckets[bucket_of("known")].profiles["known"]
    assert profiles.memory == memory_of(known, len(stored.state)) + memory_of(new, 0)
    assert known.weight > new.weight > 0
