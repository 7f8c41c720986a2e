"""From a frozen live generation to the shadow that follows it: versions, sequence numbers and labels go on.

A profile that both hold alike is copied as the live one has it, with its score and everything. One that differs keeps
what was folded anew, under the version and the numbers of the live one; the changes between their labels wait in the
shadow's outbox, which its first owner publishes. Everything is written under the claim of the shadow.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from processors.calendar import NEVER
from processors.changes import Cause
from processors.fold import Outcome, advance
from processors.portrait import encode_portrait
from processors.profile import Profile
from processors.reconcile import succeed
from processors.state import due_of, encode_state
from schemas.codec import OutputCodec
from schemas.errors import StaleCommitError
from schemas.results import BucketCommit, CommitOutcome, ProfileWrite, StoredProfile
from sinks.generations import Copy, Place
from sinks.profiles import ProfileStore
from streams.decision import change_message, pack_message
from streams.ownership import OwnedBucket, owned_bucket
from streams.refold.audit import Judge, Judged
from streams.refold.fold import Owners

Adopt = Callable[[Owners, Sequence[Copy]], list[CommitOutcome]]
"""Copies live profiles (`Generations.adopt` for the two generations)."""


@dataclass(slots=True)
class _Changed:
    """What one bucket gets beyond copies."""

    profiles: list[ProfileWrite] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)


class Succession:
    """Writes the shadow that succeeds a frozen live generation."""

    def __init__(self, adopt: Adopt, shadow: ProfileStore, judge: Judge, codec: OutputCodec, owners: Owners) -> None:
        self.corrections = 0
        """Changes put into outboxes."""
        self._adopt = adopt
        self._shadow = shadow
        self._judge = judge
        self._codec = codec
        self._owners = owners
        self._buckets: dict[int, OwnedBucket] = {}
        self._written: set[Place] = set()

    async def adopt(self, judged: Sequence[Judged]) -> None:
        """Copy what is equal while the live generation still moves: so much less is to do when it stands still.

        A copy is made only under the version that was compared, so the shadow holds no record before its time.
        """
        await self._copy([each for each in judged if each.equal])

    async def open(self) -> None:
        """The live generation stands still: read where each bucket of the shadow stands."""
        claims = await asyncio.to_thread(self._shadow.peek, sorted(self._owners))
        self._buckets = {claim.bucket: owned_bucket(claim, self._owners[claim.bucket][1]) for claim in claims}

    async def lift(self, judged: Sequence[Judged]) -> None:
        """Customers of the live generation. Those whom the shadow lacks keep their live profile.

        Raises:
            StaleCommitError: another replay has taken the shadow over.

        """
        new = [each for each in judged if each.place not in self._written]  # a scan may name one twice
        await self._copy(new)
        differing = [each for each in new if not each.equal and isinstance(each.shadow, StoredProfile)]
        self._written.update(each.place for each in differing)
        changed: defaultdict[int, _Changed] = defaultdict(_Changed)
        for each in differing:
            self._succeed(each, changed[each.place[0]])
        await self._commit(changed)

    async def keep(self, places: Sequence[Place]) -> None:
        """Customers whom only the shadow knows: as they are, and published."""
        found = await asyncio.to_thread(self._shadow.read, places)
        changed: defaultdict[int, _Changed] = defaultdict(_Changed)
        for place, stored in zip(places, found, strict=True):
            profile = self._judge.decoded(place, stored)
            if isinstance(profile, Profile):
                changed[place[0]].profiles.append(_write(profile))
        await self._commit(changed)

    async def _copy(self, judged: Sequence[Judged]) -> None:
        copies = [
            Copy(each.place, each.live.version, self._due(each.live))
            for each in judged
            if isinstance(each.live, StoredProfile) and not each.identical
        ]
        if copies:
            _check(await asyncio.to_thread(self._adopt, self._owners, copies))

    def _due(self, stored: StoredProfile) -> int | None:
        try:
            due = due_of(stored.state)
        except Exception:  # noqa: BLE001  damaged bytes raise whatever they lead to; what is folded anew replaces them
            return None
        return due if due < NEVER else None

    def _succeed(self, each: Judged, into: _Changed) -> None:
        policy = self._judge.policy
        shadow, live = (self._judge.decoded(each.place, found) for found in (each.shadow, each.live))
        if not isinstance(shadow, Profile):
            return
        if isinstance(live, Profile):
            instant = max(shadow.as_of, live.as_of if not _damaged(each) else 0)
            advance(shadow, instant, policy, Outcome())
            changes = succeed(shadow, live, policy, Cause.replay(self._shadow.generation, instant))
            into.messages += [pack_message(change_message(change, self._codec)) for change in changes]
            self.corrections += len(changes)
        elif isinstance(each.live, StoredProfile):
            shadow.version = each.live.version  # unreadable: only its version goes on
        into.profiles.append(_write(shadow))

    async def _commit(self, changed: dict[int, _Changed]) -> None:
        commits = [_commit_of(self._buckets[bucket], new) for bucket, new in changed.items() if new.profiles]
        if commits:
            _check(await asyncio.to_thread(self._shadow.commit, commits))
        for commit in commits:
            self._buckets[commit.bucket].committed(commit)


def _damaged(each: Judged) -> bool:
    return any(difference.name == "as_of" for difference in each.differences)


def _write(profile: Profile) -> ProfileWrite:
    due = profile.due if profile.due < NEVER else None
    return ProfileWrite(profile.customer, profile.version, encode_state(profile), encode_portrait(profile), due)


def _commit_of(bucket: OwnedBucket, new: _Changed) -> BucketCommit:
    outbox = list(enumerate(new.messages, bucket.outbox_next))
    return BucketCommit(bucket.bucket, bucket.epoch, bucket.token, bucket.number, profiles=new.profiles, outbox=outbox)


def _check(outcomes: Sequence[CommitOutcome]) -> None:
    refused = [outcome for outcome in outcomes if outcome != "applied"]
    if refused:
        raise StaleCommitError(f"Redis refused {len(refused)} writes to the shadow ({refused[0]})")
