"""The due instant is never too late: no answer changes by time alone before its horizon."""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from librt.vecs import vec
from mypy_extensions import i64

from processors.calendar import DAY, FIVE, HOUR, MINUTE, NEVER, Calendar, calendar_of
from processors.fold import Outcome, Policy, advance
from processors.numbers import none
from processors.profile import Profile
from processors.rules import RuleSet, Unit, parse_rules
from tests.processors.rules.histories import (
    CALENDAR,
    START,
    conditions,
    profiles,
    someone,
    yaml_of_group,
    yaml_of_lone,
)

copyreg.pickle(type(none()), lambda numbers: (vec[i64], (list(numbers),)))
copyreg.pickle(type(vec[float]()), lambda numbers: (vec[float], (list(numbers),)))

NEW_YORK = calendar_of("America/New_York")
UNTIL = 400 * DAY
SHIPPED = parse_rules(Path("deploy/segments.yaml").read_text(encoding="utf-8"), "segments.yaml")


def later(p: Profile, instant: int, calendar: Calendar = CALENDAR) -> Profile:
    """The same customer at a later instant, with no event in between."""
    copy = deepcopy(p)
    copy.due = NEVER
    advance(copy, instant, Policy(RuleSet("", ()), calendar), Outcome())
    return copy


def instants_worth_looking_at(p: Profile, marks: list[int], calendar: Calendar) -> list[int]:
    """Every instant at which anything kept in a profile leaves, closes or comes of age; and one ms beside each."""
    found = {*marks, p.session_due, p.activity_until + 1, p.rfm_until + 1}
    found |= {((key >> 6) + 12) * FIVE for key in p.fives.keys} | {((key >> 6) + 24) * HOUR for key in p.hours.keys}
    found |= {calendar.start((key >> 6) + days) for key in p.days.keys for days in (7, 30, 90)}
    since = {p.first_seen, p.last_seen, p.last_order} - {0}
    found |= {start + n * DAY for start in since for n in (*range(8), 30, 31, 90, 91, 1000)}
    found |= {order.time + 365 * DAY + 1 for order in p.orders}
    for n in (30, 60, 90, 180, 270):
        found |= {p.last_seen + n * DAY + 1, p.last_order + (n + 1) * DAY}
    return sorted({t + d for t in found for d in (-1, 0, 1) if p.as_of < t + d < p.as_of + UNTIL})


def first_change(unit: Unit, p: Profile, marks: list[int], calendar: Calendar) -> tuple[int, str]:
    """By brute force: the first instant at which the unit says something else than now, and what (or NEVER)."""
    now = unit.evaluate(p, calendar)
    moving = deepcopy(p)
    for instant in instants_worth_looking_at(p, marks, calendar):
        moving = later(moving, instant, calendar)
        if (said := unit.evaluate(moving, calendar)) != now:
            return instant, said
    return NEVER, now


def check(unit: Unit, p: Profile, marks: Sequence[int] = (), calendar: Calendar = CALENDAR) -> None:
    horizon = unit.horizon(p, calendar)
    assert horizon > p.as_of
    changed, said = first_change(unit, p, [*marks], calendar)
    assert horizon <= changed, f"{unit.evaluate(p, calendar)} becomes {said} at as_of + {changed - p.as_of}"


@settings(max_examples=80, deadline=None)
@given(profiles(), st.integers(0, 95 * DAY), st.lists(conditions, min_size=1, max_size=3))
def test_no_group_changes_before_its_horizon(p: Profile, silence: int, texts: list[str]) -> None:
    (unit,) = parse_rules(yaml_of_group(texts), "s.yaml").units
    check(unit, later(p, p.as_of + silence))


@st.composite
def lone_segments(draw: st.DrawFn) -> Unit:
    """A lone segment with exit condition, often with a dwell."""
    more = [f"exit_when: {draw(conditions)}"]
    if dwell := draw(st.sampled_from(["", "3d", "12h", "90d"])):
        more.append(f"min_dwell: {dwell}")
    return parse_rules(yaml_of_lone(draw(conditions), *more), "s.yaml").units[0]


@settings(max_examples=60, deadline=None)
@given(profiles(), st.integers(0, 40 * DAY), lone_segments(), st.one_of(st.none(), st.integers(0, 5 * DAY)))
def test_no_segment_with_exit_condition_and_dwell_changes_before_its_horizon(
    p: Profile, silence: int, unit: Unit, entered: int | None
) -> None:
    """`entered`: ms ago, or null when it does not hold."""
    p = later(p, p.as_of + silence)
    if entered is not None:
        p.labels, p.entered = {"x": "x"}, {"x": p.as_of - entered}
    check(unit, p, [p.entered.get("x", 0) + unit.min_dwell])


