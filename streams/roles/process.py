"""The `process` role: events in; profiles, segment changes and training examples out."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import Final

import structlog

from processors.calendar import NEVER
from processors.scoring import ScorerHistory
from schemas.errors import FootfallError, NewGenerationError
from schemas.events import Chunk
from schemas.topics import INPUT_TOPICS
from streams import metrics
from streams.build import fold_is_compiled
from streams.environment import Environment, journey_of, opened, policy_of
from streams.journey import Journey
from streams.kafka.app import build_app
from streams.kafka.chunks import TopicPartition
from streams.kafka.models import ModelsReader, load
from streams.kafka.worker import Handlers, Worker
from streams.meter import Meter
from streams.settings import Settings
from streams.takeover import Takeover

log = structlog.get_logger(__name__)

TICK_SECONDS: Final = 0.5
GENERATION_SECONDS: Final = 1.0
"""How often a worker asks whether readers still follow what it writes."""
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

    def __init__(self, environment: Environment, journey: Journey, models: Models, health: metrics.Health) -> None:
        self.worker: Worker | None = None
        self._models = models
        self._health = health
        self._environment = environment
        self._journey = journey
        self._takeover = Takeover(environment.settings, environment.store, journey, health)
        self._asked = 0.0

    async def assigned(self, tps: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Claim the buckets of these partition numbers; read on after the lowest fence of each topic-partition."""
        positions = await self._takeover.claim({partition for _, partition in tps})
        log.info("partitions claimed", partitions=sorted(self._journey.owned))
        metrics.OWNED_BUCKETS.set(sum(len(owner.buckets) for owner in self._journey.owned.values()))
        self._health.ready("Kafka")
        return {tp: positions[tp] for tp in tps}

    async def recover(self, _error: FootfallError) -> Mapping[TopicPartition, int]:
        """Go back to what Redis holds, however long it takes to answer."""
        positions = await self._takeover.go_back(self._alive)
        log.info("reading again from what is stored", partitions=sorted(self._journey.owned))
        return positions

    def _alive(self) -> None:
        if self.worker is not None:
            self.worker.alive()

    async def revoked(self, tps: Collection[TopicPartition]) -> None:
        """Bring every fence up to date, then forget what belonged to these partition numbers."""
        self._health.not_ready("Kafka", "no partitions are assigned")
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
        for (topic, partition), records in self.worker.lag().items():
            metrics.LAG_RECORDS.labels(topic, str(partition)).set(records)
        await self._journey.keep_up()
        if time.monotonic() - self._asked > GENERATION_SECONDS:
            self._asked = time.monotonic()
            await self._takeover.check_generation()
        return effects

    def _seconds_behind(self) -> float:
        """How long the oldest tick that is due has waited."""
        first = min((owner.due.first for owner in self._journey.owned.values()), default=NEVER)
        return max(0.0, time.time() - first / 1000)


def run(settings: Settings) -> int:
    """Run until SIGTERM. Raises UnreachableError or ConfigurationError when it cannot start."""
    health = metrics.Health("servers", "Kafka")
    server = metrics.MetricsServer(settings.metrics.process, health, settings.metrics.host).start()
    try:
        while not _served(settings, health):
            pass
    finally:
        server.stop()
    return 0


def _served(settings: Settings, health: metrics.Health) -> bool:
    """Work until SIGTERM; false when another generation of profiles has become the live one: then begin anew."""
    with opened(settings, "process") as environment:
        health.ready("servers")
        tame_garbage_collector()
        fold = "compiled" if fold_is_compiled() else "plain Python"
        log.info("starting", fold=fold, generation=environment.store.generation)
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            asyncio.run(_run(environment, health))  # uvloop was measured slower beside the consumer's own loop
        except NewGenerationError as error:
            log.warning("beginning anew", reason=str(error))
            return False
    return True


async def _run(environment: Environment, health: metrics.Health) -> None:
    settings = environment.settings
    journey = journey_of(environment, policy_of(settings), Meter())
    with closing(ModelsReader.of(environment.kafka, environment.codec)) as reader:
        models = Models(reader, journey.scorers)
        await asyncio.to_thread(models.read_all)
        role = ProcessRole(environment, journey, models, health)
        app = build_app(environment.kafka, settings.group("process"), INPUT_TOPICS)
        role.worker = Worker(
            app, Handlers(role.poll, role.assigned, role.revoked, role.tick, TICK_SECONDS, role.recover)
        )
        await role.worker.run()


def tame_garbage_collector() -> None:
    """Profiles live long and make no cycles: full collections would scan all of them, a third of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000_000, 100, 1_000_000)  # what a batch makes dies with it: most of it before it is looked at
