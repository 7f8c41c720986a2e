"""An explanation says what holds, why, what to do, and until when."""

from __future__ import annotations

from processors.calendar import DAY
from processors.explain import Explanation, explain
from processors.rules import parse_rules
from tests.processors.rules.histories import CALENDAR, someone, yaml_of_group, yaml_of_lone

RULES = parse_rules(
    yaml_of_group(["days_since_last_seen  < 7"]) + yaml_of_lone("orders_90d >= 1", "action: Thank them"), "s.yaml"
)


def test_a_segment_that_holds_is_explained_by_its_condition_values_and_end() -> None:
    p = someone(("page_viewed", 0))
    group, _ = explain(p, RULES, CALENDAR)
    assert group == Explanation(
        unit="g",
        segment="s0",
        holds=True,
        names={"en": "S", "zh": "段"},
        condition="days_since_last_seen < 7",
        evidence={"days_since_last_seen": "0"},
        action=None,
        until=p.last_seen + 7 * DAY,
    )


def test_a_lone_segment_that_does_not_hold_is_explained_without_an_action() -> None:
    _, lone = explain(someone(("page_viewed", 0)), RULES, CALENDAR)
    assert (lone.segment, lone.holds, lone.evidence, lone.action, lone.until) == (
        "x",
        False,
        {"orders_90d": "0"},
        None,
        None,
    )


def test_a_lone_segment_that_holds_says_what_to_do() -> None:
    _, lone = explain(someone(("order_completed", 0)), RULES, CALENDAR)
    assert (lone.holds, lone.evidence, lone.action) == (True, {"orders_90d": "1"}, "Thank them")
