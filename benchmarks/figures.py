"""The figures of a run: what two looks at a worker say of the time between them, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from benchmarks.differential import Difference
from benchmarks.measure import Sample, rates, slope_per_minute, total

TARGET_EVENTS: Final = 25_000
TARGET_MIB_PER_MINUTE: Final = 1.0
WINDOW_SECONDS: Final = 10.0
_SHORT: Final = "windows of a third of so short a run, not of 10 s"
CHANGED: Final = "footfall_profiles_changed_total"


@dataclass(slots=True)
class Figures:
    """What came out, in the order of the table: name -> (value, unit)."""

    rows: dict[str, tuple[Any, str]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def note(self, name: str, value: Any, unit: str = "") -> None:
        """One row."""
        self.rows[name] = (round(value, 4) if isinstance(value, float) else value, unit)

    def table(self) -> str:
        """The rows as text."""
        return "\n".join(f"  {name:44}{_text(value):>14}  {unit}" for name, (value, unit) in self.rows.items())


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def beside(target: str, *, met: bool) -> str:
    """A target as it stands beside its figure."""
    return f"target {target}: {'met' if met else 'missed'}"


def note_rates(samples: Sequence[Sample], figures: Figures) -> None:
    """What was done between the first and the last look."""
    first, last = samples[0], samples[-1]
    seconds = last.at - first.at
    window = min(WINDOW_SECONDS, seconds / 3)
    windows = rates(samples, window)
    figures.note("events/s applied, whole run", (last.applied - first.applied) / seconds, f"over {seconds:.0f} s")
    middle = median(windows)
    target = beside(f">= {TARGET_EVENTS:,}", met=middle >= TARGET_EVENTS)
    figures.note("events/s applied, median of 10 s", middle, target)
    figures.note("events/s applied, least of 10 s", min(windows), "" if window == WINDOW_SECONDS else _SHORT)
    for name, metric in (("changes/s", "footfall_segment_changes_total"), ("ticks/s", "footfall_due_ticks_total")):
        figures.note(name, (total(last.series, metric) - total(first.series, metric)) / seconds)
    writes = "footfall_batch_records_count"
    slices = total(last.series, writes) - total(first.series, writes)
    figures.note("slices folded/s", slices / seconds)


def note_costs(samples: Sequence[Sample], figures: Figures) -> None:
    """Processor time an event, and memory."""
    first, last = samples[0], samples[-1]
    events, seconds = max(1.0, last.applied - first.applied), last.at - first.at
    for name in first.cpu:
        used = last.cpu[name] - first.cpu[name]
        figures.note(
            f"CPU of the {name}", used / events * 1e6, f"us an event = s per million; {used / seconds:.2f} cores"
        )
    for name, size in last.memory.items():
        figures.note(f"memory of the {name}", size, "MiB")
    slope = slope_per_minute([(sample.at, sample.memory["worker"]) for sample in samples])
    target = beside(f"<= {TARGET_MIB_PER_MINUTE:g}", met=slope <= TARGET_MIB_PER_MINUTE)
    figures.note("worker's memory rises by", slope, f"MiB/min, {target}")
    profiles = total(last.series, "footfall_owned_profiles")
    figures.note("profiles in the worker's memory", int(profiles))


def note_stages(samples: Sequence[Sample], figures: Figures) -> None:
    """Where the time went; stages that overlap, and those of several workers, add up to more than all of it."""
    first, last = samples[0], samples[-1]
    begun, ended = (sample.series.get("footfall_stage_seconds_sum", {}) for sample in (first, last))
    spent = {stage: ended[stage] - begun.get(stage, 0.0) for stage in ended}
    events = max(1.0, last.applied - first.applied)
    changed = max(1.0, total(last.series, CHANGED) - total(first.series, CHANGED))
    figures.note("events a changed profile", events / changed, "in one batch")
    for stage, took in sorted(spent.items(), key=lambda item: -item[1]):
        each = f"{took / events * 1e6:.1f} us an event, {took / changed * 1e6:.1f} us a changed profile"
        figures.note(f"stage {stage}", 100 * took / (last.at - first.at), f"% of the time; {each}")
