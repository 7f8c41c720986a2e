"""Repetitions are found, and nothing else is taken for one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.dedup import HOUR, Seen, Verdict, event_digest, event_digests
from processors.sealed_ids import ENTRY, SealedIds
from schemas.errors import ProtocolError

DAY = 24 * HOUR
T = 472_222 * HOUR
KEY = b"installation-key"


@dataclass
class Stored:
    """What a profile store would hold of the ids: (bucket, hour) -> entries."""

    keys: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def fill(self, seen: Seen, buckets: list[int], times: list[int]) -> None:
        for bucket, hour in seen.needs(buckets, times):
            seen.load(bucket, hour, self.keys.get((bucket, hour), b""))
        assert not seen.needs(buckets, times)

    def commit(self, seen: Seen, bucket: int) -> None:
        for hour, entries in seen.additions(bucket):
            self.keys[bucket, hour] = self.keys.get((bucket, hour), b"") + entries
        for hour in seen.expired(bucket):
            self.keys.pop((bucket, hour), None)
        seen.committed(bucket)

    def reopened(self, seen: Seen, buckets: range) -> Seen:
        for bucket in buckets:
            seen.claim(bucket, [hour for owner, hour in self.keys if owner == bucket])
        return seen


def seen_of_one_bucket(window_hours: int = 24) -> Seen:
    seen = Seen(window_hours)
    seen.claim(0, [])
    return seen


def test_a_digest_depends_on_key_customer_and_event() -> None:
    digests = {
        event_digest(KEY, "anna", "e1"),
        event_digest(b"another", "anna", "e1"),
        event_digest(KEY, "bert", "e1"),
        event_digest(KEY, "anna", "e2"),
        event_digest(KEY, "anna1", "e"),  # the same characters, divided otherwise
        event_digest(KEY, "", "annae1"),
    }
    assert len(digests) == 6
    assert all(0 <= digest < 1 << 64 for digest in digests)


def test_the_batch_of_digests_equals_them_one_by_one() -> None:
    customers, events = ["anna", "käufer", ""], ["e1", "客户", "\x00"]
    assert event_digests(KEY, customers, events).tolist() == [
        event_digest(KEY, customer, event) for customer, event in zip(customers, events, strict=True)
    ]


def test_digests_do_not_change_between_releases() -> None:
    assert event_digest(KEY, "anna", "e1") == 7_055_927_190_821_810_423


@pytest.mark.parametrize(
    ("later", "verdict"),
    [
        (0, "duplicate"),
        (HOUR - 1, "duplicate"),
        (HOUR, "duplicate"),
        (2 * HOUR - 1, "duplicate"),
        (2 * HOUR, "new"),
        (-1, "duplicate"),
        (-HOUR, "duplicate"),
        (-HOUR - 1, "new"),
    ],
)
def test_an_id_is_looked_up_in_its_hour_and_both_neighbours(later: int, verdict: Verdict) -> None:
    seen = seen_of_one_bucket()
    assert seen.check(0, T, 1, 9) == "new"
    assert seen.check(0, T + later, 1, 9) == verdict


def test_the_first_records_time_stands() -> None:
    seen = seen_of_one_bucket()
    assert seen.check(0, T, 1, 9) == "new"
    assert seen.check(0, T + HOUR, 1, 9) == "duplicate"
    assert seen.check(0, T + 2 * HOUR, 1, 9) == "new"  # the duplicate in between did not move the first one's hour


def test_the_same_id_with_another_payload_is_a_conflict_and_the_first_one_stays() -> None:
    seen = seen_of_one_bucket()
    assert seen.check_batch([0] * 4, [T] * 4, [1, 1, 1, 2], [9, 8, 9, 8]) == ["new", "conflict", "duplicate", "new"]
    assert seen.additions(0) == [(T // HOUR, np.array([(1, 9), (2, 8)], ENTRY).tobytes())]


def test_digests_and_checksums_use_all_their_bits() -> None:
    seen = seen_of_one_bucket()
    assert seen.check(0, T, (1 << 64) - 1, 0xFFFFFFFF) == "new"
    assert seen.check(0, T, (1 << 64) - 1, 0xFFFFFFFF) == "duplicate"
    assert seen.check(0, T, (1 << 64) - 2, 0xFFFFFFFF) == "new"
    assert seen.check(0, T, (1 << 64) - 1, 0x7FFFFFFF) == "conflict"


def test_older_than_the_window_is_unchecked_and_not_remembered() -> None:
    seen = seen_of_one_bucket()
    assert seen.check(0, T, 1, 9) == "new"
    assert seen.check(0, T - DAY, 2, 9) == "new"
    assert [seen.check(0, T - DAY - 1, 3, 9) for _ in range(2)] == ["unchecked", "unchecked"]


def test_the_window_is_each_buckets_own() -> None:
    seen = seen_of_one_bucket()
    seen.claim(8, [])
    assert seen.check(0, T, 1, 9) == "new"
    assert seen.check(8, T - 3 * DAY, 2, 9) == "new"
    assert seen.check(8, T - 3 * DAY, 2, 9) == "duplicate"


def test_an_hour_is_dropped_when_event_time_is_a_window_past_it() -> None:
    seen = seen_of_one_bucket()
    first = T // HOUR
    seen.check(0, T, 1, 9)
    seen.committed(0)
    seen.check(0, T + DAY + HOUR - 1, 2, 9)
    assert seen.expired(0) == []
    seen.committed(0)
    seen.check(0, T + DAY + HOUR, 3, 9)
    assert seen.expired(0) == [first]
    seen.committed(0)
    assert seen.expired(0) == []


def test_hours_that_would_be_dropped_at_once_are_not_written() -> None:
    seen = seen_of_one_bucket()
    seen.check_batch([0, 0], [T, T + 9 * DAY], [1, 2], [9, 9])
    assert [hour for hour, _ in seen.additions(0)] == [(T + 9 * DAY) // HOUR]
    assert seen.expired(0) == []


def test_a_refused_bucket_is_checked_again_as_if_for_the_first_time() -> None:
    seen = seen_of_one_bucket()
    seen.claim(8, [])
    seen.check(0, T, 7, 9)
    seen.committed(0)
    batch = ([0, 0, 8, 0], [T + 3 * HOUR, T + 9 * DAY, T, T + 9 * DAY], [7, 1, 2, 1], [9, 9, 9, 9])
    assert seen.check_batch(*batch) == ["new", "new", "new", "duplicate"]
    additions = seen.additions(0)
    seen.discard(0)
    seen.committed(8)
    assert seen.additions(0) == []
    assert seen.check_batch(*batch) == ["new", "new", "duplicate", "duplicate"]
    assert seen.additions(0) == additions


def test_a_new_owner_asks_for_what_the_store_holds_and_no_more() -> None:
    hour = T // HOUR
    seen = Seen()
    seen.claim(0, [hour - 2, hour - 1])
    seen.claim(8, [hour])
    assert seen.needs([0, 8], [T, T + HOUR]) == {(0, hour - 1), (8, hour)}
    seen.load(0, hour - 1, np.array([(5, 9)], ENTRY).tobytes())
    seen.load(8, hour, b"")
    assert seen.needs([0, 8], [T, T + HOUR]) == set()
    assert seen.check(0, T, 5, 9) == "duplicate"
    assert seen.check(0, T - 26 * HOUR, 6, 9) == "unchecked"  # the greatest event hour survives the change of owner


def test_a_damaged_key_is_named() -> None:
    seen = Seen()
    seen.claim(3, [7])
    with pytest.raises(ProtocolError, match="bucket 3, hour 7 are 13 bytes"):
        seen.load(3, 7, b"x" * 13)


def test_an_empty_batch_has_no_verdicts() -> None:
    seen = seen_of_one_bucket()
    assert seen.check_batch([], [], [], []) == []
    assert seen.needs([], []) == set()


def test_sealed_hours_keep_few_runs_and_find_every_id() -> None:
    sealed = SealedIds()
    rng = np.random.default_rng(7)
    digests = rng.integers(0, 1 << 63, 20_000).astype(np.uint64)
    for part in np.split(digests, 200):
        sealed.add(5, part, np.full(len(part), 3, np.uint32))
    assert len(sealed) == 20_000
    assert len(sealed._runs[5]) < 15
    found = sealed.find(np.full(20_000, 6), digests)
    assert found == {i: [5 << 32 | 3] for i in range(20_000)}
    assert sealed.find(np.full(20_000, 7), digests) == {}
    sealed.drop(5)
    assert sealed.find(np.full(20_000, 6), digests) == {}


def naive(events: list[tuple[int, int, int, int]], window: int) -> list[Verdict]:
    """The definition, word by word: (bucket, hour, digest, checksum) in log order."""
    newest: dict[int, int] = {}
    counted: list[tuple[int, int, int, int]] = []
    verdicts: list[Verdict] = []
    for bucket, hour, digest, checksum in events:
        oldest = newest.get(bucket, hour) - window
        near = [
            known_sum
            for owner, known_hour, known, known_sum in counted
            if owner == bucket and known == digest and abs(known_hour - hour) <= 1 and known_hour >= oldest
        ]
        if hour < oldest:
            verdicts.append("unchecked")
        elif near:
            verdicts.append("duplicate" if checksum in near else "conflict")
        else:
            verdicts.append("new")
            counted.append((bucket, hour, digest, checksum))
            newest[bucket] = max(hour, newest.get(bucket, hour))
    return verdicts


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[int, int, int, int]], list[int]]:
    # a digest carries its bucket, as the digest of a customer's event does
    events = draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 3), st.integers(0, 1)), max_size=60)
    )
    cuts = draw(st.lists(st.integers(1, 12), min_size=1, max_size=20))
    return [(bucket, 472_222 + hour, bucket * 10 + digest, checksum) for bucket, hour, digest, checksum in events], cuts


@settings(max_examples=300, deadline=None)
@given(
    history=histories(),
    window=st.integers(1, 8),
    recent=st.sampled_from([0, 3, 1_000]),
    memory=st.sampled_from([0, 5, 1_000]),
    mishaps=st.lists(st.sampled_from(["none", "refused", "new owner"]), min_size=1, max_size=9),
)
def test_verdicts_equal_the_definition_at_any_batch_edge_memory_and_change_of_owner(
    history: tuple[list[tuple[int, int, int, int]], list[int]],
    window: int,
    recent: int,
    memory: int,
    mishaps: list[str],
) -> None:
    events, cuts = history
    stored = Stored()
    seen = stored.reopened(Seen(window, recent, memory), range(3))
    verdicts: list[Verdict] = []
    first = round_ = 0
    while first < len(events):
        batch = events[first : first + cuts[round_ % len(cuts)]]
        first += len(batch)
        buckets, times = [event[0] for event in batch], [event[1] * HOUR + 5 for event in batch]
        ids, sums = [event[2] for event in batch], [event[3] for event in batch]
        mishap = mishaps[round_ % len(mishaps)]
        round_ += 1
        stored.fill(seen, buckets, times)
        found = seen.check_batch(buckets, times, ids, sums)
        if mishap == "refused":
            for bucket in set(buckets):
                seen.discard(bucket)
            stored.fill(seen, buckets, times)
            assert seen.check_batch(buckets, times, ids, sums) == found
        for bucket in set(buckets):
            stored.commit(seen, bucket)
        if mishap == "new owner":
            seen = stored.reopened(Seen(window, recent, memory), range(3))
        verdicts += found
    assert verdicts == naive(events, window)


def test_memory_stays_bounded_and_ids_out_of_memory_are_asked_for() -> None:
    stored = Stored()
    seen = stored.reopened(Seen(24, recent_ids=100, memory_ids=1_000), range(1))
    for hour in range(60):
        for part in range(10):
            ids = [hour * 1_000 + part * 100 + i for i in range(100)]
            times = [T + hour * HOUR] * 100
            stored.fill(seen, [0] * 100, times)
            assert set(seen.check_batch([0] * 100, times, ids, [9] * 100)) == {"new"}
            stored.commit(seen, 0)
        assert len(seen) <= 3_200  # 1 000 or the two newest hours, and the dict
    assert sorted(hour for _, hour in stored.keys) == [T // HOUR + hour for hour in range(35, 60)]
    late = T + 40 * HOUR
    assert len(seen.needs([0], [late])) == 3
    stored.fill(seen, [0], [late])
    assert seen.check(0, late, 40_000, 9) == "duplicate"
