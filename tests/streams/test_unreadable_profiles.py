"""A key in Redis that holds no profile: its customer's events are letters, and nobody else notices."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from processors.calendar import DAY
from processors.profile import Profile
from processors.state import encode_state
from schemas.errors import CodecVersionError, PoisonLimitError, StaleCommitError
from schemas.partitioning import bucket_of
from schemas.results import StoredProfile
from schemas.topics import CLICKSTREAM
from tests.schemas.records import NOW
from tests.streams.test_journey import visit
from tests.streams.worker import Log, Worker, World, worked


def planted(customers: tuple[str, ...] = ("anna", "bert"), log: Log | None = None) -> World:
    """A log with a visit of each customer, and something else under anna's key."""
    world = World(log or Log([(CLICKSTREAM, visit(customer)) for customer in customers], append_time=NOW), clock="wall")
    world.store.plant_wrong_type(bucket_of("anna"), "anna")
    return world


async def read_to_the_end(world: World, token: str = "one") -> Worker:
    worker = Worker(world, token)
    await worker.assign()
    await worker.read()
    await worker.journey.advance_fences()
    return worker


def mend(world: World) -> None:
    world.store.buckets[bucket_of("anna")].wrong_types.clear()


async def test_events_of_its_customer_are_letters_and_the_neighbours_go_on() -> None:
    world = planted()
    await read_to_the_end(world)
    (letter,) = world.letters()
    assert (letter.reason, letter.key) == ("state_type_error", b"anna")
    assert f"'anna': the key in Redis, bucket {bucket_of('anna')}, holds no profile" in letter.detail
    assert world.profile("bert").last_seen == NOW
    assert world.tallies() == {"received": 2, "dead_lettered": 1, "applied": 1}


async def test_nothing_is_committed_for_its_customer() -> None:
    world = planted(("anna",))
    await read_to_the_end(world)
    held = world.store.buckets[bucket_of("anna")]
    assert (held.profiles, held.due, held.dirty, held.outbox, held.seen) == ({}, {}, {}, {}, {})
    assert world.changes() == []


async def test_events_after_the_key_was_removed_are_folded_without_a_restart() -> None:
    world = planted()
    worker = await read_to_the_end(world)
    mend(world)
    world.log.append(CLICKSTREAM, visit(minutes=1))
    await worker.read()
    assert world.tallies() == {"received": 3, "dead_lettered": 1, "applied": 2}


async def test_a_key_replaced_under_an_owned_profile_is_found_by_the_commit_and_then_by_reading() -> None:
    world = World(Log([(CLICKSTREAM, visit(c)) for c in ("anna", "bert")], append_time=NOW), clock="wall")
    worker = await read_to_the_end(world)
    world.store.plant_wrong_type(bucket_of("anna"), "anna")
    world.log.append(CLICKSTREAM, visit(minutes=1))
    with pytest.raises(StaleCommitError, match="wrong_type"):
        await worker.read()
    await read_to_the_end(world, "heir")
    assert [letter.key for letter in world.letters()] == [b"anna"]
    assert world.tallies() == {"received": 3, "dead_lettered": 1, "applied": 2}


@pytest.mark.parametrize("size", [1, 1_000])
async def test_a_replay_makes_no_letter_of_what_was_applied_before(size: int) -> None:
    world = await worked(Log([(CLICKSTREAM, visit(minutes=n)) for n in range(3)], append_time=NOW), clock="wall")
    before = world.tallies()
    world.store.plant_wrong_type(bucket_of("anna"), "anna")
    again = Worker(world, "again")
    await again.assign()
    again.positions = dict.fromkeys(again.positions, 0)
    await again.read(size)
    assert world.letters() == []
    assert world.tallies() == before


async def test_an_heir_takes_over_a_bucket_whose_unpublished_profile_was_replaced() -> None:
    world = World(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    first = Worker(world)
    await first.assign()
    await first.read()
    assert world.store.buckets[bucket_of("anna")].dirty == {"anna": 1}
    world.store.plant_wrong_type(bucket_of("anna"), "anna")
    heir = await read_to_the_end(world, "heir")
    assert heir.journey.owned


async def ticked(world: World, worker: Worker, instant: int) -> None:
    await worker.journey.tick(dict.fromkeys(range(2), instant))
    await worker.journey.settle()


async def test_time_stands_still_for_its_customer_only_and_goes_on_when_the_key_is_back() -> None:
    world = World(Log([(CLICKSTREAM, visit(c)) for c in ("anna", "bert")], append_time=NOW), clock="wall")
    await read_to_the_end(world)
    world.store.plant_wrong_type(bucket_of("anna"), "anna")
    heir = await read_to_the_end(world, "heir")
    await ticked(world, heir, NOW + 30 * DAY + 1)
    assert world.profile("bert").activity == "dormant"
    assert world.profile("anna").activity == "active"
    mend(world)
    await ticked(world, heir, NOW + 30 * DAY + 61_000)
    assert world.profile("anna").activity == "dormant"


async def read_with_state(state: bytes) -> World:
    """Anna and Bert visit; Anna's profile is stored as these bytes."""
    world = World(Log([(CLICKSTREAM, visit(c)) for c in ("anna", "bert")], append_time=NOW), clock="wall")
    world.store.buckets[bucket_of("anna")].profiles["anna"] = StoredProfile(1, state)
    await read_to_the_end(world)
    return world


@pytest.mark.parametrize("state", [b"not a profile", b"1", b"\xc1", b"", b"\x90", b"\x91\x02", b"\x91\xa1x"])
async def test_bytes_that_are_no_state_are_no_profile(state: bytes) -> None:
    world = await read_with_state(state)
    assert [letter.reason for letter in world.letters()] == ["state_type_error"]
    assert world.profile("bert").last_seen == NOW


def damaged(field: int, value: object) -> bytes:
    """A newcomer's state with one field replaced: still MessagePack, no longer a profile."""
    row = msgspec.msgpack.decode(encode_state(Profile("anna", 1)))
    row[field] = value
    return msgspec.msgpack.encode(row)


@pytest.mark.parametrize(
    "state",
    [damaged(1, None), damaged(8, 7), damaged(8, ["x"]), damaged(15, [[1]]), damaged(23, []), damaged(23, {"a": 1})],
    ids=["as_of", "keys", "key", "order", "attributes", "attribute"],
)
async def test_a_state_of_another_shape_is_no_profile_and_the_neighbours_go_on(state: bytes) -> None:
    world = await read_with_state(state)
    (letter,) = world.letters()
    assert (letter.reason, letter.key) == ("state_type_error", b"anna")
    assert world.profile("bert").last_seen == NOW


async def test_a_state_of_a_newer_release_stops_the_worker_instead() -> None:
    world = World(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    world.store.buckets[bucket_of("anna")].profiles["anna"] = StoredProfile(1, b"\x91\x63")
    with pytest.raises(CodecVersionError, match="codec version 99"):
        await read_to_the_end(world)


def many(customer: str, count: int) -> list[tuple[str, dict[str, Any]]]:
    return [(CLICKSTREAM, visit(customer, minutes=n)) for n in range(count)]


async def test_the_limit_holds_for_letters_that_only_show_when_a_profile_is_looked_at() -> None:
    world = planted(log=Log(many("anna", 1_000), append_time=NOW))
    with pytest.raises(PoisonLimitError, match="state_type_error 1000"):
        await read_to_the_end(world)
    assert world.letters() == []
