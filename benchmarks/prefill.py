"""Profiles with 90 days of history before a benchmark starts: folded by the same code in two processes, written as a
worker would have written them. What the folding learns about churn trains the model that the worker scores with.

Rules are asked once, when the history is folded: what a customer was in between leaves no trace in a profile but the
sequence number, and asking at every event would take three times as long.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import starmap
from typing import Any, Final, NamedTuple

from confluent_kafka import Producer
from msgspec import structs

from benchmarks.bare_loop import Row
from benchmarks.generator import Generator, Load, Record, batches, customer_name
from processors.batch_scores import score
from processors.calendar import DAY, NEVER
from processors.churn import Answer, example_of
from processors.curriculum import KEY, Curriculum, Plan
from processors.event import Event, events_of
from processors.fold import Policy, fold, tick
from processors.learning import Learner
from processors.numbers import none
from processors.portrait import encode_portrait
from processors.profile import Profile
from processors.rules import RuleSet
from processors.scoring import ScorerHistory
from processors.state import encode_state
from schemas.codec import OutputCodec
from schemas.decode import SchemaLookup, decode_chunk
from schemas.events import Chunk
from schemas.partitioning import bucket_of
from schemas.results import BucketClaim, BucketCommit, ModelSnapshot, OutgoingMessage, ProfileWrite, TrainingExample
from schemas.topics import INPUT_TOPICS, MODELS
from schemas.validation import ContractRules
from sinks.installation import join_installation, live_generation
from sinks.kafka import Publisher, build_producer_config
from sinks.profiles import ProfileStore
from streams.clients import redis_client
from streams.decision import Decision
from streams.environment import contract_of, policy_of
from streams.kafka.config import kafka_config
from streams.kafka.registry import Registry
from streams.settings import Settings
from streams.ticking import wake

DAYS: Final = 90
BATCH: Final = 50_000
_TOKEN: Final = "prefill"  # noqa: S105  the owner's name in a claim, no secret
_EXAMPLES: Final = 20_000
"""Training examples each process hands back: enough for a model that has settled."""


@dataclass(frozen=True, slots=True)
class History:
    """What a prefill is made of. `load.start` is 90 days before the benchmark's first event."""

    settings: Settings
    load: Load
    events: int
    customers: int
    """That get a profile: those of the load; 0, and only the model has learnt; or more, who share the load's histories
    in turn, so that a million profiles, or profiles of a hundred million events, take a minute."""

    @property
    def end(self) -> int:
        """The instant the profiles stand at, ms."""
        return self.load.start + DAYS * DAY

    @property
    def sizes(self) -> list[int]:
        """Batch sizes that `Generator.events_of` makes the history again with."""
        return batches(self.events, BATCH)

    @property
    def shared(self) -> bool:
        """Whether a history is that of several customers."""
        return self.customers > self.load.customers

    def sharing(self, customer: str) -> list[str]:
        """Who gets the profile of a customer of the load: itself, and those that share its history."""
        return [customer_name(rank) for rank in range(int(customer[1:]), self.customers, self.load.customers)]


class Share(NamedTuple):
    """What one process has done: profiles written, and labels that became known on the way."""

    profiles: int
    examples: list[TrainingExample]


def history_load(seed: int, customers: int, events: int, end: int, exponent: float) -> Load:
    """A load of `events` over the 90 days before `end`. No repetitions: the dedup window begins with the benchmark."""
    rate = events / (DAYS * 86_400)
    return Load(seed=seed, customers=customers, rate=rate, start=end - DAYS * DAY, exponent=exponent, duplicates=0.0)


def prefill(history: History, processes: int = 2) -> tuple[int, ModelSnapshot]:
    """Write every profile of the history and publish a model; how many profiles, and the model."""
    settings = history.settings
    processes = 1 if history.shared else processes  # who shares a history is in any partition
    client = redis_client(settings)
    join_installation(client, settings.redis.prefix, settings.installation)
    client.close()
    work = [(history, part, processes) for part in range(processes)]
    if processes == 1:
        shares = list(starmap(fold_share, work))
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            shares = pool.starmap(fold_share, work)
    snapshot = trained((example for share in shares for example in share.examples), history.end)
    publish(settings, snapshot)
    return sum(share.profiles for share in shares), snapshot