@settings(max_examples=60, deadline=None)
@given(profiles(most=25), st.integers(0, 95 * DAY), st.data())
def test_no_shipped_unit_changes_before_its_horizon(p: Profile, silence: int, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(SHIPPED.units))
    p = later(p, p.as_of + silence)
    if label := data.draw(st.sampled_from(["", *unit.names])):
        p.labels[unit.id] = label
    check(unit, p)


@settings(max_examples=40, deadline=None)
@given(profiles(calendar=NEW_YORK), st.integers(0, 95 * DAY), conditions)
def test_no_answer_changes_before_its_horizon_where_days_have_23_and_25_hours(
    p: Profile, silence: int, text: str
) -> None:
    (unit,) = parse_rules(yaml_of_lone(text), "s.yaml").units
    check(unit, later(p, p.as_of + silence, NEW_YORK), calendar=NEW_YORK)


MIDNIGHT = 19_700 * DAY
EXACT = [
    # of three cart adds the second to leave takes the sum below 2
    ("cart_adds_1h >= 2", [("product_added", n * 10 * MINUTE) for n in range(3)], START + 10 * MINUTE + HOUR),
    ("cart_adds_1h > 2", [("product_added", n * 10 * MINUTE) for n in range(3)], START + HOUR),
    ("cart_adds_1h > 3", [("product_added", n * 10 * MINUTE) for n in range(3)], NEVER),
    ("2 <= cart_adds_24h <= 2", [("product_added", n * HOUR) for n in range(3)], START + DAY),
    ("orders_90d >= 1", [("order_completed", 0)], MIDNIGHT + 90 * DAY),
    ("days_since_last_seen >= 7", [("page_viewed", 0)], START + 7 * DAY),
    ("days_since_last_seen > 7", [("page_viewed", 0)], START + 8 * DAY),
    ("days_since_last_seen == 7", [("page_viewed", 0)], START + 7 * DAY),
    ('activity == "active"', [("page_viewed", 0)], START + 30 * DAY + 1),
    ("sessions_closed_24h >= 1", [("page_viewed", 0)], START + 30 * MINUTE + 1),
    ("frequency == 1", [("order_completed", 0)], START + 365 * DAY + 1),
    # a false `and` waits for the last of its false parts, a true one for the first
    ("days_since_last_seen >= 7 and tenure_days >= 9", [("page_viewed", 0)], START + 9 * DAY),
    ("days_since_last_seen >= 7 or tenure_days >= 9", [("page_viewed", 0)], START + 7 * DAY),
    ("not (days_since_last_seen >= 7 or tenure_days >= 9)", [("page_viewed", 0)], START + 7 * DAY),
    ("tenure_days < 9 and days_since_last_seen < 7", [("page_viewed", 0)], START + 7 * DAY),
    ("cart_adds_1h >= 1 and last_nps >= 9", [("product_added", 0)], NEVER),
    ("last_nps >= 9", [("page_viewed", 0)], NEVER),
]


@pytest.mark.parametrize(("condition", "visits", "expected"), EXACT, ids=[condition for condition, _, _ in EXACT])
def test_the_horizon_is_as_late_as_it_can_be(condition: str, visits: list[tuple[str, int]], expected: int) -> None:
    (unit,) = parse_rules(yaml_of_lone(condition), "s.yaml").units
    p = someone(*visits)
    assert unit.horizon(p, CALENDAR) == expected
    check(unit, p)


def test_distinct_days_of_24_hours_fall_when_the_first_of_many_hours_leaves() -> None:
    (unit,) = parse_rules(yaml_of_lone("active_days_24h >= 2"), "s.yaml").units
    p = someone(("page_viewed", 18 * HOUR), *(("page_viewed", n * HOUR) for n in range(20, 30)))
    assert unit.evaluate(p, CALENDAR) == "x"
    check(unit, p)


def test_a_dwell_is_waited_out_only_when_the_conditions_already_say_otherwise() -> None:
    (unit,) = parse_rules(yaml_of_lone("cart_adds_1h >= 1", "min_dwell: 3h"), "s.yaml").units
    p = someone(("product_added", 0))
    p.labels, p.entered = {"x": "x"}, {"x": START}
    assert unit.horizon(p, CALENDAR) == START + 3 * HOUR
    p = later(p, START + 2 * HOUR)
    assert (unit.evaluate(p, CALENDAR), unit.horizon(p, CALENDAR)) == ("x", START + 3 * HOUR)
    p = later(p, START + 3 * HOUR)
    assert unit.evaluate(p, CALENDAR) == ""
