"""What a profile store promises, on the fake and on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
import redis

from schemas.partitioning import bucket_of
from schemas.results import BucketClaim, BucketCommit, FenceMove, ProfileWrite, StoredProfile
from sinks.keys import bucket_keys
from sinks.profiles import ProfileStore
from tests.fakes import FakeProfileStore

B = 17
FIELD = "topic-id:1"


class Bench(NamedTuple):
    """A store, and how to look at and spoil what it holds."""

    store: ProfileStore | FakeProfileStore
    everything: Callable[[], Any]
    plant: Callable[[int, str], None]


@pytest.fixture(params=["fake", "valkey", pytest.param("valkey_container", marks=pytest.mark.docker)])
def bench(request: pytest.FixtureRequest, fresh_name: str) -> Iterator[Bench]:
    if request.param == "fake":
        fake = FakeProfileStore()
        yield Bench(fake, fake.snapshot, fake.plant_wrong_type)
        return
    server = request.getfixturevalue(request.param)
    client = redis.Redis.from_url(server if isinstance(server, str) else server.url)
    store = ProfileStore(client, prefix=fresh_name)

    def everything() -> dict[bytes, bytes | None]:
        return {key: client.dump(key) for key in sorted(client.scan_iter(f"{fresh_name}:*", count=1000))}

    def plant(bucket: int, customer: str) -> None:
        client.set(bucket_keys(fresh_name, 1, bucket).profile_of(customer), "not a profile")

    yield Bench(store, everything, plant)
    client.close()


def commit_of(claim: BucketClaim, **changes: Any) -> BucketCommit:
    own = BucketCommit(claim.bucket, claim.epoch, claim.token, claim.number)
    return msgspec.structs.replace(own, **changes)


def write_of(customer: str, expected_version: int = 0, due: int | None = None, state: bytes = b"s") -> ProfileWrite:
    return ProfileWrite(customer, expected_version, state, b'{"orders":1}', due)


def claim_one(bench: Bench, token: str = "token", bucket: int = B) -> BucketClaim:
    return bench.store.claim([bucket], token)[0]


def apply(bench: Bench, **changes: Any) -> None:
    claim = bench.store.peek([B])[0]
    assert bench.store.commit([commit_of(claim, **changes)]) == ["applied"]


def test_the_first_claim_finds_an_empty_bucket(bench: Bench) -> None:
    claim = claim_one(bench)
    assert claim == BucketClaim(
        bucket=B,
        epoch=1,
        token="token",
        number=0,
        fences={},
        outbox=[],
        dirty={},
        first_due=None,
        seen_hours=[],
        tally={},
    )


def test_every_claim_raises_the_epoch_and_changes_the_owner(bench: Bench) -> None:
    assert [claim_one(bench, token).epoch for token in ("a", "b", "b")] == [1, 2, 3]
    assert bench.store.peek([B])[0].token == "b"


def test_peek_changes_nothing(bench: Bench) -> None:
    claimed = claim_one(bench)
    before = bench.everything()
    assert bench.store.peek([B]) == [claimed]
    assert bench.everything() == before


def test_marks_are_what_claims_and_commits_have_raised(bench: Bench) -> None:
    claim_one(bench)
    apply(bench)
    apply(bench, fences=[FenceMove(FIELD, -1, 41)])
    claim_one(bench)
    claimed = bench.store.peek([B])[0]
    assert bench.store.marks([B, B + 1]) == [(claimed.epoch, claimed.number), (0, 0)] == [(2, 2), (0, 0)]
    assert bench.store.marks([]) == []


def test_a_claim_needs_a_token(bench: Bench) -> None:
    with pytest.raises(ValueError, match="token"):
        bench.store.claim([B], "")


def test_a_commit_applies_everything_it_holds(bench: Bench) -> None:
    claim_one(bench)
    apply(
        bench,
        fences=[FenceMove(FIELD, -1, 41)],
        profiles=[write_of("anna", due=1_700_000_000_123, state=b"\x00\xff\r\n"), write_of("bert")],
        outbox=[(1, b"m1"), (2, b"\x00m2")],
        tally=[("received:purchase:1", 3), ("applied:purchase:1", 2)],
        seen=[(472_222, b"x" * 24)],
    )
    claim = claim_one(bench)
    assert claim.fences == {FIELD: 41}
    assert claim.number == 1
    assert claim.outbox == [(1, b"m1"), (2, b"\x00m2")]
    assert claim.dirty == {"anna": 1, "bert": 1}
    assert claim.first_due == 1_700_000_000_123
    assert claim.seen_hours == [472_222]
    assert claim.tally == {"received:purchase:1": 3, "applied:purchase:1": 2}
    assert bench.store.read([(B, "bert"), (B, "nobody"), (B, "anna")]) == [
        StoredProfile(1, b"s"),
        None,
        StoredProfile(1, b"\x00\xff\r\n"),
    ]
    assert bench.store.seen([(B, 472_222), (B, 1)]) == [b"x" * 24, b""]


def test_a_second_commit_builds_on_the_first(bench: Bench) -> None:
    claim_one(bench)
    apply(bench, fences=[FenceMove(FIELD, -1, 0)], profiles=[write_of("anna", due=5)], outbox=[(1, b"a"), (2, b"b")])
    apply(bench, tally=[("received:app:1", 4)], seen=[(7, b"a" * 12), (8, b"c" * 12)])
    apply(
        bench,
        fences=[FenceMove(FIELD, 0, 9)],
        profiles=[write_of("anna", expected_version=1, state=b"new")],
        outbox_trim=[1, 77],
        published=[("anna", 1), ("nobody", 3)],
        tally=[("received:app:1", 2)],
        seen=[(7, b"b" * 12)],
        seen_drop=[8],
    )
    claim = bench.store.peek([B])[0]
    assert (claim.fences, claim.number, claim.outbox) == ({FIELD: 9}, 3, [(2, b"b")])
    assert claim.first_due is None  # the second write of anna has no due instant
    assert claim.dirty == {"anna": 2}  # version 1 was published, version 2 came with this very commit
    assert claim.seen_hours == [7]
    assert claim.tally == {"received:app:1": 6}
    assert bench.store.seen([(B, 7), (B, 8)]) == [b"a" * 12 + b"b" * 12, b""]
    assert bench.store.read([(B, "anna")]) == [StoredProfile(2, b"new")]


def test_published_leaves_a_newer_version_dirty(bench: Bench) -> None:
    claim_one(bench)
    apply(bench, profiles=[write_of("anna"), write_of("bert")])
    apply(bench, profiles=[write_of("anna", 1)])
    apply(bench, published=[("anna", 1), ("bert", 1)])
    assert bench.store.peek([B])[0].dirty == {"anna": 2}


def test_a_fence_can_be_retired(bench: Bench) -> None:
    claim_one(bench)
    apply(bench, fences=[FenceMove(FIELD, -1, 5), FenceMove("other:1", -1, 6)])
    apply(bench, fences=[FenceMove(FIELD, 5, -1)])
    assert bench.store.peek([B])[0].fences == {"other:1": 6}


FULL = {
    "profiles": [write_of("anna", 1, due=9), write_of("bert", due=9)],
    "outbox": [(9, b"m")],
    "outbox_trim": [1],
    "published": [("anna", 1)],
    "tally": [("received:app:1", 1)],
    "seen": [(7, b"z" * 12)],
    "seen_drop": [6],
    "fences": [FenceMove(FIELD, 5, 6)],
}
STALE: dict[str, tuple[dict[str, Any], str]] = {
    "an older epoch": ({"epoch": 0}, "stale_epoch"),
    "a later epoch": ({"epoch": 2}, "stale_epoch"),
    "another owner": ({"token": "thief"}, "stale_epoch"),
    "an older commit number": ({"number": 0}, "stale_number"),
    "a later commit number": ({"number": 2}, "stale_number"),
    "a fence behind": ({"fences": [FenceMove(FIELD, 4, 6)]}, "stale_fence"),
    "a fence ahead": ({"fences": [FenceMove(FIELD, 6, 7)]}, "stale_fence"),
    "a fence thought absent": ({"fences": [FenceMove(FIELD, -1, 6)]}, "stale_fence"),
    "a fence thought present": ({"fences": [FenceMove(FIELD, 5, 6), FenceMove("x:1", 0, 1)]}, "stale_fence"),
    "an older profile": ({"profiles": [write_of("bert"), write_of("anna", 0)]}, "stale_version"),
    "a newer profile": ({"profiles": [write_of("bert"), write_of("anna", 2)]}, "stale_version"),
    "a profile thought stored": ({"profiles": [write_of("anna", 1), write_of("bert", 1)]}, "stale_version"),
    "a key of another type": ({"profiles": [write_of("bert"), write_of("spoilt")]}, "wrong_type"),
}  # fmt: skip


@pytest.mark.parametrize("case", STALE)
def test_a_refused_commit_changes_nothing(bench: Bench, case: str) -> None:
    claim_one(bench)
    apply(
        bench,
        fences=[FenceMove(FIELD, -1, 5)],
        profiles=[write_of("anna")],
        outbox=[(1, b"old")],
        seen=[(6, b"y" * 12)],
    )
    bench.plant(B, "spoilt")
    before = bench.everything()
    changes, outcome = STALE[case]
    claim = bench.store.peek([B])[0]
    assert bench.store.commit([commit_of(claim, **{**FULL, **changes})]) == [outcome]
    assert bench.everything() == before
    assert bench.store.commit([commit_of(claim, **FULL)]) == ["applied"]


def test_a_bucket_nobody_claimed_takes_no_commit(bench: Bench) -> None:
    before = bench.everything()
    assert bench.store.commit([BucketCommit(B, 0, "", 0, tally=[("a", 1)])]) == ["stale_epoch"]
    assert bench.everything() == before


def test_a_zombie_cannot_write_after_another_claim(bench: Bench) -> None:
    zombie = claim_one(bench, "zombie")
    owner = claim_one(bench, "owner")
    late = commit_of(zombie, fences=[FenceMove(FIELD, -1, 3)], profiles=[write_of("anna", state=b"late")])
    good = commit_of(owner, fences=[FenceMove(FIELD, -1, 4)], profiles=[write_of("anna", state=b"good")])
    assert bench.store.commit([late, good, late]) == ["stale_epoch", "applied", "stale_epoch"]
    assert bench.store.read([(B, "anna")]) == [StoredProfile(1, b"good")]


def test_the_same_commit_twice_is_applied_once(bench: Bench) -> None:
    commit = commit_of(claim_one(bench), tally=[("received:app:1", 1)])
    assert bench.store.commit([commit]) == ["applied"]
    assert bench.store.commit([commit]) == ["stale_number"]
    assert bench.store.tallies([B]) == {"received:app:1": 1}


def test_one_refused_bucket_leaves_the_others_alone(bench: Bench) -> None:
    claims = bench.store.claim([1, 2, 3], "token")
    commits = [commit_of(claim, profiles=[write_of("c")]) for claim in claims]
    commits[1] = msgspec.structs.replace(commits[1], number=9)
    assert bench.store.commit(commits) == ["applied", "stale_number", "applied"]
    assert [profile is None for profile in bench.store.read([(1, "c"), (2, "c"), (3, "c")])] == [False, True, False]


def test_a_planted_key_is_found_by_reading_and_spoils_no_neighbour(bench: Bench) -> None:
    claim = claim_one(bench)
    bench.plant(B, "spoilt")
    assert bench.store.read([(B, "spoilt"), (B, "anna")]) == ["wrong_type", None]
    assert bench.store.read_traits([(B, "spoilt"), (B, "anna")]) == [None, None]
    assert bench.store.commit([commit_of(claim, profiles=[write_of("anna")])]) == ["applied"]


def test_due_answers_the_earliest_first_up_to_and_including_the_instant(bench: Bench) -> None:
    claim_one(bench)
    apply(bench, profiles=[write_of(name, due=due) for name, due in (("c", 30), ("a", 10), ("b", 20), ("d", 31))])
    assert bench.store.due(B, 30, 10) == [("a", 10), ("b", 20), ("c", 30)]
    assert bench.store.due(B, 30, 2) == [("a", 10), ("b", 20)]
    assert bench.store.due(B, 9, 2) == []
    assert bench.store.first_due([B, B + 1]) == {B: 10}


def test_due_is_read_not_taken(bench: Bench) -> None:
    claim_one(bench)
    apply(bench, profiles=[write_of("a", due=-5)])
    assert bench.store.due(B, 0, 9) == bench.store.due(B, 0, 9) == [("a", -5)]


def test_the_event_clock_is_remembered_by_partition_number(bench: Bench) -> None:
    assert bench.store.clock(3) is None
    bench.store.note_clock({3: 1_700_000_000_000, 4: 5})
    bench.store.note_clock({3: 1_700_000_000_001})
    assert (bench.store.clock(3), bench.store.clock(4)) == (1_700_000_000_001, 5)


def test_tallies_are_summed_over_buckets(bench: Bench) -> None:
    commits = [commit_of(claim, tally=[("received:app:1", 2)]) for claim in bench.store.claim([4, 5], "t")]
    bench.store.commit(commits)
    assert bench.store.tallies() == {"received:app:1": 4}


@pytest.mark.parametrize("customer", ["}x", "{y}", "", "a b", "käufer-客户", "\r\n$3\r\n", "x" * 256, "{b3}"])
def test_hostile_customer_ids_are_customers_like_any_other(bench: Bench, customer: str) -> None:
    bucket = bucket_of(customer)
    claim = claim_one(bench, bucket=bucket)
    commit = commit_of(claim, profiles=[write_of(customer, due=5), write_of("neighbour")])
    assert bench.store.commit([commit]) == ["applied"]
    assert bench.store.read([(bucket, customer)]) == [StoredProfile(1, b"s")]
    assert bench.store.due(bucket, 5, 1) == [(customer, 5)]
    assert bench.store.peek([bucket])[0].dirty == {customer: 1, "neighbour": 1}


def test_a_bucket_takes_thousands_of_profiles_in_one_commit(bench: Bench) -> None:
    claim = claim_one(bench)
    customers = [f"c{i}" for i in range(5_000)]
    writes = [write_of(customer, due=i if i % 2 else None) for i, customer in enumerate(customers)]
    outbox = [(i, b"m") for i in range(3_000)]
    assert bench.store.commit([commit_of(claim, profiles=writes, outbox=outbox)]) == ["applied"]
    assert all(bench.store.read([(B, customer) for customer in customers]))
    assert len(bench.store.due(B, 10_000, 10_000)) == 2_500


def test_nothing_asked_is_nothing_answered(bench: Bench) -> None:
    assert bench.store.claim([], "t") == []
    assert bench.store.read([]) == []
    assert bench.store.commit([]) == []
    assert bench.store.seen([]) == []
