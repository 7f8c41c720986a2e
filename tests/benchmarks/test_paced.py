"""The paced producer keeps to its pace: whatever it sends early is a latency nobody would have."""

from __future__ import annotations

import pytest

from benchmarks.paced import due_by


@pytest.mark.parametrize(
    ("seconds", "due"), [(-6.0, 0), (-0.001, 0), (0.0, 0), (0.5, 500), (9.0, 9_000), (11.0, 10_000)]
)
def test_nothing_is_due_before_its_time_and_never_more_than_there_is(seconds: float, due: int) -> None:
    assert due_by(seconds, 1_000.0, 10_000) == due
