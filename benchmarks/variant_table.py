"""What the variants of a load came to: a row each, and the bars that they are held to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from benchmarks.figures import Figures, beside
from benchmarks.throughput import spent

BASELINE: Final = "baseline"
_MOST_OF_CUSTOMERS: Final = 1.5
_MOST_OF_HOT: Final = 1.2
_MOST_OF_HISTORY: Final = 1.5
_LEAST_OF_CEILING: Final = 0.9


@dataclass(frozen=True, slots=True)
class Row:
    """One variant. Times are us of processor time an event."""

    rate: float
    """Events/s applied, median of the windows."""
    worker: float
    redis: float
    everything: float
    """Worker, broker, Redis and producer."""
    per_profile: float
    """Events a changed profile, in one batch: they share its encoding, commit and message."""
    peak: float
    """MiB, of the worker's."""
    differences: int

    @classmethod
    def of(cls, figures: Figures) -> Self:
        """From the figures of a throughput run."""

        def figure(name: str) -> float:
            return float(figures.rows[name][0])

        return cls(
            rate=figure("events/s applied, median of 10 s"),
            worker=figure("CPU of the worker"),
            redis=figure("CPU of the Redis"),
            everything=spent(figures),
            per_profile=figure("events a changed profile"),
            peak=figure("worker's memory, at most"),
            differences=len(figures.differences),
        )

    @property
    def cost(self) -> float:
        """What Footfall spends on an event, in the worker and in its store, us; broker and producer are the load's."""
        return self.worker + self.redis


Rows = Mapping[str, Row]
"""By the variant's name."""


def ceiling(one: Row, workers: int, cores: int) -> float:
    """Events/s that so many workers could carry on these cores, judged by a run of one.

    Each does as much as the one did, until all processes together fill the cores.
    """
    return min(workers * one.rate, cores * 1e6 / one.everything)


def table(rows: Rows) -> str:
    """The rows as text, beside the baseline."""
    heads = ("events/s", "worker us", "Redis us", "ev/profile", "peak MiB", "differences", "cost")
    lines = [f"  {'':14}" + "".join(f"{head:>12}" for head in heads)]
    for name, row in rows.items():
        cells = (f"{row.rate:,.0f}", f"{row.worker:.1f}", f"{row.redis:.1f}", f"{row.per_profile:.2f}",
                 f"{row.peak:,.0f}", f"{row.differences:,}", f"{row.cost / rows[BASELINE].cost:.2f}x")  # fmt: skip
        lines.append(f"  {name:14}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def bars(rows: Rows) -> list[str]:
    """A sentence for each bar, with what was reached; a bar whose variants did not run is left out."""
    wrong = sum(row.differences for row in rows.values())
    told = [_told(needed, sentence, rows) for needed, sentence in _BARS]
    return [*filter(None, told), f"differences: {wrong}, {beside('0', met=not wrong)}"]


def _told(needed: tuple[str, ...], sentence: Callable[[Rows], str], rows: Rows) -> str:
    return sentence(rows) if rows.keys() >= set(needed) else ""


def _within(what: str, dear: str, cheap: str, most: float) -> tuple[tuple[str, str], Callable[[Rows], str]]:
    def sentence(rows: Rows) -> str:
        ratio = rows[dear].cost / rows[cheap].cost
        return f"{what}: {dear} costs {ratio:.2f}x {cheap}, {beside(f'<= {most:g}x', met=ratio <= most)}"

    return (dear, cheap), sentence


def _workers(rows: Rows) -> str:
    one, two = rows[BASELINE], rows["workers-2"]
    cores = os.cpu_count() or 1
    most = ceiling(one, 2, cores)
    share = two.rate / most
    return (
        f"two workers: {two.rate / one.rate:.2f} times the rate of one, where {cores} cores carry "
        f"{most / one.rate:.2f} times ({most:,.0f} events/s); {share:.2f} of that, "
        f"{beside(f'>= {_LEAST_OF_CEILING:g}', met=share >= _LEAST_OF_CEILING)}"
    )


_BARS: Final = (
    _within("customers", "customers-1M", "customers-10k", _MOST_OF_CUSTOMERS),
    _within("hot key", "hot", BASELINE, _MOST_OF_HOT),
    _within("history", "history-100M", "history-1M", _MOST_OF_HISTORY),
    ((BASELINE, "workers-2"), _workers),
)
