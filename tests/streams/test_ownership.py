"""What a worker knows of its buckets is what a claim and its own commits say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.dedup import Seen
from processors.profile import Profile
from processors.weight import ENTRY, memory_of
from schemas.partitioning import bucket_of, buckets_of_partition, partition_of
from schemas.results import BucketClaim, BucketCommit, FenceMove
from streams.ownership import (
    DueHeap,
    OwnedPartition,
    Profiles,
    outbox_of,
    owned_bucket,
    owned_partition,
)
from streams.slices import Aligner
from tests.builders import event


def claim(
    bucket: int = 0, fences: dict[str, int] | None = None, outbox: list[tuple[int, bytes]] | None = None
) -> BucketClaim:
    return BucketClaim(bucket, 1, "t", 5, fences or {}, outbox or [], {}, None, [], {})


def partition(*fences: dict[str, int]) -> OwnedPartition:
    claims = [claim(128 * n, held) for n, held in enumerate(fences)]
    return owned_partition(0, claims, "t", Aligner((), event_clock=False), Seen(24))


def test_a_partition_resumes_after_its_lowest_fence_and_knows_how_far_replays_may_reach() -> None:
    owner = partition({"a:0": 7, "b:0": 3}, {"a:0": 9})
    assert owner.applied == {"a:0": 7, "b:0": -1}
    assert owner.replayed == {"a:0": 9, "b:0": 3}


def test_what_a_bucket_has_applied_is_a_replay_there_and_new_elsewhere() -> None:
    owner = partition({"a:0": 7}, {"a:0": 9})
    assert [owner.is_replay("a:0", bucket, 8) for bucket in (0, 128)] == [False, True]
    assert not owner.is_replay("unknown:0", 0, 0)
    assert owner.catching_up([event(number=8, origin="a:0")])
    assert not owner.catching_up([event(number=10, origin="a:0"), event(number=11, origin="a:0")])


def test_catching_up_looks_at_the_first_event_of_every_topic() -> None:
    owner = partition({"a:0": 7, "b:0": 3})
    assert owner.catching_up([event(number=8, origin="a:0"), event(number=3, origin="b:0")])


def test_fences_only_move_forward() -> None:
    bucket = owned_bucket(claim(fences={"a:0": 7, "b:0": 3}), "t")
    assert bucket.moves({"a:0": 7, "b:0": 5, "c:0": 0}) == [FenceMove("b:0", 3, 5), FenceMove("c:0", -1, 0)]
    assert not bucket.stale({"a:0": 6})


def test_a_commit_forgets_exactly_what_it_trimmed() -> None:
    """More may be confirmed while a commit is on its way: that waits for the next."""
    bucket = owned_bucket(claim(outbox=[(3, b"x"), (4, b"y")]), "t")
    assert bucket.outbox_next == 5
    bucket.confirmed += [3, 4]
    commit = BucketCommit(0, 1, "t", 5, [FenceMove("a:0", -1, 2)], outbox=[(5, b"z")], outbox_trim=[3, 4])
    bucket.confirmed.append(5)
    bucket.committed(commit)
    assert (bucket.number, bucket.outbox_next, bucket.confirmed, bucket.fences) == (6, 6, [5], {"a:0": 2})


def test_an_outbox_is_sent_in_sequence() -> None:
    claims = [claim(0, outbox=[(10, b"c"), (9, b"b")]), claim(2, outbox=[(0, b"a")])]
    assert outbox_of(claims) == [(0, 9, b"b"), (0, 10, b"c"), (2, 0, b"a")]


@given(
    entries=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 50))),
    noted=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 50))),
    upto=st.integers(0, 50),
    limit=st.integers(1, 4),
)
def test_the_due_heap_hands_out_everybody_due_and_nobody_else(
    entries: list[tuple[str, int]], noted: list[tuple[str, int]], upto: int, limit: int
) -> None:
    heap = DueHeap()
    heap.cover(40, [entry for entry in entries if entry[1] <= 40])
    for customer, due in noted:
        heap.note(customer, due)
    found: set[str] = set()
    while some := heap.pop(upto, limit):
        assert len(some) == len(set(some)) <= limit
        found |= set(some)
    assert found == {customer for customer, due in entries + noted if due <= min(upto, 40)}


EMPTY = memory_of(Profile(""), 0)


def weighed(name: str, weight: int = EMPTY) -> Profile:
    """A profile of this weight."""
    profile = Profile(name)
    profile.weight = weight
    return profile


def test_profiles_in_use_are_never_forgotten_and_those_not_used_for_long_go_first() -> None:
    kept = Profiles(3 * EMPTY)
    for name in "abcdef":
        kept.put(weighed(name))
    kept.trim([{"a", "b", "c"}, {"d", "e", "f"}])
    assert len(kept) == 6
    kept.use("a")
    kept.trim([])
    assert kept.missing("abcdef") == ["b", "c", "d"]


def test_profiles_that_grow_make_room_by_forgetting_others() -> None:
    kept = Profiles(4 * EMPTY)
    profiles = {name: weighed(name) for name in "abcd"}
    for profile in profiles.values():
        kept.put(profile)
    kept.trim([])
    assert not kept.missing("abcd")
    profiles["d"].categories = {str(number): 1 for number in range(3 * EMPTY // 2 // ENTRY)}
    kept.weigh(profiles["d"], 0)
    kept.trim([{"d"}])
    assert kept.missing("abcd") == ["a", "b"]
    profiles["d"].categories = {}
    kept.weigh(profiles["d"], 0)
    kept.put(weighed("e", 2 * EMPTY))
    kept.trim([])
    assert kept.missing("abcde") == ["a", "b"]
    assert kept.memory == 4 * EMPTY


def test_a_revoked_partition_takes_its_profiles_along() -> None:
    kept = Profiles(100)
    for name in map(str, range(20)):
        made = Profile(name)
        made.bucket = bucket_of(name)
        kept.put(made)
    kept.drop(1, 4)
    gone = kept.missing(map(str, range(20)))
    assert gone == [name for name in map(str, range(20)) if partition_of(name, 4) == 1]
    assert all(bucket_of(name) in buckets_of_partition(1, 4) for name in gone)
