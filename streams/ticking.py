"""Time that passes without events: due profiles are woken and folded like an event.

A tick at instant d may fold only when every topic of the partition number has been read past d. On the event clock
the aligner's barrier says so; on the wall clock the acknowledged offsets must reach ends of the log seen after d.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from processors.calendar import DAY, MINUTE
from processors.fold import Policy, tick
from processors.profile import Profile
from sinks.profiles import ProfileStore
from streams.decision import Decision
from streams.loading import Loader
from streams.ownership import OwnedPartition, Profiles

log = structlog.get_logger(__name__)

BATCH: Final = 1_000
"""Profiles of one partition number woken in one commit."""
LOOK_AGAIN: Final = MINUTE
"""A key that holds no profile may be put right: its customer is due again so much later."""
_ALL: Final = 1_000_000


class Due(NamedTuple):
    """Customers to be woken, by partition number, and whether there are more."""

    customers: dict[int, list[str]]
    more: bool


class Ticker:
    """Finds what is due and folds it."""

    def __init__(self, store: ProfileStore, profiles: Profiles, loader: Loader, policy: Policy) -> None:
        self._store = store
        self._profiles = profiles
        self._loader = loader
        self._policy = policy

    async def cover(self, owners: Sequence[OwnedPartition], instants: Mapping[int, int]) -> None:
        """Read a day of due profiles ahead of each partition number's instant. No commit may be on its way."""
        places = [(bucket, instants[o.number] + DAY) for o in owners for bucket in o.buckets]
        found = await asyncio.to_thread(self._store.due_in, places, _ALL)
        for owner in owners:
            entries = [entry for bucket in owner.buckets for entry in found[bucket]]
            owner.due.cover(instants[owner.number] + DAY, entries)

    async def due(self, owners: Sequence[OwnedPartition], instants: Mapping[int, int]) -> Due:
        """Who is due up to their partition number's instant, at most a batch of each; their profiles are in memory."""
        popped = {o.number: o.due.pop(instants[o.number], BATCH) for o in owners}
        unreadable = await self._loader.fetch_missing(popped)
        more = any(len(customers) == BATCH for customers in popped.values())
        if unreadable:
            log.warning("keys of due customers hold no profile; their time stands still", customers=len(unreadable))
            for owner in owners:
                self._look_again(owner, unreadable.intersection(popped[owner.number]), instants[owner.number])
        found = {number: [c for c in customers if c not in unreadable] for number, customers in popped.items()}
        return Due(found, more)

    def _look_again(self, owner: OwnedPartition, customers: Iterable[str], instant: int) -> None:
        for customer in customers:
            owner.due.note(customer, instant + LOOK_AGAIN)

    def wake(self, customers: Iterable[str], upto: int, decision: Decision) -> None:
        """Fold what these customers are due for."""
        for customer in customers:
            wake(self._profiles.use(customer), upto, self._policy, decision)

    def wake_folded(self, upto: int, decision: Decision) -> None:
        """Fold what the customers just folded are due for since."""
        for profile in list(decision.folded.values()):
            wake(profile, upto, self._policy, decision)


def wake(profile: Profile, upto: int, policy: Policy, decision: Decision) -> None:
    """Fold every instant at which the profile is due up to `upto`; its own time stands at the last of them."""
    if profile.due > upto:
        return
    while profile.due <= upto:
        tick(profile, profile.due, policy, decision.outcome)
        decision.ticks += 1
    decision.folded[profile.customer] = profile
