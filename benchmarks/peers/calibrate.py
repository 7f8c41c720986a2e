"""Whether the peers are written well: each does the small job, beside a figure that was measured on jobs like it.

    python -m benchmarks.peers.calibrate [--events 1000000] [--rounds 1] [--only quix,faust]

The small job (small.py) hides nothing: five fields, a count and a sum. A peer that stays below 0.8 of its figure is to
be looked at before it is compared with anybody. Exit code 1 where a peer fails, or counts otherwise than the recount.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.figures import beside
from benchmarks.peers import small_load
from benchmarks.peers.brokers import BROKERS, EMBEDDED, KAFKA, broker
from benchmarks.peers.contest import FAILURES, fits, tell
from benchmarks.peers.contestants import REDIS_PEERS, Peer, forget
from benchmarks.peers.plan import Plan
from benchmarks.peers.runs import Result
from benchmarks.peers.table import machine
from benchmarks.peers.work import CHOICE
from benchmarks.throughput import say
from tests.chaos.brokers import VARIABLE

RESULTS: Final = Path(__file__).parent.parent / "results" / "calibration.json"
SHARE: Final = 0.8
"""Of the lower end of its figure, that a peer should reach on a machine nobody has chosen for it."""
FIGURES: Final[Mapping[str, tuple[int, int]]] = {
    "kafka_streams": (79_000, 121_000),
    "quix": (14_000, 18_000),
    "bytewax": (14_000, 18_000),
    "pyflink": (7_000, 12_000),
    "faust": (9_000, 9_000),
}
"""Events/s of one worker on jobs like the small one, from and to; of Faust before any state, so it has none here."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    events: int
    rounds: int
    seconds: float
    broker: str
    only: str
    results: Path


@dataclass(slots=True)
class Row:
    """What one peer reached."""

    name: str
    runs: list[Result] = field(default_factory=list)
    compared: int = 0
    """Runs that came to their end and were compared with the recount."""
    differences: int = 0
    failure: str = ""

    @property
    def rate(self) -> float:
        """Events/s, the median; 0 of none."""
        return median(run.rate for run in self.runs) if self.runs else 0.0

    @property
    def wanted(self) -> float:
        """Events/s it should reach."""
        return SHARE * FIGURES[self.name][0]

    def as_json(self) -> dict[str, Any]:
        """As it is written to calibration.json."""
        return {
            "name": self.name,
            "events_per_second_median": round(self.rate),
            "events_per_second_runs": [round(run.rate) for run in self.runs],
            "figure": list(FIGURES[self.name]),
            "wanted": round(self.wanted),
            "reached": self.rate >= self.wanted,
            "cpu_seconds_per_million": [round(run.cpu_per_million, 1) for run in self.runs],
            "runs_compared": self.compared,
            "differences": self.differences,
            "failure": self.failure,
        }

    def line(self) -> str:
        """As it is printed."""
        if self.failure:
            return f"  {self.name:16}FAILED: {self.failure.splitlines()[0]}"
        low, high = FIGURES[self.name]
        told = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        wanted = beside(f">= {self.wanted:,.0f}", met=self.rate >= self.wanted)
        found = f"{self.differences} differences" if self.compared else "not compared"
        return f"  {self.name:16}{self.rate:>10,.0f}   {told:20}{wanted}; {found}"


def calibrate(options: Options, bootstrap: str, root: Path) -> list[Row]:
    """Each peer in turns on one full topic; a row for each."""
    say(f"filling a topic with {options.events:,} events of five fields")
    plan = small_load.filled(bootstrap, options.events)
    chosen = options.only.split(",") if options.only else FIGURES
    peers = [Peer(name, stores=name not in REDIS_PEERS) for name in FIGURES if name in chosen]
    peers = [one for one in peers if fits(one, options.broker)]
    rows = {one.name: Row(one.name) for one in peers}
    for number in range(1, options.rounds + 1):
        for one in [one for one in peers if not rows[one.name].failure]:
            home = root / f"{one.name}-{number}"
            (home / "state").mkdir(parents=True)
            _turn(one, rows[one.name], plan.of_run(f"small-{home.name}", home / "state"), options.seconds)
            say(rows[one.name].line().strip())
    return list(rows.values())


def _turn(one: Peer, row: Row, run: Plan, seconds: float) -> None:
    """One run, compared where it comes to its end. A peer without its store knows nobody, and is only counted."""
    try:
        result = one.run(run, Path(run.state_dir).parent, seconds)
        comparable = result.whole and one.stores
        found = small_load.differences(run) if comparable else []
        forget(run)
    except FAILURES as error:
        row.failure = str(error)
        return
    row.runs.append(result)
    row.compared += comparable
    row.differences += len(found)
    tell(found)


def write(rows: Sequence[Row], options: Options) -> None:
    """calibration.json."""
    options.results.parent.mkdir(parents=True, exist_ok=True)
    told = {"machine": machine(), "events": options.events, "broker": options.broker,
            "rows": [row.as_json() for row in rows]}  # fmt: skip
    options.results.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run, print, write; the exit code."""
    options = parsed(arguments)
    os.environ[CHOICE] = "small"  # peers inherit it
    with tempfile.TemporaryDirectory(prefix="footfall-small-") as folder:
        root = Path(folder)
        with broker(options.broker, root) as settings:
            rows = calibrate(options, settings.kafka.bootstrap, root)
    print(f"\nThe small job, {machine()}\n  {'':16}{'events/s':>10}   {'the figure':20}{SHARE:g} of its lower end")
    print("\n".join(row.line() for row in rows))
    write(rows, options)
    say(f"written to {options.results}; differences {sum(row.differences for row in rows)}")
    return 1 if any(row.failure or row.differences for row in rows) else 0


def parsed(arguments: Sequence[str]) -> Options:
    """The command line as options."""
    usual = KAFKA if os.environ.get(VARIABLE) else EMBEDDED
    parser = argparse.ArgumentParser("python -m benchmarks.peers.calibrate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="in the topic (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each, in turns (%(default)s)")
    parser.add_argument("--seconds", type=float, default=120.0, help="the most of a run that is measured (%(default)s)")
    parser.add_argument("--broker", choices=BROKERS, default=usual, help="as of the contest (%(default)s)")
    parser.add_argument("--only", default="", help=f"some of {', '.join(FIGURES)}, separated by commas")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go (%(default)s)")
    options = Options(**vars(parser.parse_args(arguments)))
    if set(filter(None, options.only.split(","))) - {*FIGURES}:
        parser.error(f"--only takes {', '.join(FIGURES)}")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
