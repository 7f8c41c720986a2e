"""What a throughput run is made of, and its command line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.command_line import given
from benchmarks.generator import Load
from benchmarks.prefill import History, history_load
from benchmarks.sizes import SIZES, USUAL
from streams.settings import Settings, load_settings

RESULTS: Final = Path(__file__).parent / "results" / "throughput.json"
_SEED_OF_HISTORY: Final = 1_000_003
LEAD_SECONDS: Final = 30.0
"""About what prefilling takes. The worker distrusts times more than five minutes ahead of its clock."""
START: Final = 1_735_689_600_000  # 2025-01-01
DESCRIPTION: Final = "What one `process` worker, or several, sustain, and whether they are right."
WORKER: Final = "streams.cli.main"


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    seconds: float = 300.0
    warm_up: float = 240.0
    """Until the profiles that will be asked for are in memory: before that their number raises its use."""
    customers: int = 100_000
    history: int = 2_000_000
    sharers: int = 0
    prefilled: int = 1
    rate_per_day: int = 2_000_000
    marker_seconds: int = 1_800
    """About a full poll of records: on the event clock a worker folds from marker to marker what it takes poll by
    poll on the wall clock."""
    clock: str = "event"
    processes: int = 2
    zipf: float = 1.0
    hot: float = 0.0
    size: str = USUAL
    seed: int = 1
    max_records: int = 40_000
    profiles_mib: int = 1024
    ahead: int = 200_000
    workers: int = 1
    sample: int = 210
    bare_events: int = 500_000
    program: str = WORKER
    results: Path = RESULTS

    def live(self) -> Load:
        """What is sent while the clock runs. On the wall clock it begins now, or when the profiles are there."""
        start = START if self.clock == "event" else int(1000 * (time.time() + LEAD_SECONDS))
        rate = self.rate_per_day / 86_400
        return Load(self.seed, self.customers, rate, start, self.zipf, hot=self.hot, size=self.size)

    def before(self, settings: Settings, end: int) -> History:
        """What the profiles are made of, up to `end` (ms)."""
        customers = self.sharers or self.customers
        load = history_load(self.seed + _SEED_OF_HISTORY, customers, self.history, end, self.zipf)
        return History(settings, load, self.history, self.customers if self.prefilled else 0)

    def settings(self) -> Settings:
        """Those of the worker."""
        return load_settings(
            clock=self.clock, batch={"max_records": self.max_records, "profiles_mib": self.profiles_mib}
        )


def parsed(arguments: Sequence[str]) -> Options:
    """The command line as options."""
    return given(arguments, Options(), _MEANINGS, prog="python -m benchmarks.throughput", description=DESCRIPTION)


_MEANINGS: Final = {
    "seconds": "measured, after the warm-up (%(default)s)",
    "warm_up": "seconds before measuring (%(default)s)",
    "customers": "how many there are (%(default)s)",
    "history": "events of the 90 days before (%(default)s)",
    "sharers": "customers that the history is made for and all others share in turn; 0: everyone has one (%(default)s)",
    "prefilled": "0: the history trains the model alone, and every customer is new (%(default)s)",
    "rate_per_day": "events a day of event time (%(default)s): fixed, however fast they are sent",
    "marker_seconds": "event time between two clock markers (%(default)s)",
    "clock": "event: folded from marker to marker; wall: poll by poll, and --rate-per-day as it is sent (%(default)s)",
    "processes": "that fold the history (%(default)s)",
    "zipf": "exponent of the customers' activity (%(default)s)",
    "hot": "share of the events that is the first customer's; 0: what the exponent gives it (%(default)s)",
    "size": f"of the events: {', '.join(SIZES)} (%(default)s)",
    "seed": "of the generator (%(default)s)",
    "max_records": "records a poll of the worker (%(default)s)",
    "workers": "`process` workers that share the partitions (%(default)s)",
    "profiles_mib": "batch.profiles_mib of the worker: decoded profiles it keeps in memory (%(default)s)",
    "ahead": "records the producer may be ahead of the worker (%(default)s)",
    "sample": "customers recounted afterwards, the 10 hottest among them (%(default)s)",
    "bare_events": "events through the bare loop (%(default)s)",
    "program": "module that runs the worker: also benchmarks.inexact, benchmarks.sampled (%(default)s)",
    "results": "where the figures go (%(default)s)",
}
