"""Rates, slopes and percentiles are what they are called."""

from __future__ import annotations

import os
import time

import pytest

from benchmarks.measure import Sample, added, cpu_seconds, memory_mib, percentile, rates, slope_per_minute


def sample(at: float, applied: float) -> Sample:
    return Sample(at, {"footfall_events_applied_total": {"purchase": applied / 2, "app": applied / 2}}, {}, {})


def test_a_rate_is_counted_over_whole_windows() -> None:
    looks = [sample(at * 0.5, at * 100.0) for at in range(50)]
    assert rates(looks, 10.0) == [200.0, 200.0]


def test_the_metrics_of_two_workers_are_added_label_by_label() -> None:
    one, other = {"applied": {"app": 1.0, "purchase": 2.0}}, {"applied": {"app": 3.0}, "ticks": {"": 4.0}}
    assert added([one, other]) == {"applied": {"app": 4.0, "purchase": 2.0}, "ticks": {"": 4.0}}
    assert added([one]) == one


def test_a_slope_is_that_of_the_line_through_the_points() -> None:
    assert slope_per_minute([(at, 300 + 0.5 * at) for at in range(20)]) == pytest.approx(30.0)
    assert slope_per_minute([(0.0, 5.0), (1.0, 9.0), (2.0, 5.0)]) == pytest.approx(0.0)
    assert slope_per_minute([(0.0, 5.0)]) == 0.0


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) == 0.0


def test_a_process_has_used_time_and_memory_and_one_that_ended_none() -> None:
    began = cpu_seconds(os.getpid())
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert cpu_seconds(os.getpid()) >= began + 0.02
    assert memory_mib(os.getpid()) > 10
    assert cpu_seconds(2**22 + 1) == memory_mib(2**22 + 1) == 0.0
