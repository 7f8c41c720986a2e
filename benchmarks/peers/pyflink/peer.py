"""The shared job on PyFlink: python -m benchmarks.peers.pyflink.peer plan.json, until SIGTERM.

Table connectors at both ends, since PyFlink's DataStream connectors tell neither a record's topic nor take a key from
an element; the DataStream API with keyed state between them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final

from pyflink.common import Configuration, Types
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from benchmarks.peers.plan import Plan
from benchmarks.peers.pyflink.functions import OUTPUT, Profile

_JARS: Final = Path(__file__).parent / ".env" / "jars"
_POLL_SECONDS: Final = 1.0
_ENDED: Final = frozenset({"FAILED", "CANCELED", "FINISHED"})

SETTINGS: Final = {
    "parallelism.default": "1",
    "execution.checkpointing.interval": "10 s",
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "3",
    "state.backend.type": "hashmap",
    "python.execution-mode": "thread",
    "python.fn-execution.bundle.size": "10000",
    "python.fn-execution.bundle.time": "100",
    "python.state.cache.size": "100000",
    "pipeline.object-reuse": "true",
    "taskmanager.memory.managed.size": "512m",
}
"""See README.md for why each."""


def settings(plan: Plan) -> Configuration:
    """All of it; PEER_FLINK="key=value ..." overrides, to measure one against another."""
    values = SETTINGS | {
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "pipeline.jars": ";".join(jar.as_uri() for jar in _JARS.glob("*.jar")),
        "execution.checkpointing.dir": (Path(plan.state_dir) / "checkpoints").as_uri(),
        "io.tmp.dirs": plan.state_dir,
    }
    values |= dict(pair.split("=", 1) for pair in os.environ.get("PEER_FLINK", "").split())
    configuration = Configuration()
    for key, value in values.items():
        configuration.set_string(key, value)
    return configuration


def source(plan: Plan) -> str:
    """The six topics as one table, clock markers too: their body is NULL."""
    return f"""CREATE TABLE events (
        customer STRING, topic STRING METADATA VIRTUAL, body BYTES
    ) WITH (
        'connector' = 'kafka', 'topic' = '{";".join(plan.inputs)}',
        'properties.bootstrap.servers' = '{plan.bootstrap}', 'properties.group.id' = '{plan.group}',
        'scan.startup.mode' = 'earliest-offset',
        'key.format' = 'raw', 'key.fields' = 'customer',
        'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY'
    )"""


def sink(plan: Plan) -> str:
    """The output topic as a table."""
    return f"""CREATE TABLE profiles (customer STRING, body BYTES) WITH (
        'connector' = 'kafka', 'topic' = '{plan.output}',
        'properties.bootstrap.servers' = '{plan.bootstrap}',
        'properties.compression.type' = 'lz4', 'properties.linger.ms' = '20', 'properties.batch.size' = '262144',
        'sink.delivery-guarantee' = 'at-least-once',
        'key.format' = 'raw', 'key.fields' = 'customer',
        'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY'
    )"""


def start(plan: Plan) -> Any:
    """Submit the job to a Flink inside this process's JVM; its client."""
    tables = StreamTableEnvironment.create(StreamExecutionEnvironment.get_execution_environment(settings(plan)))
    tables.execute_sql(source(plan))
    tables.execute_sql(sink(plan))
    events = tables.to_data_stream(tables.sql_query("SELECT customer, topic, body FROM events WHERE body IS NOT NULL"))
    keyed = events.key_by(lambda row: row[0], key_type=Types.STRING())
    profiles = keyed.process(Profile(plan), output_type=OUTPUT)
    return tables.from_data_stream(profiles).execute_insert("profiles").get_job_client()


def main(path: str) -> int:
    """Run until told to stop: 0; 1 when the job ended by itself, for it has no end."""
    client = start(Plan.read(Path(path)))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.wait(_POLL_SECONDS):
        state = client.get_job_status().result().name
        if state in _ENDED:
            print(f"the job is {state}", file=sys.stderr)
            return 1
    client.cancel().result()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
