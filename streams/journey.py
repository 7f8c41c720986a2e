"""The journey of a batch on one screen.

    decode -> dedupe -> fold -> score -> commit -> publish -> (ack, by the worker, when the effects are through)

Nothing runs per event but the fold; scores and states are made for eight customers at a time, every other stage
takes the whole batch: a poll, or some partition numbers of a large one. Dead letters are confirmed before the commit
that moves the fences past their records; changes go out after it, from the outbox it wrote. While Redis and Kafka take
in one batch the next ones are decoded and folded on the profiles in memory; their commits wait in line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, TypeVar

from processors.batch_scores import score
from processors.fold import Policy, fold_all
from processors.gathering import Theirs, by_customer
from processors.scoring import ScorerHistory
from schemas.codec import OutputCodec
from schemas.decode import SchemaLookup, decode_chunks
from schemas.events import Chunk
from schemas.results import BucketClaim
from schemas.validation import ContractRules
from streams.boundaries import Hook, no_hook
from streams.decision import Decision, encode_profiles, gather_messages, tally_late
from streams.dedupe import Deduper, refuse_unreadable
from streams.effects import Effects
from streams.loading import Loaded, Loader
from streams.meter import Meter
from streams.outstanding import Outstanding
from streams.ownership import OwnedPartition, Profiles
from streams.poison import USUAL, NoMemory, PoisonLimits, PoisonMemory, PoisonWatch
from streams.portions import groups_of, is_small, portions
from streams.slices import Slice, before_last_markers, slice_of
from streams.ticking import Ticker

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the journey must know beside its collaborators."""

    policy: Policy
    contract: ContractRules
    lookup: SchemaLookup
    codec: OutputCodec
    topic_ids: dict[str, str]
    partitions: int
    wall_clock: bool
    poison: PoisonLimits = USUAL


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages that reach outside, and what they share; the composition root (environment.py) fills it."""

    loader: Loader
    deduper: Deduper
    effects: Effects
    ticker: Ticker
    scorers: ScorerHistory
    profiles: Profiles
    meter: Meter
    poison: PoisonMemory = field(default_factory=NoMemory)


BLOCK: Final = 8
"""Customers that are folded, scored and encoded before the next ones: what they take, some 10 KB each, is then still in
the core's own cache (docs/decisions/0024)."""
PAUSE: Final = 32 * BLOCK
"""Customers from one pause to the next; the first is early, so that what the decision before began gets going."""
TURNS: Final = 3
"""Of the event loop, in a pause: so many pass between the end of what a thread does for the effects on their way
and the beginning of the next. With one, effects took as long as folding, which then waited for them."""


def _blocks(customers: Sequence[_T]) -> Iterator[tuple[Sequence[_T], bool]]:
    """Some after the others, and whether a pause is due after these."""
    for first in range(0, len(customers), BLOCK):
        yield customers[first : first + BLOCK], first % PAUSE == 0