def fold_share(history: History, part: int, parts: int) -> Share:
    """Fold and write the customers of every `parts`-th partition number."""
    settings = history.settings
    registry = Registry.of(settings.registry)
    policy = policy_of(settings)
    profiles: dict[str, Profile] = {}
    decision = Decision()
    answers: list[Answer] = []
    contract = replace(contract_of(settings), clamp_to_append=False)  # what was never in a log was never appended
    reader = Reader(registry.lookup, contract)
    quick = replace(policy, rules=RuleSet("", ()))
    for records in _records(history, registry.register(), part, parts):
        for event in reader.events(records):
            profile = profiles.get(event.customer_id)
            if profile is None:
                profile = profiles[event.customer_id] = Profile(event.customer_id)
                profile.bucket = bucket_of(event.customer_id)
            fold(profile, event, quick, decision.outcome)
        answers += decision.outcome.answers
        decision = Decision()
    answers += _let_time_pass(profiles, history.end - 1, quick)
    _ask_rules(profiles, history.end - 1, policy)
    registry.close()
    written = _write(history, profiles.values())
    known = [answer for answer in answers if answer.pending.time + policy.horizon < history.end]
    return Share(written, [example_of(answer) for answer in known[:: 1 + len(known) // _EXAMPLES]])


def _records(history: History, ids: dict[str, int], part: int, parts: int) -> Iterator[list[tuple[int, Record]]]:
    generator = Generator(history.load, ids, history.settings.kafka.partitions)
    for size in history.sizes:
        first = generator.made
        yield [(first + i, r) for i, r in enumerate(generator.batch(size)) if r[1] % parts == part]


@dataclass(frozen=True, slots=True)
class Reader:
    """Makes events of generated records, through the same columns as a worker."""

    lookup: SchemaLookup
    contract: ContractRules

    def events(self, records: Sequence[tuple[int, Record]]) -> list[Event]:
        """Records decoded in columns as a worker does it, in order of arrival."""
        events = [event for topic in INPUT_TOPICS for event in self._of_topic(topic, records)]
        return sorted(events, key=lambda event: event.offset)

    def _of_topic(self, topic: str, records: Sequence[tuple[int, Record]]) -> Iterable[Event]:
        rows = [Row(arrival, 0, key, value) for arrival, (name, _, key, value) in records if name == topic]
        if not rows:
            return
        decoded = decode_chunk(
            Chunk(topic, 0, rows[0].offset, rows[-1].offset + 1, 0, rows), self.lookup, self.contract
        )
        if decoded.rejected:
            raise ValueError(f"the generator made a bad record: {decoded.rejected[0].detail}")
        for batch in decoded.batches:
            yield from events_of(batch, "prefill:0", wall_clock=False)


def _let_time_pass(profiles: dict[str, Profile], upto: int, policy: Policy) -> list[Answer]:
    """Labels that silence gives, up to the benchmark's first event."""
    decision = Decision()
    for profile in profiles.values():
        wake(profile, upto, policy, decision)
    return decision.outcome.answers


def _ask_rules(profiles: dict[str, Profile], instant: int, policy: Policy) -> None:
    """Everyone's segments, score and next turn, as they are at an instant."""
    decision = Decision()
    for profile in profiles.values():
        profile.turns = none()  # a profile without turns has all its rules asked
        tick(profile, instant, policy, decision.outcome)
    score(list(profiles.values()), decision.outcome, ScorerHistory(version("river")), policy)


def _write(history: History, profiles: Iterable[Profile]) -> int:
    client = redis_client(history.settings)
    prefix = history.settings.redis.prefix
    store = ProfileStore(client, prefix, live_generation(client, prefix))
    by_bucket: dict[int, list[ProfileWrite]] = {}
    for profile in profiles:
        saved = _saved(profile)
        for name in history.sharing(profile.customer):
            by_bucket.setdefault(bucket_of(name), []).append(structs.replace(saved, customer_id=name))
    for claim in store.claim(sorted(by_bucket), _TOKEN):
        outcome = store.commit([_commit(claim, by_bucket[claim.bucket])])
        assert outcome == ["applied"], outcome
    client.close()
    return sum(map(len, by_bucket.values()))


def _commit(claim: BucketClaim, saved: list[ProfileWrite]) -> BucketCommit:
    return BucketCommit(claim.bucket, claim.epoch, _TOKEN, claim.number, profiles=saved)


def _saved(profile: Profile) -> ProfileWrite:
    due = profile.due if profile.due < NEVER else None
    return ProfileWrite(profile.customer, 0, encode_state(profile), encode_portrait(profile), due)


def trained(examples: Iterable[TrainingExample], end: int) -> ModelSnapshot:
    """A model that has learnt these examples, all of whose labels were known at `end`."""
    curriculum = Curriculum(Learner(), Plan(partitions=1, event_clock=True))
    offset = 0
    for offset, example in enumerate(examples):
        refusal = curriculum.take(offset, example)
        assert refusal is None, refusal
    curriculum.mark(offset + 1, "0", end)
    return curriculum.snapshot(version("river"))


def publish(settings: Settings, snapshot: ModelSnapshot) -> None:
    """Put a model on `models`."""
    kafka = kafka_config(settings, "benchmark")
    registry = Registry.of(settings.registry)
    producer: Any = Producer(build_producer_config(kafka.librdkafka()))
    value = OutputCodec(registry.register()).encode_model(snapshot)
    Publisher(producer).publish([OutgoingMessage(MODELS, KEY, value, partition=0)])
    registry.close()
