"""The `process` role: events in; profiles, segment changes and training examples out."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from typing import Final

import structlog

from processors.calendar import NEVER
from processors.scoring import ScorerHistory
from schemas.errors import FootfallError, NewGenerationError
from schemas.events import Chunk
from schemas.topics import INPUT_TOPICS
from streams import metrics, restarts
from streams.boundaries import Hook, no_hook
from streams.build import fold_is_compiled
from streams.environment import Environment, journey_of, opened, policy_of
from streams.journey import Journey
from streams.kafka.app import build_app
from streams.kafka.chunks import TopicPartition
from streams.kafka.models import ModelsReader, load
from streams.kafka.topics import Topics
from streams.kafka.watchdog import Watchdog
from streams.kafka.worker import Handlers, Worker
from streams.ledger import Ledger, show_in_flight
from streams.meter import Meter
from streams.probing import Prober, kafka_probe, redis_probe
from streams.settings import Settings
from streams.takeover import Accepted, Takeover
from streams.vitals import STANDS_BY, Vitals

log = structlog.get_logger(__name__)

TICK_SECONDS: Final = 0.5
GENERATION_SECONDS: Final = 1.0
"""How often a worker asks whether readers still follow what it writes."""
REWIND_SECONDS: Final = 5.0
"""How often it asks whether Redis still holds what it confirmed, when no commit does."""
SWITCH_SECONDS: Final = 0.0005
"""How long a fold may keep Python's lock from the threads that talk to Redis and Kafka; 5 ms starve them."""


class Models:
    """Keeps the scorers at the newest published models; swaps happen between batches only."""

    def __init__(self, reader: ModelsReader, scorers: ScorerHistory) -> None:
        self._reader = reader
        self._scorers = scorers

    def read_all(self) -> None:
        """Every model published so far: before the first event is scored."""
        load(self._reader.read_all(), self._scorers)

    def refresh(self) -> None:
        """Models that came since."""
        snapshots = self._reader.poll_new()
        if snapshots:
            load(snapshots, self._scorers)


