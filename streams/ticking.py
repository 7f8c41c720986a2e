"""Time that passes without events: due profiles are woken and folded like an event, in commits of their own.

A tick at instant d may fold only when every topic of the partition number has been read past d. On the event clock
the aligner's barrier says so; on the wall clock the applied offsets must reach high watermarks read after d.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from processors.calendar import NEVER
from processors.fold import Policy, tick
from processors.profile import Profile
from sinks.profiles import ProfileStore
from streams.decision import Decision
from streams.loading import Loader
from streams.ownership import OwnedPartition, Profiles

BATCH = 4_000
"""Profiles woken in one commit."""


class Ticker:
    """Finds what is due and folds it."""

    def __init__(self, store: ProfileStore, profiles: Profiles, loader: Loader, policy: Policy) -> None:
        self._store = store
        self._profiles = profiles
        self._loader = loader
        self._policy = policy

    async def due(self, owners: Sequence[OwnedPartition], instants: dict[int, int]) -> Decision | None:
        """The next batch of profiles due at or before their partition number's instant, folded; null when none is."""
        places = [
            (bucket.bucket, instants[owner.number])
            for owner in owners
            for bucket in owner.buckets.values()
            if bucket.due <= instants[owner.number]
        ]
        if not places:
            return None
        found = await asyncio.to_thread(self._store.due_in, places, BATCH)
        self._raise_bounds(owners, places, found)
        customers = [(bucket, customer) for bucket, waiting in found.items() for customer, _ in waiting]
        if not customers:
            return None
        await self._loader.fetch_missing(customers)
        return self._fold(owners, customers, dict(places))

    def _raise_bounds(
        self,
        owners: Sequence[OwnedPartition],
        places: Sequence[tuple[int, int]],
        found: dict[int, list[tuple[str, int]]],
    ) -> None:
        """A bucket of which everything due was found has nothing more up to that instant."""
        upto = dict(places)
        for owner in owners:
            for number, bucket in owner.buckets.items():
                if number in upto and len(found.get(number, ())) < BATCH:
                    bucket.due = upto[number] + 1

    def _fold(
        self, owners: Sequence[OwnedPartition], customers: Sequence[tuple[int, str]], upto: dict[int, int]
    ) -> Decision:
        decision = Decision()
        decision.owners = list(owners)
        for bucket, customer in customers:
            profile = self._profiles.get(customer)
            wake(profile, upto[bucket], self._policy, decision)
        return decision


def wake(profile: Profile, upto: int, policy: Policy, decision: Decision) -> None:
    """Fold every instant at which the profile is due up to `upto`; its own time stands at the last of them."""
    while profile.due <= min(upto, NEVER - 1):
        tick(profile, profile.due, policy, decision.outcome)
        decision.ticks += 1
    decision.changed[profile.customer] = profile
