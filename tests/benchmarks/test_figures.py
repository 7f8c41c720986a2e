"""A figure with a target says whether it was met."""

from __future__ import annotations

import pytest

from benchmarks.figures import Figures, note_costs, note_rates
from benchmarks.measure import Sample
from benchmarks.start_up import told


def samples(events: float, mib: float) -> list[Sample]:
    """Looks at a worker for two minutes, a second apart: it applies `events`/s, its memory rises by `mib`/min."""
    return [
        Sample(at, {"footfall_events_applied_total": {"app": events * at}}, {"worker": at}, {"worker": mib * at / 60})
        for at in map(float, range(121))
    ]


def unit(figures: Figures, name: str) -> str:
    return figures.rows[name][1]


@pytest.mark.parametrize(("events", "says"), [(25_000, "met"), (24_999, "missed")])
def test_a_rate_says_whether_it_reaches_its_target(events: int, says: str) -> None:
    figures = Figures()
    note_rates(samples(events, 0.0), figures)
    assert unit(figures, "events/s applied, median of 10 s") == f"target >= 25,000: {says}"
    assert f"target >= 25,000: {says}" in figures.table()


@pytest.mark.parametrize(("mib", "says"), [(0.9, "met"), (1.1, "missed")])
def test_memory_says_whether_it_stays_within_its_target(mib: float, says: str) -> None:
    figures = Figures()
    note_costs(samples(1.0, mib), figures)
    assert unit(figures, "worker's memory rises by") == f"MiB/min, target <= 1: {says}"


def test_a_start_says_whether_it_was_soon_enough() -> None:
    assert told(15.0) == "median 15.0 s, target <= 15 s: met"
    assert told(15.2) == "median 15.2 s, target <= 15 s: missed"
