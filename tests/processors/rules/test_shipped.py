"""deploy/segments.yaml: what ships is valid, total, and the same classes as the dimensions."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings

from processors.calendar import Calendar
from processors.dimensions import rfm_class, rfm_segment, value_of
from processors.profile import Profile
from processors.rules import Unit, parse_rules
from processors.rules.expression import CLOSED
from tests.builders import made
from tests.processors.rules.histories import CALENDAR, profiles

ROOT = Path(__file__).parents[3]
RULES = parse_rules((ROOT / "deploy/segments.yaml").read_text(encoding="utf-8"), "segments.yaml")
UNITS = {unit.id: unit for unit in RULES.units}
DIMENSIONS = ("rfm", "rfm_class", "value", "activity", "intensity", "churn", "satisfaction")


ALL_SCORES = [(0, 0, 0), *product(range(1, 6), range(1, 6), range(1, 6))]


def scored(scores: tuple[int, int, int]) -> Profile:
    return made("c", recency_score=scores[0], frequency_score=scores[1], monetary_score=scores[2])


def microseconds(call: Callable[[Profile, Calendar], object], p: Profile) -> float:
    return min(timeit.repeat(partial(call, p, CALENDAR), number=2_000, repeat=3)) / 2_000 * 1e6


def test_every_dimension_is_a_group_and_comes_first() -> None:
    assert [unit.id for unit in RULES.units if unit.group] == list(DIMENSIONS)


@pytest.mark.parametrize("unit", RULES.units, ids=UNITS)
def test_every_segment_has_both_names_and_an_action(unit: Unit) -> None:
    for segment, names in unit.names.items():
        assert names.keys() == {"en", "zh"}
        assert unit.action(segment) or segment == "unscored"


@pytest.mark.parametrize("scores", ALL_SCORES, ids=str)
def test_every_rfm_score_has_its_one_name_in_each_group(scores: tuple[int, int, int]) -> None:
    p = scored(scores)
    assert UNITS["rfm"].evaluate(p, CALENDAR) == rfm_segment(p)
    assert UNITS["rfm_class"].evaluate(p, CALENDAR) == (rfm_class(p) or "unclassed")
    assert UNITS["value"].evaluate(p, CALENDAR) == value_of(p)


def test_the_values_a_literal_is_checked_against_are_those_the_dimensions_give() -> None:
    all_scores = [scored(scores) for scores in ALL_SCORES]
    for name, read in (("rfm", rfm_segment), ("rfm_class", rfm_class), ("value", value_of)):
        assert {read(p) for p in all_scores} == set(CLOSED[name])


@settings(max_examples=60, deadline=None)
@given(profiles())
def test_in_every_group_exactly_one_segment_holds_for_anyone(p: Profile) -> None:
    for unit in RULES.units:
        said = unit.evaluate(p, CALENDAR)
        assert said in unit.names or (said == "" and not unit.group)


def test_only_the_churn_band_is_driven_by_a_model() -> None:
    assert [unit.id for unit in RULES.units if unit.model] == ["churn"]


@pytest.mark.parametrize("block", (ROOT / "docs/segments.md").read_text(encoding="utf-8").split("```yaml\n")[1:])
def test_every_example_of_the_documentation_is_a_valid_segments_file(block: str) -> None:
    assert parse_rules(block.split("```", maxsplit=1)[0], "docs/segments.md").units


def test_speed_of_the_shipped_rules_is_shown() -> None:
    p = made("c", as_of=10**12)
    print()
    for unit in RULES.units:
        asked, looked = microseconds(unit.evaluate, p), microseconds(unit.horizon, p)
        print(f"{unit.id:20} evaluate {asked:5.2f} us, horizon {looked:5.2f} us")
    assert RULES.affected(1) is RULES.affected(1)
