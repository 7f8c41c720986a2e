"""A worker without Kafka and Redis: a log in lists, the journey in between, and one ordered list of its effects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import orjson

from processors.calendar import DAY
from processors.dedup import Seen
from processors.fold import Policy
from processors.profile import Profile
from processors.scoring import ScorerHistory
from processors.state import decode_state
from schemas.codec import Encoder, OutputCodec
from schemas.decode import SchemaLookup
from schemas.events import Chunk
from schemas.partitioning import bucket_of, buckets_of_partition, partition_of
from schemas.results import DeadLetter, OutgoingMessage, ProfileUpdate, SegmentChange
from schemas.topics import (
    CLOCK_HEADER,
    DEAD_LETTERS,
    INPUT_TOPICS,
    OUTPUT_TOPICS,
    PROFILES,
    SEGMENT_CHANGES,
    TRAINING_EXAMPLES,
)
from schemas.validation import ContractRules
from sinks.kafka import Publisher
from sinks.poison import PoisonSums
from sinks.profiles import ProfileStore
from streams.boundaries import Hook, no_hook
from streams.dedupe import Deduper
from streams.effects import Effects
from streams.journey import Journey, Stages, Terms
from streams.loading import Loader
from streams.meter import Meter
from streams.ownership import Profiles, owned_partition
from streams.slices import Aligner
from streams.ticking import Ticker
from tests.builders import shipped_rules
from tests.fakes import FakeProfileStore
from tests.schemas.records import IDS, REGISTRY, Record

PARTITIONS: Final = 2
CODEC: Final = OutputCodec({topic: number for number, topic in enumerate(OUTPUT_TOPICS, 100)})
_ENCODERS: Final = {topic: Encoder(topic, number) for topic, number in IDS.items()}
TopicEvent = tuple[str, dict[str, Any]]


class Log:
    """The input topics: each topic-partition a list of records, appended at `append_time`."""

    def __init__(self, events: Iterable[TopicEvent] = (), *, append_time: int = 0) -> None:
        self.records: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)
        self.append_time = append_time
        for topic, event in events:
            self.append(topic, event)

    def append(self, topic: str, event: Mapping[str, Any]) -> tuple[str, int, int]:
        """Where the event was put: topic, partition, offset."""
        key = event["customer_id"]
        return self.append_raw(topic, partition_of(key, PARTITIONS), _ENCODERS[topic].encode(event), key.encode())

    def append_raw(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        key: bytes | None = b"k",
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> tuple[str, int, int]:
        records = self.records[topic, partition]
        records.append(Record(len(records), self.append_time, key, value, headers))
        return topic, partition, len(records) - 1

    def mark(self, instant: int) -> None:
        """A clock marker on every topic-partition."""
        for topic in INPUT_TOPICS:
            for partition in range(PARTITIONS):
                self.append_raw(topic, partition, None, b"clock", [(CLOCK_HEADER, str(instant).encode())])

    @property
    def size(self) -> int:
        return sum(map(len, self.records.values()))


def history_log(events: Iterable[TopicEvent]) -> Log:
    """Events in order of time, with a marker before the first, at the end of every day and at the end."""
    log, day_end, last = Log(), -1, 0
    for topic, event in events:
        last = min(event["event_time"], event["received_time"])
        if day_end < 0:
            day_end = last // DAY * DAY - 1
            log.mark(day_end)
        while last > day_end + DAY:
            day_end += DAY
            log.mark(day_end)
        log.append(topic, event)
    log.mark(last)
    return log


@dataclass
class RecordingPublisher:
    """Writes every message to the common log of effects; confirms all, or raises what it is told to."""

    effects: list[tuple[object, ...]]
    failures: list[Exception] = field(default_factory=list)

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.effects += [("publish", message.topic, message) for message in messages]


@dataclass
class RememberedPoison:
    """What outlives a worker of its count of bad input; `saved` is how often it was written."""

    sums: PoisonSums | None = None
    saved: int = 0

    def load(self) -> PoisonSums | None:
        return self.sums

    def save(self, sums: PoisonSums) -> None:
        self.sums = sums
        self.saved += 1


@dataclass(frozen=True)
class Site:
    """How the topics are laid out, and what names them and their schemas: a test's own, or a real broker's."""

    partitions: int = PARTITIONS
    topic_ids: Mapping[str, str] = field(default_factory=lambda: {topic: f"id-{topic}" for topic in INPUT_TOPICS})
    lookup: SchemaLookup = REGISTRY.get


class World:
    """What outlives a worker: the log, the store, and everything published."""

    def __init__(self, log: Log, *, clock: Literal["event", "wall"] = "event", site: Site | None = None) -> None:
        self.log = log
        self.site = site or Site()
        self.effects: list[tuple[object, ...]] = []
        self.store = FakeProfileStore(self.effects)
        self.publisher = RecordingPublisher(self.effects)
        self.poison = RememberedPoison()
        self.clock = clock
        self.policy = Policy(shipped_rules(), refresh=clock == "wall")

    def published(self, topic: str) -> list[OutgoingMessage]:
        found = [cast("OutgoingMessage", effect[2]) for effect in self.effects if effect[:2] == ("publish", topic)]
        return [message for message in found if message.value is not None]

    def changes(self) -> list[SegmentChange]:
        return [CODEC.decode_change(_value(message)) for message in self.published(SEGMENT_CHANGES)]

    def letters(self) -> list[DeadLetter]:
        return [CODEC.decode_dead_letter(_value(message)) for message in self.published(DEAD_LETTERS)]

    def updates(self) -> list[ProfileUpdate]:
        return [CODEC.decode_profile_update(_value(message)) for message in self.published(PROFILES)]

    def examples_sent(self) -> list[OutgoingMessage]:
        """Training examples and clocks, in the order they were sent."""
        return [cast("OutgoingMessage", e[2]) for e in self.effects if e[:2] == ("publish", TRAINING_EXAMPLES)]

    def examples(self) -> list[Any]:
        return [CODEC.decode_training_example(_value(message)) for message in self.published(TRAINING_EXAMPLES)]

    def portraits(self) -> dict[str, dict[str, Any]]:
        """The stored traits of every customer, less the score: that follows batch edges."""
        return {
            customer: {name: value for name, value in orjson.loads(traits).items() if name != "churn"}
            for bucket in self.store.buckets.values()
            for customer, traits in bucket.traits.items()
        }

    def profile(self, customer: str) -> Profile:
        stored = self.store.buckets[bucket_of(customer)].profiles[customer]
        return decode_state(customer, stored.version, stored.state, self.policy.calendar, self.policy.limits)

    def tallies(self) -> dict[str, int]:
        """What was counted over all topics and partitions."""
        sums: defaultdict[str, int] = defaultdict(int)
        for name, n in self.store.tallies().items():
            sums[name.split(":")[0]] += n
        return dict(sums)


class Worker:
    """Claims every partition number, reads the log in polls, and takes each through the journey."""

    def __init__(self, world: World, token: str = "one", hook: Hook = no_hook) -> None:
        self.world = world
        self.token = token
        profiles = Profiles(1 << 30)
        store = cast("ProfileStore", world.store)
        loader = Loader(store, profiles, world.policy, world.site.partitions)
        wall = world.clock == "wall"
        terms = Terms(
            policy=world.policy,
            contract=ContractRules(clamp_to_append=wall),
            lookup=world.site.lookup,
            codec=CODEC,
            topic_ids=dict(world.site.topic_ids),
            partitions=world.site.partitions,
            wall_clock=wall,
        )
        stages = Stages(
            loader=loader,
            deduper=Deduper(store, b"0123456789abcdef"),
            effects=Effects(store, cast("Publisher", world.publisher), CODEC),
            ticker=Ticker(store, profiles, loader, world.policy),
            scorers=ScorerHistory("0"),
            profiles=profiles,
            meter=Meter(),
            poison=world.poison,
        )
        self.journey = Journey(terms, stages, hook)
        self.journey.recall()
        self.positions: dict[tuple[str, int], int] = {}

    async def assign(self) -> None:
        site = self.world.site
        for number in range(site.partitions):
            claims = self.world.store.claim(buckets_of_partition(number, site.partitions), self.token)
            aligner = Aligner(INPUT_TOPICS, event_clock=self.world.clock == "event")
            await self.journey.resume(owned_partition(number, claims, self.token, aligner, Seen(24)), claims)
            for topic in INPUT_TOPICS:
                fence = f"{site.topic_ids[topic]}:{number}"
                self.positions[topic, number] = min(claim.fences.get(fence, -1) for claim in claims) + 1

    def next_poll(self, size: int) -> list[Chunk]:
        """Up to `size` records of every topic-partition."""
        chunks = []
        for (topic, partition), first in self.positions.items():
            records = self.world.log.records[topic, partition][first : first + size]
            if records:
                chunks.append(Chunk(topic, partition, first, first + len(records), 1, records))
                self.positions[topic, partition] = first + len(records)
        return chunks

    async def read(self, size: int = 1_000_000, polls: int = 1_000_000) -> None:
        """Read the log to its end, or for so many polls, and wait for the effects."""
        while polls > 0 and (chunks := self.next_poll(size)):
            await self.journey.run(chunks)
            polls -= 1
        await self.journey.settle()


async def worked(log: Log, size: int = 1_000_000, clock: Literal["event", "wall"] = "event") -> World:
    """The world after one worker has read the whole log."""
    world = World(log, clock=clock)
    worker = Worker(world)
    await worker.assign()
    await worker.read(size)
    await worker.journey.advance_fences()
    return world


def _value(message: OutgoingMessage) -> bytes:
    assert message.value is not None
    return message.value
