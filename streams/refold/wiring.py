"""From settings to the collaborators of a replay; opened and closed here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from schemas.results import ModelSnapshot
from schemas.topics import INPUT_TOPICS
from sinks.generations import Generations
from sinks.kafka import Publisher
from sinks.profiles import ProfileStore
from streams.environment import Environment, journey_of, opened, policy_of
from streams.journey import Journey
from streams.kafka.models import ModelsReader
from streams.kafka.reader import PartitionReader
from streams.kafka.topics import Topics
from streams.meter import Meter
from streams.poison import NoMemory
from streams.refold.live import Layout
from streams.refold.parts import Parts
from streams.settings import Settings


@contextmanager
def wired(settings: Settings) -> Iterator[Parts]:
    """Every client, connected.

    Raises:
        UnreachableError: a server does not answer.
        ConfigurationError: a topic is missing, or the segments file is wrong.

    """
    policy = policy_of(settings)
    with opened(settings, "replay-topic") as environment, ExitStack() as closing:
        kafka = environment.kafka
        readers = {topic: PartitionReader.of(kafka, topic) for topic in INPUT_TOPICS}
        for reader in readers.values():
            closing.callback(reader.close)

        def journey_on(store: ProfileStore, publisher: Publisher) -> Journey:
            shadow = replace(environment, store=store, publisher=publisher, poison=NoMemory())
            return journey_of(shadow, policy, Meter())

        yield Parts(
            settings=settings,
            policy=policy,
            layout=Layout(Topics(kafka).identities(INPUT_TOPICS), settings.kafka.partitions),
            keyspace=Generations(environment.store.client, settings.redis.prefix),
            readers=readers,
            codec=environment.codec,
            publisher=environment.publisher,
            journey_on=journey_on,
            snapshots=_snapshots(environment),
        )


def _snapshots(environment: Environment) -> list[ModelSnapshot]:
    reader = ModelsReader.of(environment.kafka, environment.codec)
    try:
        return reader.read_all()
    finally:
        reader.close()
