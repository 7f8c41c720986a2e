"""The journey of a batch on one screen.

    decode -> dedupe -> fold -> score -> commit -> publish -> (ack, by the worker, when the effects are through)

Nothing runs per event but the fold; every other stage takes the whole batch. Dead letters are confirmed before the
commit that moves the fences past their records; changes go out after it, from the outbox it wrote. While Redis and
Kafka take in one batch the next ones are decoded and folded on the profiles in memory; their commits wait in line.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from processors.event import Event
from processors.fold import Policy, fold_all
from processors.scoring import ScorerHistory
from schemas.codec import OutputCodec
from schemas.decode import SchemaLookup, decode_chunks
from schemas.events import Chunk
from schemas.results import BucketClaim
from schemas.validation import ContractRules
from streams.decision import Decision, encode_profiles, gather_messages, tally_late
from streams.dedupe import Deduper, refuse_unreadable
from streams.effects import Effects
from streams.loading import Loader
from streams.meter import Meter
from streams.ownership import OwnedPartition, Profiles
from streams.poison import USUAL, NoMemory, PoisonLimits, PoisonMemory, PoisonWatch
from streams.scoring import score
from streams.slices import Slice, slice_of
from streams.ticking import Ticker


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


ON_THEIR_WAY: Final = 2
"""Decisions whose effects may be outstanding: one at work, one that waits for it."""

BOUNDARIES: Final = (
    "claim", "resend", "decode", "load", "fold", "wake", "score", "encode",
    "bury", "commit", "publish", "ack", "offsets",
)  # fmt: skip
"""Every step after which a process may die and nothing may be lost or doubled, in their order."""

SMALL: Final = 4_000
"""Events of a poll up to which latency counts, not throughput."""
PORTIONS: Final = 8
"""Decisions a small poll is folded in, at most."""

Hook = Callable[[str], None]
"""Called with each of BOUNDARIES when that step is through: where a test kills the process."""


def no_hook(_stage: str) -> None:
    """What production passes."""


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
        self._effects: asyncio.Task[None] | None = None
        """Those of the last decision; they begin when those of the one before have ended."""
        self._unstored: deque[tuple[asyncio.Task[None], frozenset[str]]] = deque()
        """Effects on their way, and the customers whose profiles they store."""

    def recall(self) -> None:
        """Go on counting bad input where the process before ended."""
        self._refused.recall(self._stages.poison.load())

    async def run(self, chunks: Sequence[Chunk]) -> asyncio.Task[None] | None:
        """One poll; the task ends when all its effects are confirmed, or fails. Null: there are none."""
        self._decode(chunks)
        self.hook("decode")
        while ready := self._ready({chunk.partition for chunk in chunks}):
            for some in _portions(ready) if self._terms.wall_clock else (ready,):
                if self.leaving():
                    return self._effects
                await self._decide(some)
        return self._effects

    async def _decide(self, ready: dict[int, list[Slice]]) -> None:
        """Fold, and let the effects begin when those of the last decision are through."""
        unreadable = await self._stages.loader.load(ready)
        self.hook("load")
        decision = await self._fold(ready, unreadable)
        self.hook("fold")
        if self._terms.wall_clock:
            await self._submit(decision)
        else:
            await self._wake({number: self.owned[number].aligner.clock for number in ready}, decision)

    async def tick(self, instants: dict[int, int]) -> asyncio.Task[None] | None:
        """Wake every profile due up to its partition number's instant; each number has been read past it.

        Returns what `run` does.
        """
        await self._wake(instants, Decision())
        return self._effects

    @property
    def busy(self) -> bool:
        """Whether effects are on their way."""
        return self.outstanding > 0

    @property
    def outstanding(self) -> int:
        """Decisions whose effects are not through."""
        return sum(not effects.done() for effects, _ in self._unstored)

    async def settle(self) -> None:
        """Wait for the effects on their way. Raises what made them fail."""
        if self._effects is not None:
            await _ended(self._effects)

    async def _wake(self, instants: dict[int, int], decision: Decision) -> None:
        """Fold what is due into the decision, and into further ones as long as there is more."""
        owners = [owner for number, owner in self.owned.items() if instants.get(number, -1) > owner.ticked]
        behind = [owner for owner in owners if owner.due.covered < instants[owner.number]]
        if behind:
            await self.settle()
            await self._stages.ticker.cover(behind, instants)
            self._note_due(decision)
        while True:
            decision.owners = list({id(owner): owner for owner in (*decision.owners, *owners)}.values())
            more = await self._stages.ticker.wake(owners, instants, decision)
            self.hook("wake")
            if not more and not self._terms.wall_clock:
                decision.clocks = {owner.number: instants[owner.number] for owner in owners}
            await self._submit(decision)
            if not more:
                break
            if self.leaving():
                return
            decision = Decision()
        for owner in owners:
            owner.ticked = instants[owner.number]

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

    async def _fold(self, ready: dict[int, list[Slice]], unreadable: Collection[str]) -> Decision:
        decision = Decision()
        for number, parts in ready.items():
            owner = self.owned[number]
            decision.owners.append(owner)
            decision.slices += [(owner, part) for part in parts]
            with self._stages.meter.stage("dedupe"):
                refuse_unreadable(owner, parts, unreadable, decision)
                events = await self._stages.deduper.fresh(owner, parts, decision, self.settle)
            taken = {(part.topic, part.partition): decision.received(owner, part) for part in parts}
            self._refused.note_decision(taken, decision.letters)
            with self._stages.meter.stage("fold"):
                self._fold_events(events, decision)
            await asyncio.sleep(0)  # the consumer must hear from us, however long a batch takes
        decision.poison = self._refused.to_keep()
        return decision

    def _fold_events(self, events: Sequence[Event], decision: Decision) -> None:
        use, changed = self._stages.profiles.use, decision.changed
        policy, outcome = self._terms.policy, decision.outcome
        # Customer by customer: a profile is fetched from main memory once, not for each of its events.
        for customer, theirs in _by_customer(events).items():
            profile = changed.get(customer)
            if profile is None:
                profile = changed[customer] = use(customer)
            for late in fold_all(profile, theirs, policy, outcome):
                decision.late[profile.bucket, late.origin] += 1

    async def _submit(self, decision: Decision) -> None:
        """Score and encode; the effects begin when those of the last decision are through."""
        if not (decision.slices or decision.changed or decision.clocks):
            return
        with self._stages.meter.stage("score"):
            score(decision, self._stages.scorers, self._terms.policy)
        self.hook("score")
        with self._stages.meter.stage("encode"):
            tally_late(decision)
            gather_messages(decision, self._terms.codec)
            encode_profiles(decision, self._terms.codec, self._stages.profiles)
        self.hook("encode")
        self._note_due(decision)
        with self._stages.meter.stage("wait"):
            while len(self._unstored) >= ON_THEIR_WAY:
                await _ended(self._unstored[0][0])
                self._unstored.popleft()
        self._effects = asyncio.create_task(self._make_happen(decision, self._effects))
        self._unstored.append((self._effects, frozenset(decision.changed)))
        self._stages.profiles.trim([customers for _, customers in self._unstored])

    async def _make_happen(self, decision: Decision, after: asyncio.Task[None] | None) -> None:
        """Every effect, in the order that keeps the promises."""
        if after is not None:
            await _ended(after)
        effects, meter = self._stages.effects, self._stages.meter
        await effects.bury(decision)
        self.hook("bury")
        with meter.stage("commit"):
            await effects.commit(decision, self.owned.values())
            if decision.poison is not None:  # after the fences: what is read again is counted again
                await asyncio.to_thread(self._stages.poison.save, decision.poison)
        self.hook("commit")
        with meter.stage("publish"):
            await effects.publish_decision(decision)
        self.hook("publish")
        meter.finished(decision, len(self._stages.profiles))

    def _note_due(self, decision: Decision) -> None:
        partitions = self._terms.partitions
        for profile in decision.changed.values():
            self.owned[profile.bucket % partitions].due.note(profile.customer, profile.due)

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
        if self._effects is not None:
            await asyncio.wait([self._effects])
        self._effects = None
        self._unstored.clear()
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


def _portions(ready: dict[int, list[Slice]]) -> list[dict[int, list[Slice]]]:
    """Little work in portions of its partition numbers: Redis and Kafka take in one while the next is folded.

    At 5 000 events/s the median latency of a change falls by half (measured); much work costs less in one.
    """
    if sum(len(part.events) for parts in ready.values() for part in parts) > SMALL:
        return [ready]
    numbers, size = list(ready), -(-len(ready) // PORTIONS)
    return [{n: ready[n] for n in numbers[first : first + size]} for first in range(0, len(numbers), size)]


def _by_customer(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each customer, in their order."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event.customer_id].append(event)
    return found


async def _ended(effects: asyncio.Task[None]) -> None:
    """Wait for effects. Whoever waits may be cancelled; they may not: a thread of theirs would go on alone."""
    await asyncio.wait([effects])
    effects.result()
