"""The load of the shared job: fills the six topics before any peer starts, and knows what must come out.

python -m benchmarks.peers.load --bootstrap HOST:PORT --events 300000 --plan plan.json
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.generator import Generator, Load, batches
from benchmarks.peers import job
from benchmarks.peers.plan import Plan
from benchmarks.sender import BATCH, Gauges, LogWriter, Sending
from schemas.codec import HEADER_BYTES, decode_body, schema_of
from schemas.topics import INPUT_TOPICS
from streams.kafka.config import kafka_config
from streams.kafka.topics import Topics, topic_specs
from streams.resources import resource
from streams.settings import Settings, load_settings

START: Final = 1_735_689_600_000  # 2025-01-01
DAYS: Final = 40
"""Of event time, whatever the number of events: every window moves, the longest too."""
MARKER_MS: Final = 86_400_000
"""As `footfall replay` does it."""
QUEUE: Final = 100_000
"""Records the producer holds before it waits."""
SCHEMA_ID: Final = 1
"""Peers skip it; where Footfall runs, the registry's ids are given instead."""


@dataclass(frozen=True, slots=True)
class Course:
    """How much of what kind."""

    events: int
    customers: int = 100_000
    zipf: float = 1.0
    seed: int = 1

    @property
    def load(self) -> Load:
        """No repetitions, refunds or cancellations: not every peer knows what to do with them. 2 % are late."""
        rate = self.events / (DAYS * 86_400)
        return Load(self.seed, self.customers, rate, START, self.zipf, duplicates=0.0, purchases=(100, 0, 0))

    @property
    def sizes(self) -> list[int]:
        """Batches that the load is made in."""
        return batches(self.events, BATCH)


def fill(course: Course, settings: Settings, schema_ids: dict[str, int]) -> None:
    """Write all records, and clock markers between them, to topics that are there."""
    writer = LogWriter(Sending(settings, course.load, schema_ids, MARKER_MS, QUEUE), Gauges())
    generator = Generator(course.load, schema_ids, settings.kafka.partitions)
    for size in course.sizes:
        first = generator.made
        writer.send(generator.batch(size), first)
        writer.flush()
    writer.mark(writer.received(generator.made - 1))
    writer.flush()


def decoded(course: Course) -> Iterator[dict[str, Any]]:
    """Every event of the load, made again, in order of arrival."""
    generator = Generator(course.load, dict.fromkeys(INPUT_TOPICS, SCHEMA_ID), partitions=1)
    schemas = {topic: schema_of(topic) for topic in INPUT_TOPICS}
    for size in course.sizes:
        for topic, _, _, value in generator.batch(size):
            yield decode_body(schemas[topic], value[HEADER_BYTES:])


def truth(course: Course) -> dict[str, job.State]:
    """The state of every customer after all events."""
    states: dict[str, job.State] = {}
    for event in decoded(course):
        customer = event["customer_id"]
        states[customer] = job.take(states.get(customer) or job.new_state(), event)
    return states


def write_model(path: Path) -> None:
    """The parameters of the peers' churn score."""
    parameters = made_up(job.FEATURES) | {"examples": 10_000}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(parameters), indent=2))


def made_up(features: Sequence[str]) -> dict[str, Any]:
    """Parameters of a churn score: only their number costs time, and any that differ would show."""
    rng, width = random.Random(1), len(features)
    return {
        "features": list(features),
        "means": [rng.uniform(0, 2) for _ in range(width)],
        "variances": [rng.uniform(0.2, 3) for _ in range(width)],
        "weights": [rng.uniform(-0.5, 0.5) for _ in range(width)],
        "intercept": -0.5,
    }


def plan_of(course: Course, settings: Settings, model: Path) -> Plan:
    """What peers are told of it."""
    schemas = {topic: str(resource(f"schemas/avro/{topic}.avsc")) for topic in INPUT_TOPICS}
    return Plan(
        settings.kafka.bootstrap, list(INPUT_TOPICS), "", settings.kafka.partitions, schemas, str(model), course.events
    )


def main(arguments: list[str]) -> int:
    """Fill the topics of a broker that runs, and write the plan of one run."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers.load", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--plan", type=Path, required=True, help="where the plan goes, and model.json beside it")
    given = parser.parse_args(arguments)
    course, settings = Course(given.events), load_settings(kafka={"bootstrap": given.bootstrap})
    topics = Topics(kafka_config(settings, "benchmark"))
    if len(topics.create(topic_specs(settings.kafka.partitions), settings.kafka.replication)) < len(INPUT_TOPICS):
        parser.error(f"{given.bootstrap} holds topics of that name already: take a broker of its own")
    fill(course, settings, dict.fromkeys(INPUT_TOPICS, SCHEMA_ID))
    model = given.plan.with_name("model.json")
    write_model(model)
    plan_of(course, settings, model).write(given.plan)
    print(f"{given.events:,} events are in the topics; the plan is {given.plan}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
