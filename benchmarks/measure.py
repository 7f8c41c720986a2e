"""What a benchmark reads while it runs: a role's /metrics, and processor time and memory of processes."""

from __future__ import annotations

import os
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from statistics import fmean

from prometheus_client.parser import text_string_to_metric_families

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1_048_576

Series = Mapping[str, Mapping[str, float]]
"""Metric name -> value by its labels, joined by commas."""


def scraped(url: str) -> Series:
    """All samples of a /metrics page."""
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  a loopback address
        text = answer.read().decode()
    series: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series[sample.name][",".join(sample.labels.values())] = sample.value
    return series


def added(pages: Iterable[Series]) -> Series:
    """The sum of each sample over several pages; of a gauge, too."""
    series: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for page in pages:
        for name, values in page.items():
            for labels, value in values.items():
                series[name][labels] += value
    return series


def total(series: Series, name: str) -> float:
    """The sum of a metric over its labels."""
    return sum(series.get(name, {}).values())


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; 0 when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:  # gone, or going
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mib(pid: int) -> float:
    """Resident memory of a process; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE / MIB
    except OSError:
        return 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at everything. `at` is monotonic seconds; processes by name."""

    at: float
    series: Series
    cpu: dict[str, float]
    memory: dict[str, float]

    @property
    def applied(self) -> float:
        """Events folded so far."""
        return total(self.series, "footfall_events_applied_total")

    @property
    def received(self) -> float:
        """Records through the journey so far, markers included."""
        return total(self.series, "footfall_events_received_total")


@dataclass(slots=True)
class Observer:
    """Looks at the workers and the processes around them; what bears one name is added up."""

    urls: Sequence[str]
    """Where each worker serves its metrics."""
    pids: Mapping[str, Sequence[int]]
    samples: list[Sample] = field(default_factory=list)

    def look(self) -> Sample:
        """A sample, kept."""
        series = added(scraped(url) for url in self.urls)
        cpu = {name: sum(map(cpu_seconds, pids)) for name, pids in self.pids.items()}
        memory = {name: sum(map(memory_mib, pids)) for name, pids in self.pids.items()}
        self.samples.append(Sample(time.monotonic(), series, cpu, memory))
        return self.samples[-1]

    def peak(self, name: str) -> float:
        """The most memory that was in use in any look, MiB."""
        return max(sample.memory[name] for sample in self.samples)

    def since(self, at: float) -> list[Sample]:
        """The samples from an instant on."""
        return [sample for sample in self.samples if sample.at >= at]


def rates(samples: Sequence[Sample], seconds: float) -> list[float]:
    """Applied events/s of consecutive windows of about `seconds`."""
    found = []
    first = samples[0]
    for sample in samples[1:]:
        if sample.at - first.at >= seconds:
            found.append((sample.applied - first.applied) / (sample.at - first.at))
            first = sample
    return found


def slope_per_minute(points: Sequence[tuple[float, float]]) -> float:
    """Least squares: how much a value rises in a minute; points are (seconds, value)."""
    if len(points) < 2:
        return 0.0
    middle_x, middle_y = fmean(x for x, _ in points), fmean(y for _, y in points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return 60 * sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of the values does not exceed (nearest rank); 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(round(share * len(ordered), 9)) - 1)] if ordered else 0.0
