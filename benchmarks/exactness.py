"""What exactness costs: the worker as it is, beside the same one with a pipelined HSET for commit, outbox and fsync.

    python -m benchmarks.exactness [--pairs 3] [--seconds 30]

The two run in turns on the same machine; the ratio of their median rates is the answer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.figures import beside
from benchmarks.throughput import run, say
from benchmarks.throughput_options import Options

TARGET: Final = 0.8
RATE: Final = "events/s applied, whole run"


def rate_of(options: Options) -> float:
    """Events/s of one run."""
    with tempfile.TemporaryDirectory(prefix="footfall-exactness-") as root:
        figures = run(options, Path(root))
    if figures.differences:
        raise RuntimeError(f"{len(figures.differences)} differences: a rate of wrong numbers is none")
    return float(figures.rows[RATE][0])


def main(pairs: int, seconds: float) -> int:
    """Print each pair and the ratio; exit code 1 below the target."""
    common = Options(seconds=seconds, warm_up=15.0, history=200_000, customers=50_000, sample=20, bare_events=0)
    exact, inexact = list[float](), list[float]()
    for pair in range(1, pairs + 1):
        exact.append(rate_of(common))
        inexact.append(rate_of(replace(common, program="benchmarks.inexact")))
        say(f"pair {pair} of {pairs}: exact {exact[-1]:,.0f}, with HSET alone {inexact[-1]:,.0f} events/s")
    ratio = median(exact) / median(inexact)
    target = beside(f">= {TARGET}", met=ratio >= TARGET)
    print(f"exact / HSET alone: {ratio:.2f} ({target}), medians of {pairs} runs each of {seconds:g} s")
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.exactness", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=3, help="runs of each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured in each run (%(default)s)")
    given = parser.parse_args()
    sys.exit(main(given.pairs, given.seconds))
