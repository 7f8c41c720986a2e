"""The contest: every contestant does the shared job in turns, round after round, on one broker.

    python -m benchmarks.peers [--events 300000] [--rounds 5] [--broker kafka] [--only faust,quix]

Each run reads the same topics from the beginning. The first of each goes to the end, and its last words about each
customer must equal the recount; later ones are cut off after --seconds. Then each is sent live events at a pace, and
its latency is taken. In every round run the limits too: reading and decoding alone, storing alone. Exit code 1 where
one differs or fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.peers import latency, table
from benchmarks.peers.contest import NAMES, OURS, Options, contest
from benchmarks.throughput import say
from streams.embedded.broker import Broker
from streams.embedded.ports import HOST, choose_port
from streams.embedded.registry import Registry
from streams.settings import EMBEDDED_KAFKA, Settings, load_settings
from tests.chaos.brokers import ControlledKafka

RESULTS: Final = Path(__file__).parent.parent / "results" / "peers.json"


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
