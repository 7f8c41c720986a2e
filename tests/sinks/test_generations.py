"""Generations of keys on a real server: what is found, what is removed, who may move the pointer, what is copied."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import redis

from schemas.errors import StaleCommitError
from schemas.partitioning import bucket_of
from schemas.results import BucketClaim, BucketCommit, FenceMove, ProfileWrite, StoredProfile
from sinks.generations import Copy, Generations
from sinks.keys import bucket_keys
from sinks.profiles import ProfileStore
from streams.embedded.redis import RedisServer

IDS = ["anna", "}x", "{y}", "b:p:c", "käufer"]


@pytest.fixture
def client(valkey: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url) as client:
        yield client


@pytest.fixture
def generations(client: redis.Redis, fresh_name: str) -> Generations:
    return Generations(client, fresh_name)


def write(store: ProfileStore, customer: str, version: int = 0, due: int | None = 5) -> BucketClaim:
    """Claim the customer's bucket and store a profile."""
    (claim,) = store.claim([bucket_of(customer)], "owner")
    profile = ProfileWrite(customer, version, f"s{store.generation}".encode(), b"{}", due)
    commit = BucketCommit(claim.bucket, claim.epoch, "owner", claim.number, profiles=[profile])
    fence = FenceMove("t:1", claim.fences.get("t:1", -1), claim.fences.get("t:1", -1) + 1)
    assert store.commit([msgspec.structs.replace(commit, fences=[fence])]) == ["applied"]
    return claim


def keys_of(client: redis.Redis, prefix: str) -> set[bytes]:
    return set(client.scan_iter(f"{prefix}*", count=1000))


def test_every_customer_of_a_generation_is_found_whatever_the_id(generations: Generations) -> None:
    for customer in IDS:
        write(generations.store(1), customer)
    write(generations.store(2), "other")
    found = [place for places in generations.customers(1) for place in places]
    assert sorted(found) == sorted((bucket_of(customer), customer) for customer in IDS)


def test_other_generations_are_removed_and_nothing_else(
    generations: Generations, client: redis.Redis, fresh_name: str
) -> None:
    for generation in (1, 2, 13):
        write(generations.store(generation), "anna")
        generations.store(generation).note_clock({0: 1})
    others = {f"{fresh_name}:installation", f"{fresh_name}:dedup-key", f"{fresh_name}x:2:clock", f"{fresh_name}:2:own"}
    for key in others:
        client.set(key, "kept")
    live = {key for key in keys_of(client, fresh_name) if key.startswith(f"{fresh_name}:2:{{".encode())}
    client.set(f"{fresh_name}:generation", 2)
    lease = generations.replay_lease()
    lease.take()
    assert generations.empty_others(2, lease.token) == 2 * (len(live) + 1)
    lease.release()
    client.delete(f"{fresh_name}:generation")
    clock = f"{fresh_name}:2:clock".encode()
    assert keys_of(client, fresh_name) == live | {clock} | {key.encode() for key in others}


def test_a_replay_that_slept_cannot_remove_what_another_one_made_live(
    generations: Generations, client: redis.Redis, fresh_name: str
) -> None:
    for generation in (1, 2):
        write(generations.store(generation), "anna")
    asleep, other = generations.replay_lease(), generations.replay_lease()
    asleep.take()
    client.delete(f"{fresh_name}:replay")  # as if it had run out
    other.take()
    switch = generations.switch_lease()
    switch.take()
    before = keys_of(client, fresh_name)
    with pytest.raises(StaleCommitError):
        generations.empty_others(1, asleep.token)
    switch.switch(2)
    with pytest.raises(StaleCommitError, match="generation 1 is no longer the live one"):
        generations.empty_others(1, other.token)
    assert keys_of(client, fresh_name) == before - {f"{fresh_name}:switch:{{{fresh_name}:generation}}".encode()} | {
        f"{fresh_name}:generation".encode()
    }


def test_only_who_holds_the_lease_moves_the_pointer(generations: Generations) -> None:
    first, second = generations.switch_lease(), generations.switch_lease()
    assert first.take()
    assert not second.take()
    assert not second.switch(2)
    assert not second.release()
    assert first.renew()
    assert generations.live() == 1
    assert first.switch(2)
    assert generations.live() == 2
    assert not first.switch(3), "it ends with the switch"
    assert second.take()


def test_a_lease_ends_when_its_holder_dies(generations: Generations, client: redis.Redis, fresh_name: str) -> None:
    lease = generations.replay_lease()
    lease.take()
    assert 0 < client.pttl(f"{fresh_name}:replay") <= 30_000


def test_a_generation_knows_how_it_stands(generations: Generations) -> None:
    old, new = generations.store(1), generations.store(2)
    assert (old.standing(), new.standing()) == ("live", "shadow")
    lease = generations.switch_lease()
    lease.take()
    assert (old.standing(), new.standing()) == ("switching", "shadow")
    lease.switch(2)
    assert (old.standing(), new.standing()) == ("shadow", "live")


def test_fences_and_profiles_are_observed_together(generations: Generations, client: redis.Redis) -> None:
    store = generations.store(1)
    write(store, "anna")
    bucket = bucket_of("anna")
    client.set(bucket_keys(generations._prefix, 1, bucket).profile_of("bad"), "no hash")
    fences, found = store.observe([bucket, bucket + 1], [(bucket, "anna"), (bucket, "nobody"), (bucket, "bad")])
    assert fences == [{"t:1": 0}, {}]
    assert found == [StoredProfile(1, b"s1"), None, "wrong_type"]


def test_a_copy_takes_state_version_and_due_from_the_live_generation(generations: Generations) -> None:
    live, shadow = generations.store(1), generations.store(2)
    for version in range(3):
        write(live, "anna", version, due=7)
    claim = write(shadow, "anna", due=5)
    bucket = claim.bucket
    owners = {bucket: (claim.epoch, "owner")}
    copies = [Copy((bucket, "nobody"), 1, 1), Copy((bucket, "anna"), 3, 7)]
    assert generations.adopt(1, 2, owners, copies) == ["applied"]
    assert shadow.read([(bucket, "anna"), (bucket, "nobody")]) == [StoredProfile(3, b"s1"), None]
    assert shadow.due(bucket, 100, 10) == [("anna", 7)]
    assert shadow.peek([bucket])[0].dirty == {}, "readers of profiles have this version"
    assert generations.adopt(1, 2, owners, [Copy((bucket, "anna"), 3, None)]) == ["applied"]
    assert shadow.due(bucket, 100, 10) == []


def test_a_live_profile_that_has_moved_on_is_not_copied(generations: Generations) -> None:
    live, shadow = generations.store(1), generations.store(2)
    for version in range(2):
        write(live, "anna", version)
    claim = write(shadow, "anna")
    copy = Copy((claim.bucket, "anna"), 1, 1)
    assert generations.adopt(1, 2, {claim.bucket: (claim.epoch, "owner")}, [copy]) == ["applied"]
    assert shadow.read([copy.place]) == [StoredProfile(1, b"s2")]


def test_whoever_lost_the_shadow_copies_nothing(generations: Generations) -> None:
    write(generations.store(1), "anna")
    claim = write(generations.store(2), "anna")
    generations.store(2).claim([claim.bucket], "another")
    owners = {claim.bucket: (claim.epoch, "owner")}
    assert generations.adopt(1, 2, owners, [Copy((claim.bucket, "anna"), 1, 1)]) == ["stale_epoch"]
    assert generations.store(2).read([(claim.bucket, "anna")]) == [StoredProfile(1, b"s2")]
