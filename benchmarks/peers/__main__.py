"""The contest: every contestant does the shared job in turns, round after round, on one broker.

    python -m benchmarks.peers [--events 300000] [--rounds 5] [--broker kafka] [--only faust,quix]

Each run reads the same topics from the beginning, and its last words about each customer must equal the recount.
Exit code 1 where one differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers import table
from benchmarks.peers.contestants import Contestant, Footfall, Peer
from benchmarks.peers.load import Course, fill, plan_of, truth, write_model
from benchmarks.throughput import say
from streams.embedded.broker import Broker
from streams.embedded.ports import HOST, choose_port
from streams.embedded.registry import Registry
from streams.embedded.topics import make_topics
from streams.registration import register_schemas
from streams.settings import EMBEDDED_KAFKA, Settings, load_settings
from tests.chaos.brokers import ControlledKafka

RESULTS: Final = Path(__file__).parent.parent / "results" / "peers.json"
PEERS: Final = ("kafka_streams", "quix", "bytewax", "pyflink", "faust")
OURS: Final = "footfall"
NO_SEGMENTS: Final = "groups: []\nsegments: []\n"


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    events: int
    rounds: int
    customers: int
    zipf: float
    broker: str
    only: str
    results: Path


def contest(options: Options, root: Path, settings: Settings) -> tuple[list[table.Row], int]:
    """All rounds; the rows, and how much differed."""
    course = Course(options.events, options.customers, options.zipf)
    model = root / "model.json"
    write_model(model)
    make_topics(settings)
    say(f"filling the topics with {options.events:,} events of {options.customers:,} customers, and counting them")
    fill(course, settings, register_schemas(settings))
    states, plan = truth(course), plan_of(course, settings, model)
    contestants = _contestants(options, settings, list(states), root)
    rows = {one.name: table.Row(one.name) for one in contestants}
    wrong = 0
    for number in range(1, options.rounds + 1):
        for one in contestants:
            home = root / f"{one.name}-{number}"
            home.mkdir()
            run = plan.of_run(f"{one.name}-{number}", home / "state")
            result = one.run(run, home)
            found = one.differing(states)
            wrong += len(found)
            rows[one.name].runs.append(result)
            say(f"round {number} of {options.rounds}: {one.name} {result.rate:,.0f} events/s, {len(found)} differences")
            print("\n".join(f"  {line}" for line in found[:5]), end="\n" if found else "")
    return list(rows.values()), wrong


def _contestants(options: Options, settings: Settings, customers: list[str], root: Path) -> list[Contestant]:
    nothing = root / "no-segments.yaml"
    nothing.write_text(NO_SEGMENTS, encoding="utf-8")
    ours = [Footfall(OURS, settings, customers, nothing), Footfall(f"{OURS}-full", settings, customers)]
    everybody: list[Contestant] = [*ours, *map(Peer, PEERS)]
    chosen = options.only.split(",") if options.only else [one.name for one in everybody]
    return [one for one in everybody if one.name in chosen and _built(one)]


def _built(one: Contestant) -> bool:
    """Make what it needs; who lacks a compiler or a JVM here is left out, and said to be."""
    say(f"building {one.name}")
    try:
        one.build()
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"LEFT OUT: {one.name} cannot be built here ({error})")
        return False
    return True


@contextmanager
def broker(kind: str, root: Path) -> Iterator[Settings]:
    """A broker and a registry, running; the settings that name them."""
    with Registry(choose_port(), root / "registry.json", root / "registry.log") as registry:
        urls = {"registry": {"url": f"http://{HOST}:{registry.launch.port}"}, "clock": "event"}
        if kind == "kafka":
            kafka = ControlledKafka(root / "kafka", 1)
            kafka.start()
            try:
                yield load_settings(kafka={"bootstrap": kafka.bootstrap}, **urls)
            finally:
                kafka.stop()
        else:
            port = choose_port()
            with Broker(port, root / "kafka.log"):
                yield load_settings(kafka={**EMBEDDED_KAFKA, "bootstrap": f"{HOST}:{port}"}, **urls)


def main(arguments: Sequence[str]) -> int:
    """Run, print the table, write the results; the exit code."""
    options = parsed(arguments)
    with tempfile.TemporaryDirectory(prefix="footfall-peers-") as folder, broker(options.broker, Path(folder)) as told:
        rows, wrong = contest(options, Path(folder), told)
    where = "Apache Kafka" if options.broker == "kafka" else "the embedded broker"
    print(f"\nThe shared job on {where}: medians of {options.rounds} rounds, {table.machine()}")
    print(table.table(rows, OURS))
    about = {"events": options.events, "customers": options.customers, "zipf": options.zipf, "broker": options.broker}
    table.write(rows, options.results, about)
    say(f"written to {options.results}; differences {wrong}")
    return 1 if wrong else 0


def parsed(arguments: Sequence[str]) -> Options:
    """The command line as options."""
    real = "kafka" if os.environ.get("KAFKA_CONTROL") else "embedded"
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=300_000, help="that each run takes in (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turns (%(default)s)")
    parser.add_argument("--customers", type=int, default=100_000, help="how many there are (%(default)s)")
    parser.add_argument("--zipf", type=float, default=1.0, help="exponent of their activity; 0: uniform (%(default)s)")
    named = "kafka: a real one, started by the command that KAFKA_CONTROL names (%(default)s)"
    parser.add_argument("--broker", choices=("kafka", "embedded"), default=real, help=named)
    parser.add_argument("--only", default="", help=f"some of {OURS}, {', '.join(PEERS)}, separated by commas")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go (%(default)s)")
    return Options(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
