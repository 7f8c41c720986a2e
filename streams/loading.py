"""What a batch needs in memory before it is folded: profiles, and event ids of older hours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from processors.fold import Policy
from processors.profile import Profile
from processors.state import decode_state
from processors.weight import memory_of
from schemas.errors import CodecVersionError
from schemas.events import Chunk, Rejected
from schemas.partitioning import bucket_of
from schemas.results import ReadProfile, StoredProfile
from sinks.profiles import ProfileStore
from streams.ownership import Profiles
from streams.slices import Slice

Places = Sequence[tuple[int, str]]
"""Buckets and customers."""
_Read = list[tuple[tuple[int, str], ReadProfile]]
Asked = asyncio.Task[_Read]
"""Profiles on their way from Redis."""


class Loaded(NamedTuple):
    """What is at hand for a decision."""

    hands: dict[int, dict[str, Profile]]
    """Partition number -> customer -> profile."""
    unreadable: set[str]
    """Customers whose key in Redis holds no profile: they are not in memory, and not to be folded."""


class Loader:
    """Reads what is not in memory: one round trip a group of a poll, another for what no record's key named."""

    def __init__(self, store: ProfileStore, profiles: Profiles, policy: Policy, partitions: int) -> None:
        self._store = store
        self._profiles = profiles
        self._policy = policy
        self._partitions = partitions

    async def ask(self, chunks: Sequence[Chunk]) -> Asked | None:
        """Ask Redis for the profiles that the keys of some chunks name, while others are folded; for `keep`."""
        named: dict[str, int] = {}
        for chunk in chunks:
            named |= dict.fromkeys(_customers({record.key for record in chunk.records}), chunk.partition)
        places = [(bucket_of(customer), customer) for customer in self._profiles.missing(named)]
        mine = [place for place in places if place[0] % self._partitions == named[place[1]]]
        if not mine:
            return None
        asked = asyncio.create_task(self._read(mine))
        asked.add_done_callback(_heard)
        await asyncio.sleep(0)  # it has begun then
        return asked

    async def keep(self, asked: Asked | None) -> None:
        """Put in memory what was asked for. Raises what `load` does."""
        if asked is not None:
            self._put(await asked)

    async def load(self, ready: dict[int, list[Slice]]) -> Loaded:
        """Profiles of every customer in the slices; events of customers who live elsewhere are rejected here.

        Raises:
            CodecVersionError: a profile is whole, but another release's.

        """
        places: list[tuple[int, str]] = []
        hands: dict[int, dict[str, Profile]] = {}
        for number, parts in ready.items():
            hands[number], unknown = self._profiles.at_hand([part.events for part in parts])
            missing = {customer: bucket_of(customer) for customer in unknown}
            foreign = {c for c, bucket in missing.items() if bucket % self._partitions != number}
            # In memory, because this worker also owns the partition number where they live.
            foreign |= {c for c, p in hands[number].items() if p.bucket % self._partitions != number}
            if foreign:
                _reject_foreign(parts, foreign, self._partitions)
            places += [(bucket, customer) for customer, bucket in missing.items() if customer not in foreign]
        unreadable = await self.fetch(places)
        for bucket, customer in places:
            if customer not in unreadable:
                hands[bucket % self._partitions][customer] = self._profiles.use(customer)
        return Loaded(hands, unreadable)

    async def fetch(self, places: Places) -> set[str]:
        """Profiles of (bucket, customer) that are not in memory; a customer nobody has seen gets a new one.

        Returns the customers whose key holds something else.
        """
        return self._put(await self._read(places)) if places else set()

    async def _read(self, places: Places) -> _Read:
        return list(zip(places, await asyncio.to_thread(self._store.read, places), strict=True))

    def _put(self, read: _Read) -> set[str]:
        unreadable = set()
        for (bucket, customer), found in read:
            profile = self._decoded(customer, found)
            if profile is None:
                unreadable.add(customer)
            else:
                profile.bucket = bucket
                self._profiles.put(profile)
        return unreadable

    async def fetch_missing(self, customers: Mapping[int, Iterable[str]]) -> set[str]:
        """The profiles of these customers, by partition number, that are not in memory; returns what `fetch` does."""
        missing = [c for found in customers.values() for c in self._profiles.missing(found)]
        return await self.fetch([(bucket_of(customer), customer) for customer in missing])

    def _decoded(self, customer: str, found: ReadProfile) -> Profile | None:
        if found == "wrong_type":
            return None
        try:
            if found is None:
                profile, stored = Profile(customer), 0
            else:
                profile, stored = self._of_state(customer, found), len(found.state)
            profile.weight = memory_of(profile, stored)  # of damaged bytes it may find anything
        except (CodecVersionError, MemoryError):
            raise
        except Exception:  # noqa: BLE001  damaged bytes raise whatever they lead to
            return None
        return profile

    def _of_state(self, customer: str, found: StoredProfile) -> Profile:
        return decode_state(customer, found.version, found.state, self._policy.calendar, self._policy.limits)


def _customers(keys: Iterable[bytes | None]) -> Iterator[str]:
    """The customers that records' keys name."""
    for key in keys:
        try:
            if key:
                yield key.decode()
        except UnicodeDecodeError:  # its record is refused
            continue


def _heard(read: Asked) -> None:
    """Nobody waits for it any more when decoding has failed; `keep` raises for whoever does."""
    if not read.cancelled():
        read.exception()


def _reject_foreign(parts: Sequence[Slice], foreign: set[str], partitions: int) -> None:
    for part in parts:
        bad = [event for event in part.events if event.customer_id in foreign]
        part.events = [event for event in part.events if event.customer_id not in foreign]
        for event in bad:
            belongs = bucket_of(event.customer_id) % partitions
            detail = (
                f"customer_id {event.customer_id!r} belongs to partition {belongs} of {partitions}, the record is in "
                f"{part.partition}: producers must use the murmur2 partitioner"
            )
            part.rejected.append(Rejected(event.offset, "wrong_partition", detail, part.record_at(event.offset)))
        part.rejected.sort(key=lambda rejected: rejected.offset)
