"""The small job: a five-field event, a count and a sum per customer. It shows what a peer itself costs.

Figures that others publish, and those in our design, are of jobs like this one; a peer that reaches them here is
written well, and what it loses on the shared job is the job's.

python -m benchmarks.peers.small --bootstrap HOST:PORT --events 300000 --plan small.json
PEER_JOB=small benchmarks/peers/NAME/run small-of-run.json
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from fastavro import parse_schema, schemaless_writer

from benchmarks.peers.plan import Plan

TOPIC: Final = "peer-small"
PARTITIONS: Final = 8
CUSTOMERS: Final = 10_000
HEADER: Final = b"\x00\x00\x00\x00\x01"
SCHEMA: Final = {
    "type": "record",
    "name": "Small",
    "fields": [
        {"name": "customer_id", "type": "string"},
        {"name": "event_id", "type": "string"},
        {"name": "name", "type": "string"},
        {"name": "event_time", "type": "long"},
        {"name": "amount", "type": "long"},
    ],
}


def new_state() -> dict[str, Any]:
    """A customer nobody has seen."""
    return {"count": 0, "sum": 0}


def take(state: dict[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """Count one event."""
    state["count"] += 1
    state["sum"] += event["amount"]
    return state


def message(customer: str, state: dict[str, Any]) -> bytes:
    """What goes out."""
    return json.dumps({"customer_id": customer, **state}, separators=(",", ":")).encode()


def records(events: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each event."""
    rng, schema = random.Random(1), parse_schema(SCHEMA)
    for number in range(events):
        customer = f"customer-{rng.randrange(CUSTOMERS)}"
        event = {"customer_id": customer, "event_id": f"event-{number}", "name": "order_completed",
                 "event_time": 1_735_689_600_000 + number, "amount": rng.randrange(10_000)}  # fmt: skip
        body = BytesIO()
        schemaless_writer(body, schema, event)
        yield customer.encode(), HEADER + body.getvalue()


def fill(bootstrap: str, events: int) -> None:
    """Make the topic and write the events to it."""
    from confluent_kafka import Producer  # noqa: PLC0415  peers import this module, and not all have this client
    from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415

    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 10, "queue.buffering.max.messages": events})
    for key, value in records(events):
        producer.produce(TOPIC, value, key)
    producer.flush()


def main(arguments: list[str]) -> int:
    """Fill the topic of a broker that runs, and write the plan and, beside it, the schema."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers.small", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--plan", type=Path, required=True)
    given = parser.parse_args(arguments)
    schema = given.plan.with_name("small.avsc").resolve()
    schema.write_text(json.dumps(SCHEMA), encoding="utf-8")
    fill(given.bootstrap, given.events)
    Plan(given.bootstrap, [TOPIC], "", PARTITIONS, {TOPIC: str(schema)}, "", given.events).write(given.plan)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
