"""What a contest gave: a table for people, JSON for programs, a picture for the README."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from os import cpu_count
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.peers.latency import ENOUGH, Delays
from benchmarks.peers.runs import Result

WIDTH: Final = 720
BAR: Final = 24
WIDTHS: Final = (10, 10, 10, 10, 10, 15, 10, 11, 13)
"""Of the table's columns."""


@dataclass(slots=True)
class Row:
    """One contestant's runs; the medians stand in the table."""

    name: str
    runs: list[Result] = field(default_factory=list)
    compared: int = 0
    """Runs that went to the end and were compared with the recount."""
    differences: int = 0
    delays: Delays | None = None
    """Of the latency stage; null where it was left out."""
    limit: bool = False
    """No contestant: what one part of the work costs by itself."""
    failure: str = ""
    """Why it takes no part any more."""

    @property
    def rate(self) -> float:
        """Events/s, the median."""
        return median(run.rate for run in self.runs)

    def last(self) -> str:
        """What its last run gave, in words."""
        if self.failure:
            return f"{self.name} FAILED: {self.failure}"
        compared = f"{self.differences} differences" if self.runs[-1].whole else "cut off"
        return f"{self.name} {self.runs[-1].rate:,.0f} events/s, {'a limit' if self.limit else compared}"

    def delay(self, share: float) -> float | None:
        """A percentile of the latency, ms."""
        found = self.delays.at(share) if self.delays else None
        return None if found is None else round(found, 1)

    def as_json(self) -> dict[str, Any]:
        """As it is written to peers.json."""
        return {
            "name": self.name,
            "limit": self.limit,
            "events_per_second_median": round(self.rate) if self.runs else None,
            "events_per_second_runs": [round(run.rate) for run in self.runs],
            "p50_ms": self.delay(0.5),
            "p99_ms": self.delay(0.99),
            "probes_back": self.delays.back if self.delays else None,
            "failure": self.failure or None,
            "runs_compared": self.compared,
            "differences": self.differences,
            **(self._costs() if self.runs else {}),
        }

    def _costs(self) -> dict[str, float]:
        return {
            "cpu_seconds_per_million": round(median(run.cpu_per_million for run in self.runs), 2),
            "peak_mib": round(median(run.peak_mib for run in self.runs)),
        }


def table(rows: Sequence[Row], ours: str) -> str:
    """The rows, fastest first, and how many times as fast `ours` is."""
    mine = next((row.rate for row in rows if row.name == ours and row.runs), 0.0)
    heads = ("events/s", "least", "most", "p50 ms", "p99 ms", "CPU s/million", "peak MiB", "ours / it", "differences")
    lines = [f"  {'':16}" + "".join(f"{head:>{width}}" for head, width in zip(heads, WIDTHS, strict=True))]
    lines += [_line(row, mine) for row in _ranked(rows) if not row.limit]
    limits = [_line(row, mine) for row in _ranked(rows) if row.limit]
    lines += ["  no contestants, but what a part of the work costs by itself:", *limits] if limits else []
    failed = [f"  {row.name}: FAILED, {row.failure.splitlines()[0]}" for row in rows if row.failure]
    return "\n".join([*lines, *filter(None, map(_lost, rows)), *failed])


def _line(row: Row, mine: float) -> str:
    told = row.as_json()
    rates = told["events_per_second_runs"]
    times = "-" if row.limit else f"{mine / row.rate:.2f}x"
    return (
        f"  {row.name:16}{row.rate:>10,.0f}{min(rates):>10,}{max(rates):>10,}"
        f"{_told(told['p50_ms']):>10}{_told(told['p99_ms']):>10}"
        f"{told['cpu_seconds_per_million']:>15.1f}{told['peak_mib']:>10,}{times:>11}"
        f"{'-' if row.limit else row.differences:>13}"
    )


def _told(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:,.0f}"


def _lost(row: Row) -> str:
    """Of a row whose probes did not all come back."""
    if row.delays is None or row.delays.back == 1.0:
        return ""
    known = "" if row.delays.back >= ENOUGH else "; no latency is told"
    return f"  {row.name}: no message within the patience about {1 - row.delays.back:.1%} of the probes{known}"


def _ranked(rows: Sequence[Row]) -> list[Row]:
    return sorted((row for row in rows if row.runs), key=lambda row: -row.rate)


def machine() -> str:
    """What it ran on."""
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{cpu_count()} cores, {platform.machine()}, {system}"


def write(rows: Sequence[Row], path: Path, about: dict[str, Any]) -> None:
    """peers.json, and the picture beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    all_rows = [*_ranked(rows), *(row for row in rows if not row.runs)]
    told = {"machine": machine(), **about, "rows": [row.as_json() for row in all_rows]}
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    path.with_suffix(".svg").write_text(picture(rows), encoding="utf-8")


def picture(rows: Sequence[Row]) -> str:
    """Bars of events/s, fastest first."""
    ordered = [row for row in _ranked(rows) if not row.limit]
    longest = max((row.rate for row in ordered), default=1.0)
    height = (BAR + 10) * len(ordered) + 20
    bars = "".join(_bar(place, row, row.rate / longest) for place, row in enumerate(ordered))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="13">'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>{bars}</svg>\n'
    )


def _bar(place: int, row: Row, share: float) -> str:
    y, width = 10 + place * (BAR + 10), share * (WIDTH - 250)
    colour = "#d9480f" if row.name.startswith("footfall") else "#868e96"
    return (
        f'<text x="140" y="{y + 17}" text-anchor="end">{escape(row.name)}</text>'
        f'<rect x="150" y="{y}" width="{width:.0f}" height="{BAR}" fill="{colour}"/>'
        f'<text x="{158 + width:.0f}" y="{y + 17}">{row.rate:,.0f}</text>'
    )
