"""Small real stand-ins for systems outside the process. All write what happened to one ordered log."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.errors import FootfallError
from schemas.partitioning import BUCKETS
from schemas.results import BucketClaim, BucketCommit, CommitOutcome, ReadProfile, Standing, StoredProfile


@dataclass
class FakeBucket:
    """What Redis holds of one bucket."""

    epoch: int = 0
    token: str = ""
    number: int = 0
    fences: dict[str, int] = field(default_factory=dict)
    profiles: dict[str, StoredProfile] = field(default_factory=dict)
    traits: dict[str, bytes] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    outbox: dict[int, bytes] = field(default_factory=dict)
    dirty: dict[str, int] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)
    seen: dict[int, bytes] = field(default_factory=dict)
    wrong_types: set[str] = field(default_factory=set)


Snapshot = tuple[dict[int, FakeBucket], dict[int, int]]
"""Buckets, and how far the event clock has come."""


class FakeProfileStore:
    """The profile store in memory, with the same answers as the one in Redis (tests/laws holds both equal).

    `fail_next` makes the next call raise, before it did anything or, for a commit whose answer is lost, after.
    """

    def __init__(self, log: list[tuple[object, ...]] | None = None) -> None:
        self.log = log if log is not None else []
        self.buckets = {bucket: FakeBucket() for bucket in range(BUCKETS)}
        self.generation = 1
        self.standing_now: Standing = "live"
        self._clock: dict[int, int] = {}
        self._failures: list[tuple[FootfallError, bool]] = []
        self._refusals: list[FootfallError] = []
        self.refused: set[int] = set()
        """Buckets whose commits are refused for ever, as those of a worker with a fault are."""

    def fail_next(self, error: FootfallError, *, after_effect: bool = False) -> None:
        self._failures.append((error, after_effect))

    def refuse_commits(self, times: int, error: FootfallError) -> None:
        """It answers every read meanwhile."""
        self._refusals = [error] * times

    def plant_wrong_type(self, bucket: int, customer: str) -> None:
        self.buckets[bucket].wrong_types.add(customer)

    def rewind(self, snapshot: Snapshot) -> None:
        """What a restart from an older file does."""
        self.buckets, self._clock = copy.deepcopy(snapshot)

    def snapshot(self) -> Snapshot:
        return copy.deepcopy((self.buckets, self._clock))

    def claim(self, buckets: Iterable[int], token: str) -> list[BucketClaim]:
        if not token:
            raise ValueError("a claim needs the owner's token")
        self._maybe_fail()
        buckets = list(buckets)
        self.log.append(("claim", tuple(buckets)))
        for bucket in buckets:
            self.buckets[bucket].epoch += 1
            self.buckets[bucket].token = token
        return [self._look_into(bucket) for bucket in buckets]

    def peek(self, buckets: Iterable[int]) -> list[BucketClaim]:
        self._maybe_fail()
        return [self._look_into(bucket) for bucket in buckets]

    def marks(self, buckets: Sequence[int]) -> list[tuple[int, int]]:
        self._maybe_fail()
        return [(self.buckets[bucket].epoch, self.buckets[bucket].number) for bucket in buckets]

    def _look_into(self, bucket: int) -> BucketClaim:
        held = self.buckets[bucket]
        return BucketClaim(
            bucket=bucket,
            epoch=held.epoch,
            token=held.token,
            number=held.number,
            fences=dict(held.fences),
            outbox=sorted(held.outbox.items()),
            dirty=dict(held.dirty),
            first_due=min(held.due.values(), default=None),
            seen_hours=sorted(held.seen),
            tally=dict(held.tally),
        )

    def standing(self) -> Standing:
        self._maybe_fail()
        return self.standing_now

    def observe(
        self, buckets: Sequence[int], places: Sequence[tuple[int, str]]
    ) -> tuple[list[dict[str, int]], list[ReadProfile]]:
        return [dict(self.buckets[bucket].fences) for bucket in buckets], self.read(places)

    def read(self, places: Sequence[tuple[int, str]]) -> list[ReadProfile]:
        self._maybe_fail()
        return [self._read_one(self.buckets[bucket], customer) for bucket, customer in places]

    def _read_one(self, held: FakeBucket, customer: str) -> ReadProfile:
        return "wrong_type" if customer in held.wrong_types else held.profiles.get(customer)

    def read_traits(self, places: Sequence[tuple[int, str]]) -> list[tuple[int, bytes] | None]:
        self._maybe_fail()
        held = [(self.buckets[bucket], customer) for bucket, customer in places]
        return [
            (b.profiles[c].version, b.traits[c]) if c in b.profiles and c not in b.wrong_types else None
            for b, c in held
        ]

    def commit(self, commits: Sequence[BucketCommit]) -> list[CommitOutcome]:
        if self._refusals:
            raise self._refusals.pop()
        lost_answer = self._next_failure(before_effect=False)
        outcomes = [self._commit_one(self.buckets[commit.bucket], commit) for commit in commits]
        self.log += [("commit", commit.bucket, outcome) for commit, outcome in zip(commits, outcomes, strict=True)]
        if lost_answer is not None:
            raise lost_answer
        return outcomes

    def _commit_one(self, held: FakeBucket, commit: BucketCommit) -> CommitOutcome:
        refusal = "stale_version" if commit.bucket in self.refused else _refusal(held, commit)
        if refusal is not None:
            return refusal
        _write_profiles(held, commit)
        _write_rest(held, commit)
        return "applied"

    def due(self, bucket: int, upto: int, limit: int) -> list[tuple[str, int]]:
        self._maybe_fail()
        found = sorted((instant, customer) for customer, instant in self.buckets[bucket].due.items() if instant <= upto)
        return [(customer, instant) for instant, customer in found[:limit]]

    def due_in(self, places: Sequence[tuple[int, int]], limit: int) -> dict[int, list[tuple[str, int]]]:
        return {bucket: self.due(bucket, upto, limit) for bucket, upto in places}

    def first_due(self, buckets: Sequence[int]) -> dict[int, int]:
        self._maybe_fail()
        return {bucket: min(due.values()) for bucket in buckets if (due := self.buckets[bucket].due)}

    def seen(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        self._maybe_fail()
        return [self.buckets[bucket].seen.get(hour, b"") for bucket, hour in places]

    def note_clock(self, instants: Mapping[int, int]) -> None:
        self._maybe_fail()
        self._clock.update(instants)

    def clock(self, partition: int) -> int | None:
        self._maybe_fail()
        return self._clock.get(partition)

    def tallies(self, buckets: Iterable[int] = range(BUCKETS)) -> Counter[str]:
        self._maybe_fail()
        total: Counter[str] = Counter()
        for bucket in buckets:
            total.update(self.buckets[bucket].tally)
        return total

    def _maybe_fail(self) -> None:
        self._next_failure(before_effect=True)

    def _next_failure(self, *, before_effect: bool) -> FootfallError | None:
        if not self._failures:
            return None
        error, after_effect = self._failures.pop(0)
        if before_effect or not after_effect:
            raise error
        return error


def _refusal(held: FakeBucket, commit: BucketCommit) -> CommitOutcome | None:
    if held.epoch == 0 or (held.epoch, held.token) != (commit.epoch, commit.token):
        return "stale_epoch"
    if held.number != commit.number:
        return "stale_number"
    if any(held.fences.get(fence.field, -1) != fence.expected for fence in commit.fences):
        return "stale_fence"
    for write in commit.profiles:
        if write.customer_id in held.wrong_types:
            return "wrong_type"
        stored = held.profiles.get(write.customer_id)
        if (stored.version if stored else 0) != write.expected_version:
            return "stale_version"
    return None


def _write_profiles(held: FakeBucket, commit: BucketCommit) -> None:
    for customer, version in commit.published:
        if held.dirty.get(customer) == version:
            del held.dirty[customer]
    for write in commit.profiles:
        version = write.expected_version + 1
        held.profiles[write.customer_id] = StoredProfile(version, write.state)
        held.traits[write.customer_id] = write.traits
        held.dirty[write.customer_id] = version
        held.due.pop(write.customer_id, None)
        if write.due is not None:
            held.due[write.customer_id] = write.due


def _write_rest(held: FakeBucket, commit: BucketCommit) -> None:
    held.outbox.update(commit.outbox)
    held.outbox = {position: message for position, message in held.outbox.items() if position not in commit.outbox_trim}
    held.tally.update(dict(commit.tally))
    for hour, entries in commit.seen:
        held.seen[hour] = held.seen.get(hour, b"") + entries
    held.seen = {hour: entries for hour, entries in held.seen.items() if hour not in commit.seen_drop}
    for fence in commit.fences:
        held.fences[fence.field] = fence.new
    held.fences = {field: offset for field, offset in held.fences.items() if offset != -1}
    held.number += 1
