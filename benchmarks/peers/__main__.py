"""The contest: every contestant does the shared job in turns, round after round, on one broker, or on two in turn.

    python -m benchmarks.peers [--events 300000] [--rounds 5] [--broker both] [--only faust,quix]

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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.peers import latency, table
from benchmarks.peers.brokers import BROKERS, EMBEDDED, KAFKA, broker
from benchmarks.peers.contest import NAMES, OURS, Options, contest
from benchmarks.throughput import say
from tests.chaos.brokers import VARIABLE

RESULTS: Final = Path(__file__).parent.parent / "results" / "peers.json"
BOTH: Final = "both"


def main(arguments: Sequence[str]) -> int:
    """The contest on each broker that is wanted, one after the other; the exit code."""
    options = parsed(arguments)
    kinds = BROKERS if options.broker == BOTH else (options.broker,)
    return max([_held(replace(options, broker=kind, results=_results(options.results, kind))) for kind in kinds])


def _held(options: Options) -> int:
    """Run on one broker, print the table, write the results; the exit code."""
    with tempfile.TemporaryDirectory(prefix="footfall-peers-") as folder, broker(options.broker, Path(folder)) as told:
        rows = contest(options, Path(folder), told)
    where = "Apache Kafka" if options.broker == KAFKA else "the embedded broker"
    print(f"\nThe shared job on {where}: medians of {options.rounds} rounds, {table.machine()}")
    print(table.table(rows, OURS))
    wrong = sum(row.differences for row in rows)
    say(f"written to {options.results}; differences {wrong}")
    return 1 if wrong or any(row.failure for row in rows) else 0


def _results(path: Path, kind: str) -> Path:
    """Of the embedded broker a file of its own, beside that of the real one."""
    return path if kind == KAFKA else path.with_stem(f"{path.stem}-{kind}")


def parsed(arguments: Sequence[str]) -> Options:
    """The command line as options."""
    usual = BOTH if os.environ.get(VARIABLE) else EMBEDDED
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=300_000, help="that each run takes in (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turns (%(default)s)")
    parser.add_argument("--customers", type=int, default=100_000, help="how many there are (%(default)s)")
    parser.add_argument("--zipf", type=float, default=1.0, help="exponent of their activity; 0: uniform (%(default)s)")
    named = f"kafka: a real one, started by the command that {VARIABLE} names; both: one after the other (%(default)s)"
    parser.add_argument("--broker", choices=(*BROKERS, BOTH), default=usual, help=named)
    parser.add_argument("--seconds", type=float, default=40.0,
                        help="a run after the first is cut off so long after its warm-up (%(default)s)")  # fmt: skip
    parser.add_argument("--latency-seconds", type=float, default=15.0,
                        help="of latency after its warm-up, of each; 0: none (%(default)s)")  # fmt: skip
    parser.add_argument("--latency-rate", type=int, default=latency.RATE, help="events/s meanwhile (%(default)s)")
    parser.add_argument("--only", default="", help=f"some of {', '.join(NAMES)}, separated by commas")
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        help="where the figures go, those of the embedded broker beside it (%(default)s)",
    )
    options = Options(**vars(parser.parse_args(arguments)))
    unknown = set(filter(None, options.only.split(","))) - {*NAMES}
    if unknown or options.rounds < 1 or options.events < 1:
        parser.error(f"--only takes {', '.join(NAMES)}; --rounds and --events at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
