"""A replay without Kafka and Redis: the world's log read again, and generations of stores in memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from processors.fold import Policy
from processors.state import encode_state
from schemas.errors import StaleCommitError
from schemas.partitioning import bucket_of
from schemas.results import CommitOutcome, StoredProfile
from schemas.topics import INPUT_TOPICS
from sinks.generations import Copy, Place
from sinks.kafka import Publisher
from sinks.profiles import ProfileStore
from streams.journey import Journey
from streams.kafka.reader import LogRecord
from streams.refold.fold import Owners
from streams.refold.job import ReplayJob
from streams.refold.live import Layout
from streams.refold.parts import Options, Parts, Watch
from streams.refold.report import Report
from streams.settings import KafkaSettings, Settings
from tests.fakes import FakeProfileStore
from tests.streams.worker import CODEC, PARTITIONS, Log, RememberedPoison, Worker, World


class ListReader:
    """One topic of the log; `begins` is what retention has left, `hidden` what is lost at its end."""

    def __init__(self, log: Log, topic: str) -> None:
        self.end: int | None = None
        self.begins = 0
        self.hidden = 0
        self._log = log
        self._topic = topic
        self._partition = self._position = 0

    def start(self, partition: int) -> int:  # noqa: ARG002  the same in every partition
        return self.begins

    def seek(self, offset: int, partition: int = 0) -> None:
        self._partition, self._position, self.end = partition, max(offset, self.begins), None

    def read(self, limit: int, seconds: float) -> list[LogRecord]:  # noqa: ARG002  nothing to wait for
        records = self._log.records[self._topic, self._partition]
        last = len(records) - self.hidden
        found = records[self._position : min(last, self._position + limit)]
        self._position += len(found)
        self.end = last if self._position >= last else None
        return cast("list[LogRecord]", found)


@dataclass
class FakeLease:
    """Held or free; `lost` as if it had run out."""

    holder: bool = False
    lost: bool = False
    moved_to: int = 0
    token: str = "mine"

    def take(self) -> bool:
        free, self.holder = not self.holder, True
        return free

    def renew(self) -> bool:
        return not self.lost

    def release(self) -> bool:
        self.holder = False
        return not self.lost

    def switch(self, generation: int) -> bool:
        if not self.lost:
            self.moved_to = generation
        return not self.lost


@dataclass
class FakeKeyspaces:
    """Generations of stores in memory, with the answers of `Generations`."""

    stores: dict[int, FakeProfileStore]
    pointer: int = 1
    replaying: FakeLease = field(default_factory=FakeLease)
    switching: FakeLease = field(default_factory=FakeLease)
    emptied: list[int] = field(default_factory=list)

    def live(self) -> int:
        return self.switching.moved_to or self.pointer

    def store(self, generation: int) -> ProfileStore:
        made = self.stores.setdefault(generation, FakeProfileStore())
        made.generation = generation
        return cast("ProfileStore", made)

    def replay_lease(self) -> FakeLease:
        return self.replaying

    def switch_lease(self) -> FakeLease:
        return self.switching

    def customers(self, generation: int) -> Iterator[list[Place]]:
        held = self.stores[generation].buckets.values()
        for number, bucket in enumerate(list(held)):
            if bucket.profiles:
                yield [(number, customer) for customer in bucket.profiles]

    def empty_others(self, live: int, token: str) -> int:
        if self.replaying.lost or token != self.replaying.token or live != self.live():
            raise StaleCommitError("lost")
        gone = [generation for generation in self.stores if generation != live]
        self.emptied += gone
        for generation in gone:
            del self.stores[generation]
        return len(gone)

    def adopt(self, live: int, shadow: int, owners: Owners, copies: Sequence[Copy]) -> list[CommitOutcome]:
        for (bucket, customer), version, due in copies:
            source, target = self.stores[live].buckets[bucket], self.stores[shadow].buckets[bucket]
            if owners[bucket] != (target.epoch, target.token):
                return ["stale_epoch"]
            if source.profiles[customer].version == version:
                target.profiles[customer] = source.profiles[customer]
                target.traits[customer] = source.traits[customer]
                target.dirty.pop(customer, None)
                target.due.pop(customer, None)
                if due is not None:
                    target.due[customer] = due
        return ["applied"]


class Bench:
    """A world whose live generation was written by workers, and replays of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keyspaces = FakeKeyspaces({1: world.store})
        self.readers = {topic: ListReader(world.log, topic) for topic in INPUT_TOPICS}
        self.policy = world.policy

    def parts(self, policy: Policy | None = None) -> Parts:
        settings = Settings(installation="test", clock=self.world.clock, kafka=KafkaSettings(partitions=PARTITIONS))
        rules = policy or self.policy

        def journey_on(store: ProfileStore, publisher: Publisher) -> Journey:
            return Worker(self.seen_by(cast("Any", store), publisher, rules)).journey

        return Parts(
            settings=settings,
            policy=rules,
            layout=Layout({topic: f"id-{topic}" for topic in INPUT_TOPICS}, PARTITIONS),
            keyspace=self.keyspaces,
            readers=self.readers,
            codec=CODEC,
            publisher=cast("Publisher", self.world.publisher),
            journey_on=journey_on,
        )

    def seen_by(self, store: FakeProfileStore, publisher: Any, policy: Policy) -> World:
        """The same log, written to another store."""
        other = copy.copy(self.world)
        other.store, other.publisher, other.policy = store, publisher, policy
        other.poison = RememberedPoison()
        return other

    async def replay(self, watch: Watch | None = None, policy: Policy | None = None, **options: Any) -> Report:
        """One replay; `options` are fields of `Options`."""
        return await ReplayJob(self.parts(policy), Options(**options), watch).run()

    async def goes_on(self, policy: Policy | None = None, until: int | None = None) -> World:
        """A new worker of the generation that is live now reads the rest of the log; then time passes up to `until`."""
        live = self.keyspaces.stores[self.keyspaces.live()]
        world = self.seen_by(live, self.world.publisher, policy or self.policy)
        worker = Worker(world, "next")
        await worker.assign()
        await worker.read()
        if until is not None:
            await worker.journey.tick(dict.fromkeys(range(PARTITIONS), until))
        await worker.journey.advance_fences()
        return world


def spoil(world: World, customer: str, **fields: Any) -> None:
    """Damage the stored state of a customer: these fields of the profile get these values."""
    profile = world.profile(customer)
    for name, value in fields.items():
        setattr(profile, name, value)
    held = world.store.buckets[bucket_of(customer)]
    held.profiles[customer] = StoredProfile(profile.version, encode_state(profile))


def without(policy: Policy, *units: str) -> Policy:
    """A policy whose rules lack some units."""
    kept = [unit for unit in policy.rules.units if unit.id not in units]
    placed = tuple(replace(unit, position=n) for n, unit in enumerate(kept))
    return replace(policy, rules=replace(policy.rules, version="other", units=placed, _memo={}))
