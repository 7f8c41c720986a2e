"""The composition root: settings in, every client and collaborator out, opened and closed here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.metadata import version

from confluent_kafka import Producer

from processors.calendar import DAY, calendar_of
from processors.dimensions import Thresholds
from processors.fold import Policy
from processors.scoring import ScorerHistory
from schemas.codec import OutputCodec
from schemas.topics import INPUT_TOPICS
from schemas.validation import ContractRules
from sinks.installation import check_server, dedup_key, join_installation, live_generation
from sinks.kafka import Publisher, build_producer_config
from sinks.poison import PoisonCounts
from sinks.profiles import ProfileStore
from streams.clients import connected_redis
from streams.dedupe import Deduper
from streams.effects import Effects
from streams.journey import Journey, Stages, Terms
from streams.kafka.config import KafkaConfig, kafka_config
from streams.kafka.registry import Registry
from streams.kafka.topics import Topics, topic_specs
from streams.loading import Loader
from streams.meter import Meter
from streams.ownership import Profiles
from streams.poison import NoMemory, PoisonLimits, PoisonMemory
from streams.segments_file import rule_set
from streams.settings import Settings
from streams.ticking import Ticker


@dataclass(frozen=True, slots=True)
class Environment:
    """The clients of one process role."""

    settings: Settings
    kafka: KafkaConfig
    store: ProfileStore
    publisher: Publisher
    registry: Registry
    codec: OutputCodec
    dedup_key: bytes
    poison: PoisonMemory = field(default_factory=NoMemory)


@contextmanager
def opened(settings: Settings, role: str) -> Iterator[Environment]:
    """Every client, checked and ready; closed in reverse.

    Raises:
        UnreachableError: a server does not answer; the message names it and its setting.
        ConfigurationError: a topic is missing, or a server is set up in a way that would lose data.

    """
    with ExitStack() as closing:
        kafka = kafka_config(settings, role)
        registry = Registry.of(settings.registry)
        closing.callback(registry.close)
        Topics(kafka).check(topic_specs(settings.kafka.partitions))
        client = connected_redis(settings, timeout=30.0)
        closing.callback(client.close)
        check_server(client)
        prefix = settings.redis.prefix
        join_installation(client, prefix, settings.installation)
        publisher = Publisher(Producer(build_producer_config(kafka.librdkafka())))
        codec = OutputCodec(registry.register(), registry.lookup)
        store = ProfileStore(client, prefix, live_generation(client, prefix))
        poison = PoisonCounts(client, prefix)
        yield Environment(settings, kafka, store, publisher, registry, codec, dedup_key(client, prefix), poison)


def policy_of(settings: Settings) -> Policy:
    """What decisions depend on, from the settings."""
    return Policy(
        rules=rule_set(settings),
        calendar=calendar_of(settings.timezone),
        limits=thresholds_of(settings),
        horizon=settings.churn.horizon_days * DAY,
        churn_by_order=settings.churn.by == "order",
        refresh=settings.clock == "wall",
    )


def thresholds_of(settings: Settings) -> Thresholds:
    """Where labels change, from the settings."""
    bounds = settings.boundaries
    return Thresholds(
        recency_days=bounds.recency_days,
        frequency=bounds.frequency,
        monetary=bounds.monetary,
        active_days=bounds.active_days,
        dormant_days=bounds.dormant_days,
        prior_gap=settings.churn.prior_gap_days * DAY,
    )


def contract_of(settings: Settings) -> ContractRules:
    """How records are read and judged, from the settings."""
    return ContractRules(
        base_currency=settings.base_currency,
        rates={currency: Fraction(rate) for currency, rate in settings.rates.items()},
        columnar=settings.batch.columnar,
        clamp_to_append=settings.clock == "wall",
    )


def limits_of(settings: Settings) -> PoisonLimits:
    """How much bad input is borne, from the settings."""
    return PoisonLimits(settings.poison.in_a_row, settings.poison.share)


def journey_of(environment: Environment, policy: Policy, meter: Meter) -> Journey:
    """The journey with everything it needs."""
    settings = environment.settings
    profiles = Profiles(settings.batch.profiles_mib << 20)
    loader = Loader(environment.store, profiles, policy, settings.kafka.partitions)
    terms = Terms(
        policy=policy,
        contract=contract_of(settings),
        lookup=environment.registry.lookup,
        codec=environment.codec,
        topic_ids=Topics(environment.kafka).identities(INPUT_TOPICS),
        partitions=settings.kafka.partitions,
        wall_clock=settings.clock == "wall",
        poison=limits_of(settings),
    )
    stages = Stages(
        loader=loader,
        deduper=Deduper(environment.store, environment.dedup_key),
        effects=Effects(environment.store, environment.publisher, environment.codec),
        ticker=Ticker(environment.store, profiles, loader, policy),
        scorers=ScorerHistory(version("river")),
        profiles=profiles,
        meter=meter,
        poison=environment.poison,
    )
    journey = Journey(terms, stages)
    journey.recall()
    return journey