async def _pause() -> None:
    """The consumer must hear from us, however long a batch takes, and effects go on."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Journey:
    """Takes polls through all stages, for the partition numbers this worker owns. One at a time."""

    def __init__(self, terms: Terms, stages: Stages, hook: Hook = no_hook) -> None:
        self.owned: dict[int, OwnedPartition] = {}
        self._terms = terms
        self._stages = stages
        self.hook = hook
        self.leaving: Callable[[], bool] = lambda: False
        """Whether all that is owned is about to be given up: then no further decision is begun, others will."""
        self._poison = PoisonWatch(terms.poison)
        self._refused = PoisonWatch(terms.poison)
        """Over whole decisions: also what only showed when its customer, or its id, was looked at."""
        self._outstanding = Outstanding(stages.effects, stages.poison, stages.meter, self._through)

    def _through(self, step: str) -> None:
        self.hook(step)

    def recall(self) -> None:
        """Go on counting bad input where the process before ended."""
        self._refused.recall(self._stages.poison.load())

    async def run(self, chunks: Sequence[Chunk]) -> asyncio.Task[None] | None:
        """One poll; the task ends when all its effects are confirmed, or fails. Null: there are none.

        While a group is folded the profiles of the next one are read: no two have a partition number in common, so
        nobody changes them meanwhile.
        """
        groups, split = groups_of(chunks), is_small(chunks)
        asked = await self._stages.loader.ask(groups[0])
        for group, following in pairwise([*groups, []]):
            self._decode(group)
            self.hook("decode")
            with self._stages.meter.part("load"):
                await self._stages.loader.keep(asked)
            asked = await self._stages.loader.ask(following)
            if not await self._decide_all({chunk.partition for chunk in group}, split=split):
                break
        return self._outstanding.last

    async def _decide_all(self, numbers: Collection[int], *, split: bool) -> bool:
        """Fold what is ready of some partition numbers; whether there is a point in going on with others."""
        wall_clock = self._terms.wall_clock
        while ready := self._ready(numbers):
            for some in portions(ready) if wall_clock and split else (ready,):
                if self.leaving():
                    return False
                await self._decide(some, {} if wall_clock else {n: self.owned[n].aligner.clock for n in some})
        return True

    async def tick(self, instants: Mapping[int, int]) -> asyncio.Task[None] | None:
        """Wake every profile due up to its partition number's instant; each number has been read past it.

        Returns what `run` does.
        """
        await self._decide({}, instants)
        return self._outstanding.last

    @property
    def busy(self) -> bool:
        """Whether effects are on their way."""
        return self.outstanding > 0

    @property
    def outstanding(self) -> int:
        """Decisions whose effects are not through."""
        return len(self._outstanding)

    async def settle(self) -> None:
        """Wait for the effects on their way. Raises what made them fail."""
        await self._outstanding.settle()

    async def _decide(self, ready: dict[int, list[Slice]], instants: Mapping[int, int]) -> None:
        """Fold slices, and let time pass up to each partition number's instant; more than one decision if much is due.

        They are stored in their order, each when the last one is stored. No fence passes a marker before the last of
        them: whoever takes over in between must read it again, or nobody would wake the rest.
        """
        upto = {number: instant for number, instant in instants.items() if instant > self.owned[number].ticked}
        ticking = [self.owned[number] for number in upto]
        owners = [self.owned[number] for number in dict.fromkeys((*ready, *upto))]
        with self._stages.meter.part("load"):
            await self._cover(ticking, upto)
            loaded = await self._stages.loader.load(ready)
        more = True
        while more:
            with self._stages.meter.part("load"):
                due = await self._stages.ticker.due(ticking, upto)
            self.hook("load")
            decision, more = Decision(owners=owners), due.more
            now, ready = before_last_markers(ready) if more else (ready, {})
            for owner in owners:
                theirs = await self._fresh(owner, now.get(owner.number, ()), loaded, decision)
                woken = due.customers.get(owner.number, ())
                await self._change(owner, theirs, woken, upto.get(owner.number), decision)
            decision.poison = self._refused.to_keep() if decision.slices else None
            if not self._terms.wall_clock and not more:
                decision.clocks = upto
            await self._submit(decision)
            unstored = self._outstanding.customers
            self._stages.profiles.trim([*unstored, *loaded.hands.values()] if more else unstored)
            if more and self.leaving():
                return
        for owner in ticking:
            owner.ticked = upto[owner.number]

    async def _cover(self, owners: Sequence[OwnedPartition], upto: Mapping[int, int]) -> None:
        """Have in memory what is due next: of all owned numbers at once, since it waits for every effect."""
        if all(owner.due.covered >= upto[owner.number] for owner in owners):
            return
        latest = max(upto.values())
        behind = [owner for owner in self.owned.values() if owner.due.covered < latest]
        await self.settle()
        await self._stages.ticker.cover(behind, {owner.number: latest for owner in behind})

    def _decode(self, chunks: Sequence[Chunk]) -> None:
        with self._stages.meter.stage("decode"):
            all_decoded = decode_chunks(chunks, self._terms.lookup, self._terms.contract)
            for chunk, decoded in zip(chunks, all_decoded, strict=True):
                self._poison.note(decoded)
                part = slice_of(chunk, decoded, self._terms.topic_ids[chunk.topic], wall_clock=self._terms.wall_clock)
                self.owned[chunk.partition].aligner.offer(part)

    def _ready(self, numbers: Iterable[int]) -> dict[int, list[Slice]]:
        """Slices that may be folded now, by partition number; empty when there are no more."""
        ready = {number: self.owned[number].aligner.take() for number in sorted(numbers)}
        return {number: parts for number, parts in ready.items() if parts}

    async def _fresh(
        self, owner: OwnedPartition, parts: Sequence[Slice], loaded: Loaded, decision: Decision
    ) -> Sequence[Theirs]:
        """The events of the slices that count, by customer."""
        if not parts:
            return ()
        decision.slices += [(owner, part) for part in parts]
        with self._stages.meter.part("dedupe"):
            refuse_unreadable(owner, parts, loaded.unreadable, decision)
            hand = loaded.hands[owner.number]
            events = await self._stages.deduper.fresh(owner, parts, hand, decision, self.settle)
            theirs = by_customer(events, hand)
        taken = {(part.topic, part.partition): decision.received(owner, part) for part in parts}
        self._refused.note_decision(taken, decision.letters)
        return theirs

    async def _change(
        self, owner: OwnedPartition, theirs: Sequence[Theirs], due: Sequence[str], upto: int | None, decision: Decision
    ) -> None:
        """Take events in and let time pass, some customers after the other.

        What is folded is encoded at once, while the processor has it near: after all others were folded it would be
        fetched from main memory once more, which was measured at up to three quarters of the time to encode it.
        """
        for some, pause in _blocks(theirs):
            with self._stages.meter.part("fold"):
                self._fold(some, decision)
                if upto is not None:
                    self._stages.ticker.wake_folded(upto, decision)
            self.hook("fold")
            self._portray(owner, decision)
            if pause:
                await _pause()
        if upto is not None:
            # Who was folded has been woken. The score he got may make him due again: in the next decision.
            for others, pause in _blocks([customer for customer in due if customer not in decision.changed]):
                self._stages.ticker.wake(others, upto, decision)
                self.hook("wake")
                self._portray(owner, decision)
                if pause:
                    await _pause()

    def _fold(self, theirs: Iterable[Theirs], decision: Decision) -> None:
        policy, outcome = self._terms.policy, decision.outcome
        for profile, events in theirs:
            decision.folded[profile.customer] = profile
            for late in fold_all(profile, events, policy, outcome):
                decision.late[profile.bucket, late.origin] += 1

    def _portray(self, owner: OwnedPartition, decision: Decision) -> None:
        """Score and encode what was folded, and note when it is due."""
        with self._stages.meter.part("score"):
            folded = list(decision.folded.values())
            score(folded, decision.outcome, self._stages.scorers, self._terms.policy)
        self.hook("score")
        for profile in decision.folded.values():
            owner.due.note(profile.customer, profile.due)
        with self._stages.meter.part("encode"):
            encode_profiles(decision, self._terms.codec, self._stages.profiles)

    async def _submit(self, decision: Decision) -> None:
        """It is stored when the last decision is stored, and published when that is published."""
        if not (decision.slices or decision.changed or decision.clocks):
            self._stages.meter.drop_parts()
            return
        with self._stages.meter.part("encode"):
            tally_late(decision)
            gather_messages(decision, self._terms.codec)
        self._stages.meter.parts_ended()
        self.hook("encode")
        await self._outstanding.add(decision, self.owned.values())

    # -- ownership -----------------------------------------------------------------------------------------------

    @property
    def topic_ids(self) -> dict[str, str]:
        """Kafka's identity of every input topic."""
        return self._terms.topic_ids

    @property
    def profiles(self) -> Profiles:
        """The decoded profiles in memory."""
        return self._stages.profiles

    @property
    def scorers(self) -> ScorerHistory:
        """The models in use."""
        return self._stages.scorers

    async def resume(self, owner: OwnedPartition, claims: Sequence[BucketClaim]) -> None:
        """Take over a claimed partition number: what its last owner left in the outboxes goes out first."""
        self.forget(owner.number)
        await self._stages.effects.resend(claims, owner)
        self.hook("resend")
        if owner.lags:
            await self._stages.effects.advance_fences([owner])
        self.owned[owner.number] = owner

    async def abandon(self) -> dict[int, OwnedPartition]:
        """Drop all that is in memory once no effect is on its way; what was owned, as it was believed to be."""
        await self._outstanding.drop()
        believed = dict(self.owned)
        for number in believed:
            self.forget(number)
        return believed

    def forget(self, number: int) -> None:
        """Drop everything known of a partition number: somebody else may write it from now on."""
        self.owned.pop(number, None)
        self._stages.profiles.drop(number, self._terms.partitions)

    async def keep_up(self) -> None:
        """`advance_fences` once a second, when no commit on its way brings them along."""
        if not self.busy and self._stages.effects.sweep_is_due():
            await self.advance_fences()

    async def advance_fences(self) -> None:
        """Bring the buckets no batch touched up to date, and trim what Kafka has confirmed."""
        await self.settle()
        await self._stages.effects.advance_fences(self.owned.values())
