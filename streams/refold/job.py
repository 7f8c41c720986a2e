"""One replay from start to end: fold into the shadow, compare, and on request make the shadow the live generation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from time import monotonic
from typing import Final

import structlog

from processors.comparison import rescore
from processors.profile import Profile
from processors.scoring import LinearScorer, scorer_of
from schemas.errors import ConfigurationError, ProtocolError, StaleCommitError
from schemas.partitioning import BUCKETS
from schemas.topics import INPUT_TOPICS
from sinks.generations import LEASE_SECONDS
from sinks.profiles import ProfileStore
from streams.kafka.chunks import TopicPartition
from streams.kafka.models import load
from streams.refold.audit import Audit, Follower, Judge, Judged
from streams.refold.bounds import Bound
from streams.refold.fold import Refold, Suppressed
from streams.refold.leases import holding
from streams.refold.live import LiveLog
from streams.refold.log import Terms
from streams.refold.parts import JobLease, Options, Parts, Watch
from streams.refold.report import Report
from streams.refold.succession import Succession
from streams.refold.switch import freeze

log = structlog.get_logger(__name__)

_REFUSED: Final = (
    "not switched: rule-driven changes of some customers differ, so readers of segment-changes would be told otherwise "
    "than before; add --force to switch all the same, with one correcting change for each label that differs."
)
_COMPARE_A_PART: Final = "compare what a part of the history gives with --partial instead of --switch or --force"

Writing = Callable[[Sequence[Judged]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Shadow:
    """The two generations at work, and what brings the one to the other."""

    live: ProfileStore
    store: ProfileStore
    judge: Judge
    refold: Refold
    follower: Follower
    suppressed: Suppressed


class ReplayJob:
    """Runs once."""

    def __init__(self, parts: Parts, options: Options, watch: Watch | None = None) -> None:
        self._parts = parts
        self._options = options
        self._watch = watch or Watch()

    async def run(self) -> Report:
        """The whole replay.

        Raises:
            ConfigurationError: what was asked for makes no sense here; nothing was changed.
            ProtocolError: the log lacks what the live profiles hold, or another replay came between.
            UnreachableError: a server does not answer; run it again.

        """
        lease = self._parts.keyspace.replay_lease()
        if not await asyncio.to_thread(lease.take):
            raise ConfigurationError(
                f"Another replay is at work, or one was killed in the last {LEASE_SECONDS:g} s: wait for it to end."
            )
        async with holding(lease):
            try:
                return await self._replay(lease.token)
            except StaleCommitError:
                raise ProtocolError(
                    "Another replay took the shadow over, or Redis lost writes: the live profiles are as they were; "
                    "run this one again."
                ) from None

    async def _replay(self, token: str) -> Report:
        keyspace = self._parts.keyspace
        live = keyspace.store(await asyncio.to_thread(keyspace.live))
        judge = Judge(self._parts.policy, self._rescored())
        held = LiveLog.of(await asyncio.to_thread(live.peek, range(BUCKETS)), self._parts.layout)
        await self._refuse(held, live)
        self._watch.stage("removing what is not live", None)
        await asyncio.to_thread(keyspace.empty_others, live.generation, token)
        shadow = await self._folded(live, held, judge)
        succession = self._succession(shadow)
        report = await self._compared(shadow, succession.adopt if self._options.switch else _nothing)
        if self._options.switch:
            report = await self._switched(shadow, succession, report)
        if not self._options.keep:
            await self._clean_up(token)
        return report

    async def _clean_up(self, token: str) -> None:
        """What is done is done: whoever has the lease now, or the next replay, removes the rest as well."""
        keyspace = self._parts.keyspace
        self._watch.stage("removing what is not live", None)
        try:
            await asyncio.to_thread(keyspace.empty_others, await asyncio.to_thread(keyspace.live), token)
        except StaleCommitError as error:
            log.warning("keys of another generation stay until the next replay-topic", reason=str(error))

    # -- before anything is written --------------------------------------------------------------------------------

    async def _refuse(self, held: LiveLog, live: ProfileStore) -> None:
        options = self._options
        await self._refuse_other_clock(live)
        if options.partial:  # never with a switch
            return
        starts = await asyncio.to_thread(self._starts)
        if options.since is not None and options.since.is_after(min(starts.values())):
            raise ConfigurationError(
                "--from is later than the start of the log, and Redis keeps no profiles as they were then to begin "
                f"with: leave --from out, or {_COMPARE_A_PART}."
            )
        gone = held.unlogged(starts)
        if gone:
            (topic, number), missing = max(gone.items(), key=lambda item: item[1])
            raise ConfigurationError(
                f"The live profiles hold {sum(gone.values())} records that the log no longer has ({missing} of {topic},"
                f" partition {number}): a replay cannot give the same profiles. Restore the log, or {_COMPARE_A_PART}."
            )

    async def _refuse_other_clock(self, live: ProfileStore) -> None:
        reached = [await asyncio.to_thread(live.clock, number) for number in self._parts.layout.numbers()]
        if self._parts.settings.clock == "wall" and any(instant is not None for instant in reached):
            raise ConfigurationError(
                "The live profiles were folded on the event clock, this command is set to the wall clock and would "
                "fold otherwise: set FOOTFALL_CLOCK=event."
            )

    def _starts(self) -> dict[TopicPartition, int]:
        numbers = self._parts.layout.numbers()
        return {(topic, n): reader.start(n) for topic, reader in self._parts.readers.items() for n in numbers}

    def _rescored(self) -> Callable[[Profile], None] | None:
        """Scores a profile by the model version asked for; 0 is the recency rule."""
        wanted, policy = self._options.model, self._parts.policy
        if wanted is None:
            return None
        scorer = self._scorer(wanted) if wanted else None
        return lambda profile: rescore(profile, scorer, policy)

    def _scorer(self, wanted: int) -> LinearScorer:
        found = {snapshot.version: snapshot for snapshot in self._parts.snapshots}
        if wanted not in found:
            known = ", ".join(map(str, sorted(found)[-8:])) or "none"
            raise ConfigurationError(f"--model {wanted} is not among the versions on the topic models ({known}).")
        scorer = scorer_of(found[wanted], version("river"))
        if isinstance(scorer, str) or not scorer.mature:
            why = scorer if isinstance(scorer, str) else "it has not learnt from enough examples to score"
            raise ConfigurationError(f"--model {wanted} cannot be used: {why}.")
        return scorer

    # -- fold and compare ------------------------------------------------------------------------------------------

    async def _folded(self, live: ProfileStore, held: LiveLog, judge: Judge) -> _Shadow:
        parts, options = self._parts, self._options
        store, suppressed = parts.keyspace.store(live.generation + 1), Suppressed()
        journey = parts.journey_on(store, suppressed)
        load(parts.snapshots, journey.scorers)
        terms = Terms(options.since or Bound(), max(1, parts.settings.batch.max_records // len(INPUT_TOPICS)))
        refold = Refold(parts.settings, store, journey, parts.readers, terms)
        refold.on_progress = self._watch.done
        until = options.until
        self._watch.stage("folding", None if until or options.since else sum(held.positions.values()))
        for number in parts.layout.numbers():
            await refold.fold(number, dict.fromkeys(INPUT_TOPICS, until) if until else held.bounds(number))
        return _Shadow(live, store, judge, refold, Follower(refold, parts.layout, held.positions), suppressed)

    async def _compared(
        self,
        shadow: _Shadow,
        write: Callable[[Sequence[Judged]], Awaitable[None]],
        succession: Succession | None = None,
    ) -> Report:
        """Go over all customers, and write what follows from it; a succession: the live generation stands still."""
        report, listed = self._report(shadow), self._options.listed
        follower = shadow.follower if self._options.until is None and succession is None else None
        audit = Audit(self._parts.keyspace, shadow.live, shadow.store, shadow.judge, follower)
        self._watch.stage("comparing customers", None)
        async for judged in audit.customers():
            report.add(judged, listed)
            self._watch.done(report.customers)
            await write(judged)
        async for places in audit.strays():
            report.add_strays([customer for _, customer in places], listed)
            if succession is not None:
                await succession.keep(places)
        report.suppressed = dict(shadow.suppressed.counts)
        report.records_live, report.records_shadow = [
            await asyncio.to_thread(_received, store) for store in (shadow.live, shadow.store)
        ]
        return report

    def _report(self, shadow: _Shadow) -> Report:
        return Report(
            live_generation=shadow.live.generation,
            shadow_generation=shadow.store.generation,
            rule_version=self._parts.policy.rules.version,
            same_records=self._options.whole,
            pinned_model=self._options.model,
        )

    # -- switch ----------------------------------------------------------------------------------------------------

    def _succession(self, shadow: _Shadow) -> Succession:
        adopt = partial(self._parts.keyspace.adopt, shadow.live.generation, shadow.store.generation)
        return Succession(adopt, shadow.store, shadow.judge, self._parts.codec, shadow.refold.owners)

    async def _switched(self, shadow: _Shadow, succession: Succession, report: Report) -> Report:
        if not (report.rules_agree or self._options.force):
            report.refusal = _REFUSED
            return report
        lease = self._parts.keyspace.switch_lease()
        if not await asyncio.to_thread(lease.take):
            report.refusal = "not switched: another switch is at work; wait for it to end."
            return report
        async with holding(lease):
            report = await self._succeeded(shadow, succession, lease)
            if not (report.rules_agree or self._options.force):
                report.refusal = _REFUSED
            elif not await asyncio.to_thread(lease.switch, shadow.store.generation):
                raise ProtocolError(
                    "The switch took so long that workers went on with the live generation: nothing was changed. "
                    "Run it again when Redis and Kafka are less busy."
                )
            report.switched = report.refusal is None
        return report

    async def _succeeded(self, shadow: _Shadow, succession: Succession, lease: JobLease) -> Report:
        """Nobody writes the live generation any more: bring the shadow to it and make it its successor."""
        self._watch.stage("workers wait: catching up", None)
        begun = monotonic()
        final = await freeze(shadow.live, self._parts, lease)
        await shadow.follower.fold(final.positions, self._parts.layout.numbers())
        await succession.open()
        report = await self._compared(shadow, succession.lift, succession)
        report.frozen_seconds = round(monotonic() - begun, 3)
        report.corrections = succession.corrections
        return report


async def _nothing(_judged: Sequence[Judged]) -> None:
    """Without a switch nothing follows from a comparison."""


def _received(store: ProfileStore) -> int:
    return sum(count for name, count in store.tallies().items() if name.startswith("received:"))
