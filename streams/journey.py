"""The journey of a batch on one screen.

    decode -> dedupe -> fold -> score -> commit -> publish -> (ack, by the worker, when `run` returns)

Nothing runs per event but the fold; every other stage takes the whole batch. Dead letters are confirmed before the
commit that moves the fences past their records; changes go out after it, from the outbox it wrote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from processors.event import Event
from processors.fold import Policy, fold
from processors.scoring import ScorerHistory
from schemas.codec import OutputCodec
from schemas.decode import SchemaLookup, decode_chunk
from schemas.events import Chunk
from schemas.results import BucketClaim, OutgoingMessage
from schemas.topics import CLOCK_HEADER, TRAINING_EXAMPLES
from schemas.validation import ContractRules
from streams.decision import Decision, gather_messages
from streams.dedupe import Deduper
from streams.effects import Effects
from streams.loading import Loader
from streams.meter import Meter
from streams.ownership import OwnedPartition, Profiles
from streams.poison import PoisonWatch
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


Hook = Callable[[str], None]
"""Called with the name of each effect that is through: where a test kills the process."""


def no_hook(_stage: str) -> None:
    """What production passes."""


class Journey:
    """Takes polls through all stages, for the partition numbers this worker owns. One at a time."""

    def __init__(self, terms: Terms, stages: Stages, hook: Hook = no_hook) -> None:
        self.owned: dict[int, OwnedPartition] = {}
        self._terms = terms
        self._stages = stages
        self._hook = hook
        self._poison = PoisonWatch()

    @property
    def topic_ids(self) -> dict[str, str]:
        """Kafka's identity of every input topic."""
        return self._terms.topic_ids

    @property
    def scorers(self) -> ScorerHistory:
        """The models in use."""
        return self._stages.scorers

    async def resume(self, owner: OwnedPartition, claims: Sequence[BucketClaim]) -> None:
        """Take over a claimed partition number: what its last owner left in the outboxes goes out first."""
        self.forget(owner.number)
        await self._stages.effects.resend(claims, owner)
        self.owned[owner.number] = owner

    def forget(self, number: int) -> None:
        """Drop everything known of a partition number: somebody else may write it from now on."""
        self.owned.pop(number, None)
        self._stages.profiles.drop(number, self._terms.partitions)

    async def advance_fences(self) -> None:
        """Bring the buckets no batch touched up to date, and trim what Kafka has confirmed."""
        await self._stages.effects.advance_fences(self.owned.values())

    async def run(self, chunks: Sequence[Chunk]) -> None:
        """One poll: all its effects are confirmed when this returns."""
        ready = self._decode(chunks)
        if ready:
            with self._stages.meter.stage("load"):
                await self._stages.loader.load(ready)
            await self._finish(await self._fold(ready))
        if not self._terms.wall_clock:
            await self.tick({number: owner.aligner.clock for number, owner in self.owned.items()})

    async def tick(self, instants: dict[int, int]) -> None:
        """Wake every profile due up to its partition number's instant; each number has been read past it."""
        owners = [owner for number, owner in self.owned.items() if instants.get(number, -1) > owner.ticked]
        while owners and (decision := await self._stages.ticker.due(owners, instants)):
            await self._finish(decision)
        for owner in owners:
            owner.ticked = instants[owner.number]
        if owners and not self._terms.wall_clock:
            await self._stages.effects.note_clock({owner.number: owner.aligner.clock for owner in owners})
            await self._stages.effects.publish([_clock_of(owner) for owner in owners])

    def _decode(self, chunks: Sequence[Chunk]) -> dict[int, list[Slice]]:
        """Slices that may be folded now, by partition number."""
        with self._stages.meter.stage("decode"):
            for chunk in chunks:
                decoded = decode_chunk(chunk, self._terms.lookup, self._terms.contract)
                self._poison.note(decoded)
                part = slice_of(chunk, decoded, self._terms.topic_ids[chunk.topic], wall_clock=self._terms.wall_clock)
                self.owned[chunk.partition].aligner.offer(part)
            numbers = sorted({chunk.partition for chunk in chunks})
            ready = {number: self.owned[number].aligner.take() for number in numbers}
        return {number: parts for number, parts in ready.items() if parts}

    async def _fold(self, ready: dict[int, list[Slice]]) -> Decision:
        decision = Decision()
        for number, parts in ready.items():
            owner = self.owned[number]
            decision.owners.append(owner)
            decision.slices += [(owner, part) for part in parts]
            with self._stages.meter.stage("dedupe"):
                events = await self._stages.deduper.fresh(owner, parts, decision)
            with self._stages.meter.stage("fold"):
                self._fold_events(events, decision)
            await asyncio.sleep(0)  # the consumer must hear from us, however long a batch takes
        return decision

    def _fold_events(self, events: Sequence[Event], decision: Decision) -> None:
        get, changed = self._stages.profiles.get, decision.changed
        policy, outcome = self._terms.policy, decision.outcome
        for event in events:
            profile = get(event.customer_id)
            fold(profile, event, policy, outcome)
            changed[event.customer_id] = profile

    async def _finish(self, decision: Decision) -> None:
        """Score, then make every effect happen, in the order that keeps the promises."""
        effects, meter = self._stages.effects, self._stages.meter
        with meter.stage("score"):
            score(decision, self._stages.scorers, self._terms.policy)
            gather_messages(decision, self._terms.codec)
        await effects.bury(decision)
        self._hook("bury")
        with meter.stage("commit"):
            await effects.commit(decision)
        self._hook("commit")
        with meter.stage("publish"):
            await effects.publish_decision(decision)
        self._hook("publish")
        self._stages.profiles.trim()
        meter.finished(decision, len(self._stages.profiles))


def _clock_of(owner: OwnedPartition) -> OutgoingMessage:
    """Tell the trainer that every label up to this instant is in."""
    headers = [(CLOCK_HEADER, str(owner.aligner.clock).encode())]
    return OutgoingMessage(TRAINING_EXAMPLES, str(owner.number).encode(), None, headers, partition=0)
