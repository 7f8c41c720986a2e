"""Where each microsecond of a worker goes: footfall bench --profile.

A short run of the throughput benchmark; by stage an event and a changed profile, and by line of our code.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.figures import Figures
from benchmarks.sampled import VARIABLE
from benchmarks.throughput import listed, run, spent
from benchmarks.throughput_options import WORKER, Options

LINES: Final = 25
"""Places shown."""
COMPILED: Final = Path(__file__).parent.parent / "build" / "compiled"
PROFILER: Final = "benchmarks.sampled"


def main(seconds: float, *, profile: bool) -> int:
    """Measure and print; exit code 1 where the worker's numbers differ from the recount."""
    options = Options(
        seconds=seconds, warm_up=seconds, history=1_000_000, bare_events=200_000, sample=40,
        program=PROFILER if profile else WORKER,
    )  # fmt: skip
    if (COMPILED / "processors").is_dir():
        os.environ["PYTHONPATH"] = str(COMPILED)  # for the worker, as the make targets have it
    with tempfile.TemporaryDirectory(prefix="footfall-bench-") as root:
        samples = Path(root) / "samples.json"
        os.environ[VARIABLE] = str(samples)  # read by the profiler alone
        figures = run(options, Path(root) / "data")
        seen = json.loads(samples.read_text(encoding="utf-8")) if profile else []
    print("\nOne `process` worker, everything on this machine\n" + figures.table())
    print(_ceiling(figures))
    print(lines(seen))
    print(listed(figures), end="")
    return 1 if figures.differences else 0


def _ceiling(figures: Figures) -> str:
    """What these cores could do if nobody ever waited: all processor time an event, against all that there is."""
    each = spent(figures)
    cores = os.cpu_count() or 1
    most = cores / each * 1e6
    return f"\nAll processes together {each:.0f} us an event: {cores} cores carry at most {most:,.0f} events/s"


def lines(seen: Sequence[tuple[str, int]]) -> str:
    """The lines most seen, with their share of all samples."""
    if not seen:
        return ""
    whole = sum(times for _, times in seen)
    rows = [f"  {100 * times / whole:5.1f} %  {place}" for place, times in seen[:LINES]]
    return f"\nThe main thread, {whole:,} looks\n" + "\n".join(rows)
