"""Generations of keys: the live one that readers follow, and the shadow that a replay writes beside it."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import redis

from schemas.errors import StaleCommitError
from schemas.partitioning import BUCKETS
from schemas.results import CommitOutcome
from sinks.installation import live_generation
from sinks.keys import DEFAULT_PREFIX, bucket_keys, generation_key, replay_key, switch_key
from sinks.profiles import ProfileStore
from sinks.redis_calls import Script, answered, failures_of

SCAN: Final = 1_000
"""Keys looked at, or removed, in one round trip."""
LEASE_SECONDS: Final = 30.0
"""A holder that is silent for so long has lost its lease: whoever waits for it goes on."""

REPLAY_TOKEN: Final = "replay-"  # noqa: S105  no secret
"""Begins the token of a replay that claims buckets: it does not write them for long."""

Place = tuple[int, str]
"""Bucket and customer."""


class Copy(NamedTuple):
    """A profile of the live generation that the shadow takes over."""

    place: Place
    version: int
    """The copy is made only while the live profile has it."""
    due: int | None
    """When it is to be woken, ms."""


class Lease:
    """Something one process at a time may do; it ends by itself when its holder dies."""

    def __init__(self, client: redis.Redis, key: str, pointer: str) -> None:
        self._client = client
        self._keys = (key, pointer)
        self.token = os.urandom(8).hex()
        """Whose it is while it is held."""
        self._script = Script("lease")

    def take(self) -> bool:
        """Whether it was free and is held now."""
        with failures_of(self._client):
            return bool(self._client.set(self._keys[0], self.token, nx=True, px=int(LEASE_SECONDS * 1000)))

    def renew(self) -> bool:
        """Hold it for another `LEASE_SECONDS`; false when it was lost."""
        return self._call("renew", int(LEASE_SECONDS * 1000))

    def release(self) -> bool:
        """Give it back, if it is still held."""
        return self._call("release", 0)

    def switch(self, generation: int) -> bool:
        """Make readers follow this generation and give the lease back, in one step; false, and nothing, when lost."""
        return self._call("switch", generation)

    def _call(self, what: str, value: int) -> bool:
        with failures_of(self._client):
            (done,) = self._script.call_many(self._client, [(2, *self._keys, self.token, what, value)])
            return bool(answered(done))


class Generations:
    """All generations of one installation. Raises what `ProfileStore` does."""

    def __init__(self, client: redis.Redis, prefix: str = DEFAULT_PREFIX) -> None:
        self.client = client
        self._prefix = prefix
        self._adopt = Script("adopt")
        self._unlink = Script("unlink")

    def live(self) -> int:
        """The generation that readers follow."""
        return live_generation(self.client, self._prefix)

    def store(self, generation: int) -> ProfileStore:
        """The profiles of one generation."""
        return ProfileStore(self.client, self._prefix, generation)

    def replay_lease(self) -> Lease:
        """Allows to write the shadow."""
        return Lease(self.client, replay_key(self._prefix), generation_key(self._prefix))

    def switch_lease(self) -> Lease:
        """Makes workers wait, and allows to move the pointer."""
        return Lease(self.client, switch_key(self._prefix), generation_key(self._prefix))

    def customers(self, generation: int) -> Iterator[list[Place]]:
        """Every customer of a generation, some hundreds at a time; one that comes or goes meanwhile may be missing."""
        pattern = re.compile(re.escape(f"{self._prefix}:{generation}:".encode()) + rb"\{b(\d+)\}:p:(.*)", re.DOTALL)
        for keys in self._scanned(f"{self._prefix}:{generation}:{{b*}}:p:*"):
            found = filter(None, map(pattern.fullmatch, keys))
            places = [(int(match[1]), match[2].decode("utf-8", "replace")) for match in found]
            if places:
                yield [(bucket, customer) for bucket, customer in dict.fromkeys(places) if bucket < BUCKETS]

    def empty_others(self, live: int, token: str) -> int:
        """Remove every key of every generation but the live one, and no other key; how many there were.

        `token`: that of the replay's lease, looked at with the pointer by every removal: a process that was suspended
        may come back to a generation that another one has made live.

        Raises:
            StaleCommitError: the lease was lost, or another generation is live; what is left stays.

        """
        pattern = re.compile(re.escape(f"{self._prefix}:".encode()) + rb"(\d+):(?:\{b\d+\}:.*|clock)", re.DOTALL)
        removed = 0
        for keys in self._scanned(f"{self._prefix}:*"):
            gone = [key for key in keys if (match := pattern.fullmatch(key)) and int(match[1]) != live]
            if gone:
                removed += self._removed(gone, live, token)
        return removed

    def _removed(self, keys: Sequence[bytes], live: int, token: str) -> int:
        held = (replay_key(self._prefix), generation_key(self._prefix))
        with failures_of(self.client):
            (answer,) = self._unlink.call_many(self.client, [(2 + len(keys), *held, *keys, token, live)])
            removed = int(answered(answer))
        if removed < 0:
            raise StaleCommitError(f"the replay lost its lease, or generation {live} is no longer the live one")
        return removed

    def _scanned(self, pattern: str) -> Iterator[list[bytes]]:
        cursor = 0
        while True:
            with failures_of(self.client):
                cursor, keys = cast("tuple[int, list[bytes]]", self.client.scan(cursor, match=pattern, count=SCAN))
            yield keys
            if not cursor:
                return

    def adopt(
        self, live: int, shadow: int, owners: Mapping[int, tuple[int, str]], copies: Sequence[Copy]
    ) -> list[CommitOutcome]:
        """Copy profiles of the live generation over those of the shadow, which readers of `profiles` know already.

        `owners`: bucket -> epoch and token under which the shadow is claimed. One outcome a bucket touched.
        """
        by_bucket: defaultdict[int, list[Copy]] = defaultdict(list)
        for copy in copies:
            by_bucket[copy.place[0]].append(copy)
        calls = [self._call_of(live, shadow, owners[bucket], some) for bucket, some in by_bucket.items()]
        with failures_of(self.client):
            return [answered(answer).decode() for answer in self._adopt.call_many(self.client, calls)]

    def _call_of(self, live: int, shadow: int, owner: tuple[int, str], copies: Sequence[Copy]) -> tuple[Any, ...]:
        bucket = copies[0].place[0]
        source, target = (bucket_keys(self._prefix, generation, bucket) for generation in (live, shadow))
        keys = [target.fence, target.due, target.dirty]
        arguments: list[Any] = [*owner]
        for (_, customer), version, due in copies:
            keys += [source.profile_of(customer), target.profile_of(customer)]
            arguments += [customer, version, "" if due is None else due]
        return (len(keys), *keys, *arguments)
