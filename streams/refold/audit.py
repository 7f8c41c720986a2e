"""Compares the shadow with the live generation, customer by customer, while the live one may move on.

A customer who differs gets a second look: profile and fences of the live generation are read at one instant, the
shadow is folded up to just these fences, and what differs then, differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from processors.calendar import DAY
from processors.comparison import Difference, bring_together, differences
from processors.fold import Policy
from processors.profile import Profile
from processors.state import decode_state
from schemas.partitioning import buckets_of_partition
from schemas.results import ReadProfile, StoredProfile
from sinks.generations import Place
from sinks.profiles import ProfileStore
from streams.kafka.chunks import TopicPartition
from streams.refold.bounds import Bound
from streams.refold.fold import Refold
from streams.refold.live import Layout, LiveLog

FURTHEST: Final = 5_000 * DAY
"""How far time alone may have moved a profile beyond its last event; more is a damaged `as_of`, not worth folding."""


class Keyspace(Protocol):
    """The part of `Generations` that is used here."""

    def customers(self, generation: int) -> Iterator[list[Place]]: ...


@dataclass(frozen=True, slots=True)
class Judged:
    """One customer of the live generation."""

    place: Place
    live: ReadProfile
    shadow: ReadProfile
    differences: list[Difference] = field(default_factory=list)
    scored_apart: bool = False
    """Scored by different model versions or at different instants: what a model decided is not compared."""

    @property
    def equal(self) -> bool:
        """Whether all that records and time decide is the same."""
        return all(difference.kind == "model" for difference in self.differences)

    @property
    def identical(self) -> bool:
        """Whether both hold the same bytes under the same version."""
        return self.live == self.shadow


class Judge:
    """Compares two stored profiles under the rules in force; `rescored` scores both anew first, by one model."""

    def __init__(self, policy: Policy, rescored: Callable[[Profile], None] | None = None) -> None:
        self.policy = policy
        self._rescored = rescored

    def judge(self, place: Place, live: ReadProfile, shadow: ReadProfile) -> Judged:
        """One customer. Equal bytes need no second look, and are what an adopted profile has."""
        if isinstance(live, StoredProfile) and isinstance(shadow, StoredProfile) and live.state == shadow.state:
            return Judged(place, live, shadow)
        ours, theirs = self.decoded(place, live), self.decoded(place, shadow)
        if not isinstance(ours, Profile) or not isinstance(theirs, Profile):
            there, here = (x if isinstance(x, str) else "stored" for x in (ours, theirs))
            return Judged(place, live, shadow, [Difference("profile", there, here, "sequence")])
        if abs(ours.as_of - theirs.as_of) > FURTHEST:
            return Judged(place, live, shadow, [Difference("as_of", ours.as_of, theirs.as_of, "aggregate")])
        bring_together(ours, theirs, self.policy)
        if self._rescored is not None:
            self._rescored(ours)
            self._rescored(theirs)
        found = differences(ours, theirs, self.policy)
        apart = _scored(ours) != _scored(theirs)
        if apart:
            found = [difference for difference in found if difference.kind != "model"]
        return Judged(place, live, shadow, found, apart)

    def decoded(self, place: Place, found: ReadProfile) -> Profile | str:
        """A profile, or in a few words why there is none."""
        if not isinstance(found, StoredProfile):
            return "absent" if found is None else "another type of key"
        bucket, customer = place
        try:
            profile = decode_state(customer, found.version, found.state, self.policy.calendar, self.policy.limits)
        except Exception as error:  # noqa: BLE001  damaged bytes raise whatever they lead to
            return f"unreadable ({type(error).__name__})"
        profile.bucket = bucket
        return profile


def _scored(profile: Profile) -> tuple[int, int] | None:
    """By which version of the model (0: the recency rule), and when."""
    return (profile.score.model_version, profile.score.time) if profile.score else None


class Audit:
    """Goes over all customers of both generations."""

    def __init__(
        self, keyspace: Keyspace, live: ProfileStore, shadow: ProfileStore, judge: Judge, follower: Follower | None
    ) -> None:
        self._keyspace = keyspace
        self._live = live
        self._shadow = shadow
        self._judge = judge
        self._follower = follower

    async def customers(self) -> AsyncIterator[list[Judged]]:
        """Everyone in the live generation, some hundreds at a time."""
        async for places in self._places(self._live.generation):
            live = await asyncio.to_thread(self._live.read, places)
            shadow = await asyncio.to_thread(self._shadow.read, places)
            judged = await asyncio.to_thread(self._judged, places, live, shadow)
            yield await self._looked_at_again(judged)

    async def strays(self) -> AsyncIterator[list[Place]]:
        """Customers whom only the shadow knows."""
        async for places in self._places(self._shadow.generation):
            live = await asyncio.to_thread(self._live.read, places)
            yield [place for place, found in zip(places, live, strict=True) if found is None]

    async def _places(self, generation: int) -> AsyncIterator[list[Place]]:
        batches = self._keyspace.customers(generation)
        while (places := await asyncio.to_thread(next, batches, None)) is not None:
            yield places

    def _judged(
        self, places: Sequence[Place], live: Sequence[ReadProfile], shadow: Sequence[ReadProfile]
    ) -> list[Judged]:
        return [self._judge.judge(*each) for each in zip(places, live, shadow, strict=True)]

    async def _looked_at_again(self, judged: list[Judged]) -> list[Judged]:
        suspects = [each.place for each in judged if not each.equal]
        if not suspects or self._follower is None:
            return judged
        live = await self._follower.catch_up(self._live, suspects)
        shadow = await asyncio.to_thread(self._shadow.read, suspects)
        again = {each.place: each for each in await asyncio.to_thread(self._judged, suspects, live, shadow)}
        return [again.get(each.place, each) for each in judged]


class Follower:
    """Brings the shadow to where the live generation is."""

    def __init__(self, refold: Refold, layout: Layout, positions: Mapping[TopicPartition, int]) -> None:
        """Begin where the shadow stands."""
        self._refold = refold
        self._layout = layout
        self._positions = dict(positions)

    async def catch_up(self, live: ProfileStore, places: Sequence[Place]) -> list[ReadProfile]:
        """Live profiles as they stood at an instant, to which the shadow is folded by the time this returns."""
        numbers = sorted({bucket % self._layout.partitions for bucket, _ in places})
        buckets = [b for number in numbers for b in buckets_of_partition(number, self._layout.partitions)]
        fences, found = await asyncio.to_thread(live.observe, buckets, places)
        await self.fold(self._layout.positions(zip(buckets, fences, strict=True)), numbers)
        return found

    async def fold(self, positions: Mapping[TopicPartition, int], numbers: Sequence[int]) -> None:
        """Fold on to these positions."""
        for number in numbers:
            bounds = LiveLog(positions).bounds(number)
            ahead = {topic: bound for topic, bound in bounds.items() if self._is_ahead(topic, number, bound)}
            if ahead:
                await self._refold.fold(number, bounds)
                self._positions |= {(topic, number): positions[topic, number] for topic in ahead}

    def _is_ahead(self, topic: str, number: int, bound: Bound) -> bool:
        return (bound.offset or 0) > self._positions.get((topic, number), 0)
