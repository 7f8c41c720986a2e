"""The shared job on Bytewax: six topics in one source, keyed, snapshots of the states in SQLite."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any, Final

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.inputs import StatefulSourcePartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from benchmarks.peers.plan import Plan
from benchmarks.peers.work import Work, work_of

BATCH: Final = 200
"""Records of a poll. All partitions are polled before a state moves: more of them only wait longer."""
EPOCH: Final = timedelta(seconds=10)
"""Between two snapshots, Bytewax's default."""
PRODUCER: Final = {"compression.type": "lz4"}


class Profile(op.StatefulBatchLogic):
    """One customer. `op.stateful_map` does the same with three more calls per event, and deep copies per snapshot."""

    __slots__ = ("_state", "_work")

    def __init__(self, work: Work, saved: bytes | None) -> None:
        self._work = work
        self._state = orjson.loads(saved) if saved else work.new_state()

    def on_batch(self, values: list[Any]) -> tuple[list[KafkaSinkMessage], bool]:
        """A message for each event."""
        return [self._one(event) for event in values], self.RETAIN

    def _one(self, event: dict[str, Any]) -> KafkaSinkMessage:
        customer = event["customer_id"]
        self._state = self._work.take(self._state, event)
        return KafkaSinkMessage(customer.encode(), self._work.message(customer, self._state))

    def snapshot(self) -> bytes:
        """The state as it is now, in a form that no later event changes."""
        return orjson.dumps(self._state)


class Topics(KafkaSource):
    """Topics that end when the process is told to. Bytewax has no orderly end else, and dies inside a step."""

    def __init__(self, brokers: list[str], topics: list[str], told: Event) -> None:
        super().__init__(brokers, topics, batch_size=BATCH)
        self._told = told

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> StatefulSourcePartition:
        return Ending(super().build_part(step_id, for_part, resume_state), self._told)


class Ending(StatefulSourcePartition):
    """A partition of such a topic."""

    def __init__(self, partition: StatefulSourcePartition, told: Event) -> None:
        self._partition = partition
        self._told = told

    def next_batch(self) -> list[Any]:
        if self._told.is_set():
            raise StopIteration
        batch: list[Any] = self._partition.next_batch()
        return batch

    def snapshot(self) -> int | None:
        offset: int | None = self._partition.snapshot()
        return offset

    def close(self) -> None:
        self._partition.close()


def flow_of(plan: Plan, work: Work, told: Event) -> Dataflow:
    """The dataflow of a plan."""
    brokers, flow = [plan.bootstrap], Dataflow(plan.group)
    records = op.input("topics", flow, Topics(brokers, plan.inputs, told))
    events = op.filter_map("decode", records, keyed(work))
    messages = op.stateful_batch("profile", events, lambda saved: Profile(work, saved))
    op.output("profiles", op.map("unkeyed", messages, lambda pair: pair[1]), KafkaSink(brokers, plan.output, PRODUCER))
    return flow


def keyed(work: Work) -> Callable[[Any], tuple[str, dict[str, Any]] | None]:
    """The step from a record to customer and event; nothing comes of a clock marker."""

    def decode(record: Any) -> tuple[str, dict[str, Any]] | None:
        if record.value is None:
            return None
        event = work.decode(record.topic, record.value)
        return event["customer_id"], event

    return decode


def main(path: str) -> int:
    """Run until SIGTERM."""
    plan, told = Plan.read(Path(path)), Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    state_dir = Path(plan.state_dir)
    if not any(state_dir.iterdir()):
        init_db_dir(state_dir, 1)
    cli_main(flow_of(plan, work_of(plan), told), epoch_interval=EPOCH, recovery_config=RecoveryConfig(state_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