class ProcessRole:
    """Connects the journey with the worker: claims on assignment, polls, ticks, and gives up on revocation."""

    def __init__(
        self, environment: Environment, journey: Journey, models: Models, takeover: Takeover, health: metrics.Health
    ) -> None:
        self.worker: Worker | None = None
        self._models = models
        self._health = health
        self._environment = environment
        self._journey = journey
        self._takeover = takeover
        self._ledger = Ledger()
        self._went_back_to: Mapping[TopicPartition, int] | None = None
        self._asked = self._compared = 0.0

    async def assigned(self, tps: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Claim the buckets of these partition numbers; read on after the lowest fence of each topic-partition."""
        committed = {} if self.worker is None else self.worker.committed
        positions = await self._takeover.claim({partition for _, partition in tps}, committed)
        log.info("partitions claimed", partitions=sorted(self._journey.owned))
        metrics.OWNED_BUCKETS.set(sum(len(owner.buckets) for owner in self._journey.owned.values()))
        self._health.ready("partitions", "" if tps else STANDS_BY)
        return {tp: positions[tp] for tp in tps}

    async def recover(self, error: FootfallError) -> Mapping[TopicPartition, int]:
        """Go back to what Redis holds, however long it takes to answer."""
        self._health.not_ready("work", f"it is tried again after a failure: {error}")
        self._went_back_to = positions = await self._takeover.go_back(error, self._alive)
        log.info("reading again from what is stored", partitions=sorted(self._journey.owned))
        return positions

    def stalled(self, kind: str) -> None:
        """Remember why the watchdog ends this process: the next one shows it."""
        restarts.noter(self._environment.settings, "process")(kind)

    def _alive(self) -> None:
        if self.worker is not None:
            self.worker.alive()

    async def revoked(self, tps: Collection[TopicPartition]) -> None:
        """Bring every fence up to date, then forget what belonged to these partition numbers."""
        self._health.not_ready("partitions", "none are assigned")
        try:
            await self._journey.advance_fences()
        finally:
            for number in {partition for _, partition in tps}:
                self._journey.forget(number)

    async def poll(self, chunks: Sequence[Chunk]) -> asyncio.Future[None] | None:
        """One poll through the journey; the future ends with its effects."""
        self._models.refresh()
        return await self._journey.run(chunks)

    async def tick(self) -> asyncio.Future[None] | None:
        """Between polls: on the wall clock whatever is due, and the fences when nothing else moves them."""
        if self.worker is None:
            return None
        effects: asyncio.Future[None] | None = None
        if self._environment.settings.clock == "wall":
            effects = await self._journey.tick({n: self.worker.read_until(n) for n in self._journey.owned})
            metrics.DUE_BEHIND_SECONDS.set(self._seconds_behind())
        await self._journey.keep_up()
        if time.monotonic() - self._asked > GENERATION_SECONDS:
            self._asked = time.monotonic()
            await self._takeover.check_generation()
        if time.monotonic() - self._compared > REWIND_SECONDS:
            self._compared = time.monotonic()
            await self._takeover.check_rewind()
        return effects

    def show(self) -> None:
        """What is owned, in flight and waiting, as gauges."""
        journey, owned = self._journey, self._journey.owned.values()
        self._ledger.show(owned)
        metrics.OUTSTANDING_DECISIONS.set(journey.outstanding)
        metrics.BARRIER_EVENTS.set(sum(owner.aligner.held for owner in owned))
        metrics.DUE_PROFILES.set(sum(len(owner.due) for owner in owned))
        metrics.EVENT_IDS.set(sum(len(owner.seen) for owner in owned))
        metrics.OWNED_PROFILES.set(len(journey.profiles))
        metrics.PROFILES_MEMORY.set(journey.profiles.memory)
        if self.worker is not None:
            show_in_flight(owned, self.worker.read_positions(), journey.topic_ids)
            self._note_progress(self.worker)

    def _note_progress(self, worker: Worker) -> None:
        """What failed is over once something was acknowledged since, or nothing is left to do."""
        before, now = self._went_back_to, worker.positions()
        if before is None:
            return
        if any(now.get(tp, 0) > position for tp, position in before.items()) or not any(worker.lag().values()):
            self._went_back_to = None
            self._health.ready("work")

    def _seconds_behind(self) -> float:
        """How long the oldest tick that is due has waited."""
        first = min((owner.due.first for owner in self._journey.owned.values()), default=NEVER)
        return max(0.0, time.time() - first / 1000)


def run(
    settings: Settings,
    *,
    rebuild: bool = False,
    skip_gap: bool = False,
    watch: Callable[[Journey], Hook] = lambda _journey: no_hook,
) -> int:
    """Run until SIGTERM.

    `rebuild`: begin anew where Redis has lost everything; `skip_gap`: go on after what retention took unread; `watch`
    makes the hook of a test.

    Raises UnreachableError or ConfigurationError when it cannot start.
    """
    health = metrics.Health("servers", "partitions", stalled_seconds=settings.health.stalled_seconds)
    server = metrics.MetricsServer(settings.metrics.process, health, settings.metrics.host).start()
    try:
        while not _served(settings, health, Accepted(rebuild, skip_gap), watch):
            pass
    finally:
        server.stop()
    return 0


def _served(settings: Settings, health: metrics.Health, accepted: Accepted, watch: Callable[[Journey], Hook]) -> bool:
    """Work until SIGTERM; false when another generation of profiles has become the live one: then begin anew."""
    policy = policy_of(settings)  # before any server is asked: a wrong file is told first
    with opened(settings, "process") as environment:
        health.ready("servers")
        tame_garbage_collector()
        restarts.show(settings, "process")
        fold = "compiled" if fold_is_compiled() else "plain Python"
        log.info("starting", fold=fold, generation=environment.store.generation)
        sys.setswitchinterval(SWITCH_SECONDS)
        journey = journey_of(environment, policy, Meter())
        journey.hook = watch(journey)
        first_offsets = Topics(environment.kafka).first_offsets
        takeover = Takeover(settings, environment.store, journey, health, first_offsets, accepted=accepted)
        with closing(Watchdog()) as watchdog:  # asyncio.run waits for every thread, as one that Redis does not answer
            # uvloop was measured slower beside the consumer's own loop
            superseded = asyncio.run(_run(environment, journey, takeover, health, watchdog))
    return superseded is None or superseded.stopping


async def _run(
    environment: Environment, journey: Journey, takeover: Takeover, health: metrics.Health, watchdog: Watchdog
) -> Worker | None:
    """A worker to its end; answers the one that another generation of profiles has put out of work."""
    with closing(ModelsReader.of(environment.kafka, environment.codec)) as reader:
        models = Models(reader, journey.scorers)
        await asyncio.to_thread(models.read_all)
        settings = environment.settings
        role = ProcessRole(environment, journey, models, takeover, health)
        app = build_app(environment.kafka, settings.group("process"), INPUT_TOPICS)
        handlers = Handlers(role.poll, role.assigned, role.revoked, role.tick, TICK_SECONDS, role.recover, role.stalled)
        role.worker = worker = Worker(app, handlers, journey.hook, watchdog)
        journey.leaving = worker.gives_way
        probes = {"Kafka": kafka_probe(environment.kafka), "Redis": redis_probe(settings)}
        asking = Prober(probes, health, settings.health.probe_seconds).asking()
        with asking, Vitals(worker, health, settings.health, role.show).watched():
            try:
                await worker.run()
            except NewGenerationError as error:
                log.warning("another generation of profiles is live", reason=str(error))
                return worker
    return None


def tame_garbage_collector() -> None:
    """Profiles live long and make no cycles: full collections would scan all of them, a third of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000_000, 100, 1_000_000)  # what a batch makes dies with it: most of it before it is looked at
