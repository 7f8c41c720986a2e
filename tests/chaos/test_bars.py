"""What a drill must show: each bar is missed by what does not reach it, and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.bars import Seen, missed
from tests.chaos.monkey import Drill
from tests.chaos.pulse import grown

GOOD = Seen(5.0, 0.5, before=1000.0, meanwhile=950.0, grown={"worker-1": 10.0, "worker-2": 64.0, "sink": 60.0})


@pytest.mark.parametrize("drill", ["storm", "redis", "clickhouse", "broker"])
def test_what_reaches_every_bar_misses_none(drill: Drill) -> None:
    assert missed(drill, GOOD) == []


@pytest.mark.parametrize(
    ("drill", "seen", "field"),
    [
        ("storm", replace(GOOD, stall=10.1), "longest stall, s"),
        ("storm", replace(GOOD, back=15.1), "full rate back after, s"),
        ("broker", replace(GOOD, back=None), "full rate back after, s"),
        ("clickhouse", replace(GOOD, meanwhile=899.0), "events stored per second while it was away"),
        ("clickhouse", replace(GOOD, before=None), "events stored per second while it was away"),
        ("clickhouse", replace(GOOD, grown={"sink": 65.0}), "memory grown while it waited, MiB"),
        ("redis", replace(GOOD, grown={"worker-1": 1.0, "worker-2": 65.0}), "memory grown while it waited, MiB"),
        ("redis", replace(GOOD, grown={"worker-1": 1.0}), "memory grown while it waited, MiB"),
    ],
)
def test_what_does_not_reach_a_bar_is_a_difference(drill: Drill, seen: Seen, field: str) -> None:
    assert [found.field for found in missed(drill, seen)] == [field]


def test_growth_is_the_most_above_the_first_weight_between_two_instants() -> None:
    weights = [(float(at), {"sink": weight}) for at, weight in enumerate((50.0, 100.0, 130.0, 120.0, 900.0))]
    assert grown(weights, 1.0, 3.0) == {"sink": 30.0}
    assert grown(weights, 7.0, 9.0) == {}
