"""What a part of the work costs by itself: reading and decoding alone, storing alone. Limits, not contestants.

    python -m benchmarks.peers.limits consume-fastavro --events 300000 --seconds 40 --result result.json

The program does one of them on the broker, the registry and the Redis that the settings name.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from benchmarks import bare_loop
from benchmarks.bare_loop import BareLoop
from benchmarks.generator import customer_name
from benchmarks.measure import cpu_seconds
from benchmarks.peers import job
from benchmarks.peers.contestants import pids_of
from benchmarks.peers.plan import Plan
from benchmarks.peers.runs import LOOK_SECONDS, PATIENCE, Result
from benchmarks.peers.tree import Cost
from schemas.partitioning import bucket_of
from sinks.keys import bucket_keys
from sinks.redis_calls import transaction
from streams.clients import redis_client
from streams.effects import PROFILES_A_TRANSACTION
from streams.embedded.child import Child, Launch
from streams.embedded.ports import choose_port
from streams.embedded.redis import RedisServer
from streams.environment import contract_of
from streams.kafka.registry import Registry
from streams.provenance import to_environment
from streams.settings import Settings, load_settings

STATE_BYTES: Final = 1_400
TRAITS_BYTES: Final = 2_200
"""Of a busy customer: docs/architecture.md."""
_CUSTOMERS: Final = 100_000
_VALUES: Final = 512
"""Different values that are written in turns."""


def consume_fastavro(settings: Settings, events: int, seconds: float) -> BareLoop:
    """confluent-kafka `consume`, and fastavro record by record."""
    return bare_loop.run(settings.kafka, events, bare_loop.by_row, seconds)


def consume_columnar(settings: Settings, events: int, seconds: float) -> BareLoop:
    """The same records decoded to columns, as the worker does it."""
    with closing(Registry.of(settings.registry)) as registry:
        decode = bare_loop.by_column(registry.lookup, contract_of(settings))
        return bare_loop.run(settings.kafka, events, decode, seconds)


def redis_write(settings: Settings, events: int, seconds: float) -> BareLoop:
    """State and traits of one profile an event, as many to a transaction as the worker sends, and nothing else."""
    client, prefix, rng = redis_client(settings), settings.redis.prefix, random.Random(1)
    values = [(rng.randbytes(STATE_BYTES), rng.randbytes(TRAITS_BYTES)) for _ in range(_VALUES)]
    names = [customer_name(number) for number in range(min(events, _CUSTOMERS))]
    keys = [bucket_keys(prefix, 1, bucket_of(name)).profile_of(name) for name in names]
    written, began, cpu = 0, time.monotonic(), time.process_time()
    while written < events and time.monotonic() - began < seconds:
        places = range(written, min(events, written + PROFILES_A_TRANSACTION))
        transaction(client, [_hset(keys[place % len(keys)], *values[place % _VALUES], place) for place in places])
        written = places.stop
    done = BareLoop(written, time.monotonic() - began, time.process_time() - cpu)
    client.close()
    return done


def _hset(key: bytes, state: bytes, traits: bytes, version: int) -> tuple[str | bytes | int, ...]:
    return ("HSET", key, "state", state, "traits", traits, "version", version)


LIMITS: Final[Mapping[str, Callable[[Settings, int, float], BareLoop]]] = {
    "consume-fastavro": consume_fastavro,
    "consume-columnar": consume_columnar,
    "redis-write": redis_write,
}


@dataclass(slots=True)
class Limit:
    """One of them, run as a program of its own on the topics of the contestants."""

    name: str
    settings: Settings

    def run(self, plan: Plan, home: Path, most: float) -> Result:
        """Once, or for `most` seconds. Raises RuntimeError, with its log, when it fails."""
        with RedisServer(choose_port(), home / "redis", home / "redis.log") as redis:
            told = self.settings.redis.model_copy(update={"url": SecretStr(redis.url)})
            environment = to_environment(self.settings.model_copy(update={"redis": told}))
            argv = ("-P", "-m", __name__, self.name, "--events", str(plan.events),
                    "--seconds", str(most), "--result", str(home / "result.json"))  # fmt: skip
            program = Child(Launch(self.name, (sys.executable, *argv), home / "log", environment))
            cost = Cost(lambda: pids_of(program, redis))
            _see_through(program, cost)
            done = BareLoop(*json.loads((home / "result.json").read_text(encoding="utf-8")))
            cpu = done.cpu_seconds + cpu_seconds(redis.pid or 0)
        return Result(done.events, done.seconds, cpu, cost.peak_mib, whole=False)

    def differing(self, _states: Mapping[str, job.State]) -> list[str]:
        """It computes nothing that could be compared."""
        return []


def _see_through(program: Child, cost: Cost) -> None:
    """Start it and wait for its end. Raises RuntimeError where that is not a good one."""
    program.start()
    deadline = time.monotonic() + PATIENCE
    try:
        while not program.wait(LOOK_SECONDS) and time.monotonic() < deadline:
            cost.look()
    finally:
        program.stop()
    if program.returncode != 0:
        raise RuntimeError(program.describe_death())


def main(arguments: list[str]) -> int:
    """Do it, and write what it took."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers.limits", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("limit", choices=LIMITS)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=inf, help="the most it may take")
    parser.add_argument("--result", type=Path, required=True)
    given = parser.parse_args(arguments)
    done = LIMITS[given.limit](load_settings(), given.events, given.seconds)
    given.result.write_text(json.dumps(done), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
