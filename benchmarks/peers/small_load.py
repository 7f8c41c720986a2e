"""The load of the small job (small.py), by Zipf's law as the shared one's, and whether a peer did it.

python -m benchmarks.peers.small_load fill --bootstrap HOST:PORT --events 1000000 --plan small.json
python -m benchmarks.peers.small_load check plan-of-run.json
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import fastavro
from confluent_kafka import Producer

from benchmarks.peers.plan import Plan
from benchmarks.peers.verdict import output_of
from schemas.errors import ConfigurationError
from streams.kafka.config import KafkaConfig
from streams.kafka.topics import Topics, TopicSpec

TOPIC: Final = "small"
PARTITIONS: Final = 8
CUSTOMERS: Final = 100_000
SCHEMA: Final = Path(__file__).with_name("small.avsc")
_START: Final = 1_735_689_600_000
_QUEUE: Final = 100_000
_NAMES: Final = ("page_viewed", "product_viewed", "product_added", "order_completed")


def events(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Zipf's law, as in the shared job's load."""
    rng = random.Random(seed)
    weights = list(accumulate(1 / rank for rank in range(1, CUSTOMERS + 1)))
    for number, customer in enumerate(rng.choices(range(CUSTOMERS), cum_weights=weights, k=count)):
        yield {
            "event_time": _START + number,
            "event_id": f"{rng.getrandbits(128):032x}",
            "customer_id": f"u{customer:07}",
            "name": rng.choice(_NAMES),
            "amount": rng.randrange(10_000),
        }


def filled(bootstrap: str, count: int) -> Plan:
    """Make the topic and write all events to it; what a peer is told of it."""
    if not Topics(KafkaConfig(bootstrap)).create([TopicSpec(TOPIC, PARTITIONS)], 1):
        raise ConfigurationError(f"{bootstrap} holds a topic {TOPIC!r} already: take a broker of its own")
    producer: Any = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "compression.type": "lz4"})
    schema: Any = fastavro.parse_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))
    for number, event in enumerate(events(count), 1):
        value = io.BytesIO(b"\x00\x00\x00\x00\x01")
        value.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(value, schema, event)
        producer.produce(TOPIC, value.getvalue(), event["customer_id"])
        if number % _QUEUE == 0:
            producer.flush()
    producer.flush()
    return Plan(bootstrap, [TOPIC], "", PARTITIONS, {TOPIC: str(SCHEMA)}, "", count)


def differences(plan: Plan) -> list[str]:
    """What a run's output differs in from a recount."""
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for event in events(plan.events):
        counts[event["customer_id"]] += 1
        sums[event["customer_id"]] += event["amount"]
    messages = [json.loads(value) for value in output_of(plan)]
    last = {said["customer_id"]: (said["count"], said["sum"]) for said in messages}
    found = [] if len(messages) == plan.events else [f"{len(messages):,} messages came out of {plan.events:,} events"]
    return found + [name for name in counts if last.get(name) != (counts[name], sums[name])]


def main(arguments: list[str]) -> int:
    """Fill, or check."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.peers.small_load", description=(__doc__ or "").split("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    filling = commands.add_parser("fill")
    filling.add_argument("--bootstrap", required=True)
    filling.add_argument("--events", type=int, default=1_000_000)
    filling.add_argument("--plan", type=Path, required=True)
    commands.add_parser("check").add_argument("plan", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "fill":
        filled(given.bootstrap, given.events).write(given.plan)
        return 0
    found = differences(Plan.read(given.plan))
    print("\n".join(found[:20]))
    print(f"differences {len(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
