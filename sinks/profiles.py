"""Profiles in Redis: claim a bucket, read profiles, commit what a batch changed.

Every method is one round trip. A commit is one Lua call a bucket, all or nothing; the buckets of one call are
independent of each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from struct import Struct
from typing import Any, Literal, cast

import redis
from redis.exceptions import ResponseError

from schemas.partitioning import BUCKETS
from schemas.results import BucketClaim, BucketCommit, CommitOutcome, ReadProfile, Standing, StoredProfile
from sinks.keys import DEFAULT_PREFIX, BucketKeys, bucket_keys, clock_key, generation_key, switch_key
from sinks.redis_calls import Script, answered, failures_of, pipelined, transaction

_COUNTS = Struct(">8I")


class ProfileStore:
    """The profiles, fences, outboxes and due sets of one generation of one installation.

    `client` is a ready synchronous client with `decode_responses=False`, best without retries of its own: a commit
    that got no answer may have happened, and only its owner, by reading again, can tell.

    Every method raises UnreachableError (no answer), RetryableError (Redis refuses for now: memory, disk, failover),
    ConfigurationError (wrong user) or ProtocolError (keys hold what Footfall did not write).
    """

    def __init__(self, client: redis.Redis, prefix: str = DEFAULT_PREFIX, generation: int = 1) -> None:
        self.client = client
        self.generation = generation
        self._clock = clock_key(prefix, generation)
        self._pointer = (generation_key(prefix), switch_key(prefix))
        self._keys = cache(lambda bucket: bucket_keys(prefix, generation, bucket))
        self._commit = Script("commit")
        self._claim = Script("claim")

    def keys_of(self, bucket: int) -> BucketKeys:
        """The keys of a bucket in this store's generation."""
        return self._keys(bucket)

    def claim(self, buckets: Iterable[int], token: str) -> list[BucketClaim]:
        """Raises the epoch of each bucket, makes `token` its owner's, and answers what the bucket holds.

        From then on every commit under an older epoch is refused. Only a current group member may claim.
        """
        if not token:
            raise ValueError("a claim needs the owner's token")
        return self._look_into(list(buckets), token)

    def peek(self, buckets: Iterable[int]) -> list[BucketClaim]:
        """The same answer without claiming: what an owner reads again after a refused or unanswered commit."""
        return self._look_into(list(buckets), "")

    def marks(self, buckets: Sequence[int]) -> list[tuple[int, int]]:
        """(epoch, commit number) of each bucket; zeros where Redis holds nothing of it."""
        commands = [("HMGET", self._keys(bucket).fence, b"epoch", b"number") for bucket in buckets]
        with failures_of(self.client):
            answers = [answered(answer) for answer in pipelined(self.client, commands)]
        return [(int(epoch or 0), int(number or 0)) for epoch, number in answers]

    def _look_into(self, buckets: list[int], token: str) -> list[BucketClaim]:
        calls = [(6, *self._keys(bucket)[:6], token) for bucket in buckets]
        with failures_of(self.client):
            answers = self._claim.call_many(self.client, calls)
            return [_claimed(bucket, answered(answer)) for bucket, answer in zip(buckets, answers, strict=True)]

    def standing(self) -> Standing:
        """Whether this generation is the live one. Who claims asks afterwards: a switch retires it in the other order.

        (It takes its lease, claims every bucket, then moves the pointer.) "shadow" covers a retired one too.
        """
        with failures_of(self.client):
            pointer, lease = cast("list[bytes | None]", self.client.mget(self._pointer))
        live = self.generation == (1 if pointer is None else int(pointer))
        return ("switching" if lease is not None else "live") if live else "shadow"

    def observe(
        self, buckets: Sequence[int], places: Sequence[tuple[int, str]]
    ) -> tuple[list[dict[str, int]], list[ReadProfile]]:
        """Fences of some buckets and profiles of `(bucket, customer)`, all as they stood at one instant."""
        commands: list[tuple[Any, ...]] = [("HGETALL", self._keys(bucket).fence) for bucket in buckets]
        commands += [("HMGET", self._keys(b).profile_of(customer), b"version", b"state") for b, customer in places]
        with failures_of(self.client):
            answers = transaction(self.client, commands)
            fences = [_fences(dict(_pairs_of(answered(answer)))) for answer in answers[: len(buckets)]]
            return fences, [_stored(answer) for answer in answers[len(buckets) :]]

    def read(self, places: Sequence[tuple[int, str]]) -> list[ReadProfile]:
        """The profiles of `(bucket, customer)`: None where none is stored, "wrong_type" where another's is."""
        keys = self._keys
        commands = [("HMGET", keys(bucket).profile_of(customer), b"version", b"state") for bucket, customer in places]
        with failures_of(self.client):
            return [_stored(answer) for answer in pipelined(self.client, commands)]

    def read_traits(self, places: Sequence[tuple[int, str]]) -> list[tuple[int, bytes] | None]:
        """(version, traits) of `(bucket, customer)`: None where none is stored, or the key is none of ours."""
        keys = self._keys
        commands = [("HMGET", keys(bucket).profile_of(customer), b"version", b"traits") for bucket, customer in places]
        with failures_of(self.client):
            answers = [_fields(answer) for answer in pipelined(self.client, commands)]
        return [None if found is None or found == "wrong_type" else found for found in answers]

    def commit(self, commits: Sequence[BucketCommit]) -> list[CommitOutcome]:
        """Applies each bucket's changes whole, or refuses them whole and says why."""
        calls = [_call_of(self._keys(commit.bucket), commit) for commit in commits]
        with failures_of(self.client):
            answers = self._commit.call_many(self.client, calls)
            return [cast("CommitOutcome", answered(answer).decode()) for answer in answers]

    def due(self, bucket: int, upto: int, limit: int) -> list[tuple[str, int]]:
        """Up to `limit` customers whose profile changes by itself at or before `upto` (ms), earliest first."""
        return self.due_in([(bucket, upto)], limit)[bucket]

    def due_in(self, places: Sequence[tuple[int, int]], limit: int) -> dict[int, list[tuple[str, int]]]:
        """The same for many `(bucket, upto)`, up to `limit` customers each, in one round trip."""
        commands = [
            ("ZRANGE", self._keys(bucket).due, "-inf", upto, "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")
            for bucket, upto in places
        ]
        with failures_of(self.client):
            answers = pipelined(self.client, commands)
            return {
                bucket: [(customer.decode(), int(float(instant))) for customer, instant in _members(answered(answer))]
                for (bucket, _), answer in zip(places, answers, strict=True)
            }

    def first_due(self, buckets: Sequence[int]) -> dict[int, int]:
        """The earliest due instant (ms) of each bucket that has one."""
        commands = [("ZRANGE", self._keys(bucket).due, 0, 0, "WITHSCORES") for bucket in buckets]
        with failures_of(self.client):
            answers = pipelined(self.client, commands)
            return {
                bucket: int(float(_last(answered(answer))))
                for bucket, answer in zip(buckets, answers, strict=True)
                if answered(answer)
            }

    def seen(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """The packed event ids of `(bucket, event hour)`; empty where there are none."""
        commands = [("GET", self._keys(bucket).seen_in(hour)) for bucket, hour in places]
        with failures_of(self.client):
            return [answered(answer) or b"" for answer in pipelined(self.client, commands)]

    def note_clock(self, instants: Mapping[int, int]) -> None:
        """Remembers how far the event clock has come in some partition numbers, for readers: ms."""
        with failures_of(self.client):
            self.client.hset(self._clock, mapping={str(number): instant for number, instant in instants.items()})

    def clock(self, partition: int) -> int | None:
        """The instant (ms) the event clock has reached in a partition number; null on the wall clock."""
        with failures_of(self.client):
            found = cast("bytes | None", self.client.hget(self._clock, str(partition)))
        return None if found is None else int(found)

    def tallies(self, buckets: Iterable[int] = range(BUCKETS)) -> Counter[str]:
        """What was counted, summed over buckets: `<what>:<topic>:<partition>` -> count."""
        total: Counter[str] = Counter()
        for claim in self.peek(buckets):
            total.update(claim.tally)
        return total


def _last(nested: Any) -> Any:
    """The last scalar: RESP2 answers `[member, score]`, RESP3 `[[member, score]]`."""
    last = nested[-1]
    return _last(last) if isinstance(last, (list, tuple)) else last


def _members(answer: list[Any]) -> Iterable[tuple[bytes, bytes]]:
    """(member, score) pairs: RESP2 answers them flat, RESP3 in pairs."""
    if answer and isinstance(answer[0], (list, tuple)):
        return [(member, score) for member, score in answer]
    return _pairs(answer)


def _stored(answer: Any) -> ReadProfile:
    found = _fields(answer)
    return StoredProfile(*found) if isinstance(found, tuple) else found


def _fields(answer: Any) -> tuple[int, bytes] | Literal["wrong_type"] | None:
    """Version and another field of a profile's hash; "wrong_type" where the key holds something else."""
    if isinstance(answer, ResponseError):
        if str(answer).startswith("WRONGTYPE"):
            return "wrong_type"
        raise answer
    version, value = answer
    if version is None:
        return None
    return (int(version), value) if value is not None and version.isdigit() else "wrong_type"


def _pairs(flat: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _pairs_of(answer: Any) -> Iterable[tuple[bytes, bytes]]:
    """Fields and values of a hash: RESP3 answers a map."""
    return answer.items() if isinstance(answer, dict) else _pairs(answer)


def _fences(owner: Mapping[bytes, bytes]) -> dict[str, int]:
    """The fences among the fields of a fence hash: `<topic-id>:<partition>`; its other fields have no colon."""
    return {field.decode(): int(offset) for field, offset in owner.items() if b":" in field}


def _claimed(bucket: int, answer: list[list[bytes]]) -> BucketClaim:
    fence, outbox, due, tally, dirty, hours = answer
    owner = dict(_pairs(fence))
    return BucketClaim(
        bucket=bucket,
        epoch=int(owner.pop(b"epoch", 0)),
        number=int(owner.pop(b"number", 0)),
        token=owner.pop(b"token", b"").decode(),
        fences=_fences(owner),
        outbox=sorted((int(position), message) for position, message in _pairs(outbox)),
        dirty={customer.decode(): int(version) for customer, version in _pairs(dirty)},
        first_due=int(float(due[1])) if due else None,
        seen_hours=sorted(int(hour) for hour in hours),
        tally={field.decode(): int(count) for field, count in _pairs(tally)},
    )


def _call_of(keys: BucketKeys, commit: BucketCommit) -> tuple[Any, ...]:
    """Number of keys, keys and arguments, laid out as the head of commit.lua says."""
    profiles = commit.profiles
    counts = (
        len(commit.fences), len(profiles), len(commit.outbox), len(commit.outbox_trim),
        len(commit.published), len(commit.tally), len(commit.seen), len(commit.seen_drop),
    )  # fmt: skip
    call: list[Any] = [6 + len(profiles) + len(commit.seen) + len(commit.seen_drop), *keys[:6]]
    prefix = keys.profile
    customers = [write.customer_id.encode() for write in profiles]
    call += [prefix + customer for customer in customers]
    call += [keys.seen_in(hour) for hour, _ in commit.seen]
    call += [keys.seen_in(hour) for hour in commit.seen_drop]
    call += (commit.epoch, commit.token, commit.number, commit.number + 1, _COUNTS.pack(*counts))
    for fence in commit.fences:
        call += (fence.field, fence.expected, fence.new)
    for customer, write in zip(customers, profiles, strict=True):
        call += (customer, write.expected_version + 1)
    for write in profiles:
        call += (b"" if write.due is None else write.due, write.state, write.traits)
    for pairs in (
        commit.outbox,
        ((position,) for position in commit.outbox_trim),
        commit.published,
        commit.tally,
        commit.seen,
    ):
        for pair in pairs:
            call += pair
    call += commit.seen_drop
    return tuple(call)
