"""Whether a peer did the job: its last message of each customer against the recount.

python -m benchmarks.peers.verdict plan.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.peers import job
from benchmarks.peers.load import Course, truth
from benchmarks.peers.plan import Plan

_PATIENCE = 10.0
_FIELDS = ("as_of", "first_seen", "last_seen", "last_order", "orders", "revenue")


def output_of(plan: Plan) -> Iterator[bytes]:
    """Every committed message of the output topic, those of a partition in order."""
    consumer: Any = Consumer(
        {"bootstrap.servers": plan.bootstrap, "group.id": "peer-verdict", "enable.auto.commit": False,
         "isolation.level": "read_committed", "enable.partition.eof": True, "log_level": 3}
    )  # fmt: skip
    partitions = consumer.list_topics(plan.output, timeout=_PATIENCE).topics[plan.output].partitions
    consumer.assign([TopicPartition(plan.output, number, 0) for number in partitions])
    at_end: set[int] = set()
    while len(at_end) < len(partitions):
        messages = consumer.consume(10_000, _PATIENCE)
        if not messages:
            raise TimeoutError(f"{plan.output} gave nothing for {_PATIENCE:.0f} s before its end")
        for message in messages:
            if message.error() is not None:
                at_end.add(message.partition())
            else:
                yield message.value()
    consumer.close()


def differences(plan: Plan, states: Mapping[str, job.State]) -> list[str]:
    """What differs, a line each; empty where the job is done."""
    parameters = json.loads(Path(plan.model).read_text(encoding="utf-8"))
    last: dict[str, dict[str, Any]] = {}
    count = 0
    for value in output_of(plan):
        said = json.loads(value)
        last[said["customer_id"]] = said
        count += 1
    found = [] if count == plan.events else [f"{count:,} messages came out of {plan.events:,} events"]
    found += [f"{customer}: no message" for customer in states.keys() - last.keys()]
    for customer in states.keys() & last.keys():
        found += _differing(customer, states[customer], last[customer], parameters)
    return found


def _differing(
    customer: str, state: job.State, said: Mapping[str, Any], parameters: Mapping[str, Any]
) -> Iterator[str]:
    sums = job.totals(state, state["as_of"])
    wanted = {name: state[name] for name in _FIELDS} | {"windows": sums}
    for name, value in wanted.items():
        if said.get(name) != value:
            yield f"{customer}: {name} is {said.get(name)}, recounted {value}"
    churn = job.probability(parameters, job.features(state, sums))
    if abs(said.get("churn", -1.0) - churn) > 2e-6:
        yield f"{customer}: churn is {said.get('churn')}, recounted {churn:.6f}"


def main(path: str) -> int:
    """Compare the run of a plan; the exit code."""
    plan = Plan.read(Path(path))
    found = differences(plan, truth(Course(plan.events)))
    print("\n".join(found[:20]))
    print(f"differences {len(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
