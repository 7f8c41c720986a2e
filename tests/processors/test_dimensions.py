"""Every cell has one name, boundaries are closed, and each label says how long it holds."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.calendar import DAY, NEVER
from processors.dimensions import RFM_GRID, Thresholds, refresh_activity, refresh_rfm, rfm_class, rfm_segment, value_of
from processors.profile import Profile
from tests.builders import made, shipped_rules
from tests.oracle import labels

LIMITS = Thresholds()
T = 20_000 * DAY


def scored(recency: int, frequency: int, monetary: int) -> Profile:
    p = Profile("c")
    p.recency_score, p.frequency_score, p.monetary_score = recency, frequency, monetary
    return p


@pytest.mark.parametrize("cell", product(range(1, 6), repeat=3))
def test_every_cell_has_exactly_one_name_that_the_shipped_rules_know(cell: tuple[int, int, int]) -> None:
    p = scored(*cell)
    for unit, name in (("rfm", rfm_segment(p)), ("rfm_class", rfm_class(p)), ("value", value_of(p))):
        group = next(one for one in shipped_rules().units if one.id == unit)
        assert name in group.names
        assert [name] == [segment for segment in group.names if f'"{name}"' in group.conditions[segment]]


def test_the_grid_uses_every_name_and_no_order_is_a_prospect() -> None:
    assert {name for row in RFM_GRID.values() for name in row} == {
        rfm_segment(scored(*cell)) for cell in product(range(1, 6), repeat=3)
    }
    assert (rfm_segment(Profile("c")), rfm_class(Profile("c")), value_of(Profile("c"))) == ("prospect", "", "none")


def buyer(frequency: int, monetary: int, days: int) -> Profile:
    p = made("c", as_of=T, first_order=T - days * DAY, last_order=T - days * DAY)
    p.frequency, p.monetary = frequency, monetary
    refresh_rfm(p, LIMITS)
    return p


@pytest.mark.parametrize(("days", "score"), [(0, 5), (30, 5), (31, 4), (90, 4), (91, 3), (180, 3), (270, 2), (271, 1)])
def test_recency_at_its_boundaries(days: int, score: int) -> None:
    assert buyer(1, 1, days).recency_score == score


@given(st.integers(0, 10), st.integers(0, 30_000), st.integers(0, 360))
def test_scores_hold_up_to_the_instant_they_name_and_not_longer(frequency: int, monetary: int, days: int) -> None:
    p = buyer(frequency, monetary, days)
    before = p.recency_score
    if p.rfm_until >= NEVER - 1:
        assert before == 1
        return
    p.as_of = p.rfm_until
    refresh_rfm(p, LIMITS)
    assert p.recency_score == before
    p.as_of = p.rfm_until + 1
    refresh_rfm(p, LIMITS)
    assert p.recency_score == before - 1


@given(st.integers(0, 400 * DAY), st.integers(0, 6), st.integers(0, 300 * DAY))
def test_activity_is_what_the_definition_says_and_holds_as_long_as_it_says(age: int, gaps: int, total: int) -> None:
    p = made("c", as_of=T, last_seen=T - age, last_order=T - age)
    p.gap_count, p.gap_sum = gaps, total if gaps else 0
    refresh_activity(p, LIMITS)
    weighted, span = age * (gaps + 3), p.gap_sum + 3 * labels.PRIOR_GAP
    by_order = "active" if 2 * weighted <= 3 * span else "dormant" if weighted <= 3 * span else "lost"
    by_sight = "active" if age <= 30 * DAY else "dormant" if age <= 90 * DAY else "lost"
    assert p.activity == (by_order if gaps else by_sight)
    held, until = p.activity, p.activity_until
    if until < NEVER - 1:
        p.as_of = until
        refresh_activity(p, LIMITS)
        assert p.activity == held
        p.as_of = until + 1
        refresh_activity(p, LIMITS)
        assert p.activity != held
