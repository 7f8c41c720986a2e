"""The contest: every contestant does the shared job in turns, round after round, on one broker.

    python -m benchmarks.peers [--events 300000] [--rounds 5] [--broker kafka] [--only faust,quix]

Each run reads the same topics from the beginning. The first of each goes to the end, and its last words about each
customer must equal the recount; later ones are cut off after --seconds. Then each is sent live events at a pace, and
its latency is taken. Exit code 1 where one differs or fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException

from benchmarks.peers import job, latency, table
from benchmarks.peers.contestants import Contestant, Peer, forget
from benchmarks.peers.load import START, Course, fill, plan_of, truth, write_model
from benchmarks.peers.ours import EACH, Footfall, publish_model
from benchmarks.peers.plan import Plan
from benchmarks.peers.runs import PATIENCE
from benchmarks.throughput import say
from schemas.errors import FootfallError
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
NAMES: Final = (OURS, f"{OURS}-full", f"{OURS}-each", *PEERS)
FAILURES: Final = (RuntimeError, TimeoutError, ValueError, FootfallError, KafkaException)
"""What a contestant's run ends with that others need not suffer from."""
NO_SEGMENTS: Final = "groups: []\nsegments: []\n"


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    events: int
    rounds: int
    seconds: float
    customers: int
    zipf: float
    broker: str
    only: str
    latency_seconds: float
    latency_rate: int
    results: Path


def contest(options: Options, root: Path, settings: Settings) -> list[table.Row]:
    """All rounds; a row for each contestant. Results are written after every round."""
    course = Course(options.events, options.customers, options.zipf)
    model = root / "model.json"
    write_model(model)
    make_topics(settings)
    say(f"filling the topics with {options.events:,} events of {options.customers:,} customers, and counting them")
    fill(course, settings, register_schemas(settings))
    states, plan = truth(course), plan_of(course, settings, model)
    contestants = _contestants(options, settings, list(states), root)
    publish_model(settings, START)
    rows = {one.name: table.Row(one.name) for one in contestants}
    for number in range(1, options.rounds + 1):
        for one in [one for one in contestants if not rows[one.name].failure]:
            row, name = rows[one.name], f"{one.name}-{number}"
            _turn(one, row, plan.of_run(name, _new(root / name)), states, options.seconds)
            say(f"round {number} of {options.rounds}: {row.last()}")
        table.write(list(rows.values()), options.results, _about(options))
    if options.latency_seconds:
        stage = latency.Stage(settings, course.load, options.latency_seconds, options.latency_rate)
        for one in [one for one in contestants if not rows[one.name].failure]:
            _delay(one, rows[one.name], plan.of_run(f"{one.name}-latency", _new(root / f"{one.name}-latency")), stage)
            table.write(list(rows.values()), options.results, _about(options))
    return list(rows.values())


def _new(home: Path) -> Path:
    """The folder for state in that of a run, both made."""
    (home / "state").mkdir(parents=True)
    return home / "state"


def _turn(one: Contestant, row: table.Row, run: Plan, states: Mapping[str, job.State], seconds: float) -> None:
    """One run; the first goes to the end and is compared, later ones may be cut off."""
    try:
        result = one.run(run, Path(run.state_dir).parent, seconds if row.runs else PATIENCE)
        found = one.differing(states) if result.whole else []
        forget(run)
    except FAILURES as error:
        row.failure = str(error)
        return
    row.runs.append(result)
    row.compared += result.whole
    row.differences += len(found)
    print("\n".join(f"  {line}" for line in found[:5]), end="\n" if found else "")


def _delay(one: Contestant, row: table.Row, run: Plan, stage: latency.Stage) -> None:
    """The latency of one, at the stage's pace."""
    try:
        row.delays = latency.measured(one, run, Path(run.state_dir).parent, stage)
        forget(run)
    except FAILURES as error:
        row.failure = str(error)
    say(f"latency: {row.name} {row.failure or f'p50 {row.delay(0.5)} ms, p99 {row.delay(0.99)} ms'}")


def _about(options: Options) -> dict[str, object]:
    return {"events": options.events, "customers": options.customers, "zipf": options.zipf, "broker": options.broker}


def _contestants(options: Options, settings: Settings, customers: list[str], root: Path) -> list[Contestant]:
    nothing = root / "no-segments.yaml"
    nothing.write_text(NO_SEGMENTS, encoding="utf-8")
    ours = [
        Footfall(OURS, settings, customers, nothing),
        Footfall(f"{OURS}-full", settings, customers),
        Footfall(f"{OURS}-each", settings, customers, nothing, EACH),
    ]
    everybody: list[Contestant] = [*ours, *map(Peer, PEERS)]
    chosen = options.only.split(",") if options.only else [one.name for one in everybody]
    return [one for one in everybody if one.name in chosen and _built(one)]


def _built(one: Contestant) -> bool:
    """Make what it needs; who lacks a compiler or a JVM here is left out, and said to be."""
    say(f"building {one.name}")
    try:
        one.build()
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"LEFT OUT: {one.name} cannot be built here ({error}); its README names what it needs")
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
        rows = contest(options, Path(folder), told)
    where = "Apache Kafka" if options.broker == "kafka" else "the embedded broker"
    print(f"\nThe shared job on {where}: medians of {options.rounds} rounds, {table.machine()}")
    print(table.table(rows, OURS))
    wrong = sum(row.differences for row in rows)
    say(f"written to {options.results}; differences {wrong}")
    return 1 if wrong or any(row.failure for row in rows) else 0


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
    parser.add_argument("--seconds", type=float, default=40.0,
                        help="a run after the first is cut off so long after its warm-up (%(default)s)")  # fmt: skip
    parser.add_argument("--latency-seconds", type=float, default=15.0,
                        help="of latency after its warm-up, of each; 0: none (%(default)s)")  # fmt: skip
    parser.add_argument("--latency-rate", type=int, default=latency.RATE, help="events/s meanwhile (%(default)s)")
    parser.add_argument("--only", default="", help=f"some of {', '.join(NAMES)}, separated by commas")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go (%(default)s)")
    options = Options(**vars(parser.parse_args(arguments)))
    unknown = set(filter(None, options.only.split(","))) - {*NAMES}
    if unknown or options.rounds < 1 or options.events < 1:
        parser.error(f"--only takes {', '.join(NAMES)}; --rounds and --events at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
