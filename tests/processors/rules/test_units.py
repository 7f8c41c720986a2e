"""Units: precedence, hysteresis, dwell, masks, evidence, versions."""

from __future__ import annotations

from processors.calendar import DAY, HOUR
from processors.measures import M
from processors.profile import ROW_30D, ROW_90D, Profile, Score
from processors.rules import RuleSet, Unit, parse_rules
from processors.traits import EVERYTHING, SCORE, SEEN
from tests.builders import made
from tests.processors.rules.histories import CALENDAR, yaml_of_group, yaml_of_lone

REVENUE = ROW_90D + M["revenue"]


def unit_of(content: str) -> Unit:
    (unit,) = parse_rules(content, "s.yaml").units
    return unit


def spender(revenue: int, **labels: str) -> Profile:
    p = made("c", as_of=1_000 * DAY, labels=labels)
    p.totals[REVENUE] = revenue
    return p


def answer(unit: Unit, p: Profile) -> str:
    return unit.evaluate(p, CALENDAR)


def test_the_first_segment_that_matches_holds_and_the_last_takes_what_is_left() -> None:
    unit = unit_of(yaml_of_group(["revenue_90d >= 500", "revenue_90d >= 100"]))
    assert [answer(unit, spender(n)) for n in (500, 499, 100, 99)] == ["s0", "s1", "s1", "rest"]


def test_a_lone_segment_that_does_not_hold_is_the_empty_text() -> None:
    unit = unit_of(yaml_of_lone("revenue_90d >= 500"))
    assert [answer(unit, spender(n)) for n in (500, 499)] == ["x", ""]


def test_with_an_exit_condition_the_current_segment_stays_until_it_holds() -> None:
    unit = unit_of(yaml_of_lone("revenue_90d >= 500", "exit_when: revenue_90d < 400"))
    assert [answer(unit, spender(450)), answer(unit, spender(450, x="x")), answer(unit, spender(399, x="x"))] == [
        "",
        "x",
        "",
    ]


def test_inside_a_group_only_the_current_segments_exit_condition_counts() -> None:
    unit = unit_of(yaml_of_group(["revenue_90d >= 500", "revenue_90d >= 100"], ["revenue_90d < 400", None]))
    assert answer(unit, spender(450, g="s0")) == "s0"
    assert answer(unit, spender(450, g="s1")) == "s1"
    assert answer(unit, spender(99, g="s0")) == "rest"


def test_a_segment_entered_stays_for_its_dwell_whatever_its_condition_says() -> None:
    unit = unit_of(yaml_of_lone("revenue_90d >= 500", "min_dwell: 3d"))
    p = spender(0, x="x")
    p.entered = {"x": p.as_of - 3 * DAY + 1}
    assert (unit.min_dwell, answer(unit, p)) == (3 * DAY, "x")
    p.entered = {"x": p.as_of - 3 * DAY}
    assert answer(unit, p) == ""


def test_in_a_group_only_the_segment_with_a_dwell_waits() -> None:
    unit = unit_of(yaml_of_group(["revenue_90d >= 500", "revenue_90d >= 100"], dwells=["12h", None]))
    p = spender(0, g="s0")
    p.entered = {"g": p.as_of - HOUR}
    assert answer(unit, p) == "s0"
    p.labels["g"] = "s1"
    assert answer(unit, p) == "rest"


def test_a_label_of_an_older_segments_file_is_replaced() -> None:
    unit = unit_of(yaml_of_group(["revenue_90d >= 500"], ["revenue_90d < 1"], ["3d"]))
    assert answer(unit, spender(10, g="gone")) == "rest"


def test_a_unit_is_affected_only_by_changes_of_traits_it_reads() -> None:
    content = yaml_of_group(["revenue_90d >= 500"], ["days_since_last_seen > 3"]) + yaml_of_lone("last_nps == 9")
    rules = parse_rules(content, "s.yaml")
    group, lone = rules.units
    assert group.mask == 1 << M["revenue"] | SEEN
    assert rules.affected(SEEN) == (group,)
    assert rules.affected(EVERYTHING) == (group, lone)
    assert rules.affected(1 << M["searches"]) == ()
    assert rules.affected(SEEN) is rules.affected(SEEN)


def test_masks_beyond_number_do_not_fill_the_memory() -> None:
    rules = RuleSet("", ())
    for mask in range(10_000):
        rules.affected(mask)
    assert len(rules._memo) <= 4_096


def test_a_unit_that_reads_a_models_trait_is_model_driven() -> None:
    unit = unit_of(yaml_of_lone("churn_probability >= 0.7"))
    assert (unit.model, unit.mask) == (True, SCORE)
    assert not unit_of(yaml_of_lone("orders_90d >= 1")).model


def test_evidence_names_what_the_condition_read_with_its_values() -> None:
    unit = unit_of(yaml_of_group(['revenue_90d >= 500 and activity == "lost"', "churn_probability > 0.5"]))
    p = spender(123_456_789)
    p.activity, p.score = "lost", Score(1 / 3, 1, [], 0)
    assert unit.evidence(p, "s0") == {"revenue_90d": "123456789", "activity": "lost"}
    assert unit.evidence(p, "s1") == {"churn_probability": "0.333333"}
    assert unit.evidence(p, "rest") == {"revenue_90d": "123456789", "activity": "lost", "churn_probability": "0.333333"}


def test_a_unit_knows_which_of_its_segments_are_no_news_for_a_newcomer() -> None:
    unit = unit_of(yaml_of_group(["revenue_90d >= 500"]) + "        quiet: true\n")
    assert unit.quiet == {"rest"}


def test_names_and_actions_are_those_of_the_file() -> None:
    unit = unit_of(yaml_of_lone("revenue_90d >= 500", "action: Call them"))
    assert (unit.action("x"), unit.action(""), unit.names) == ("Call them", None, {"x": {"en": "X", "zh": "某"}})


def test_the_version_follows_the_content_and_not_the_layout() -> None:
    def version(condition: str, *more: str) -> str:
        return parse_rules(yaml_of_lone(condition, *more), "s.yaml").version

    assert version("revenue_90d >= 500") == version("(revenue_90d  >=  5 * 100)   # five hundred", "# note")
    others = [version("revenue_90d >= 501"), version("revenue_90d > 500"), version("revenue_30d >= 500")]
    others += [version("revenue_90d >= 500", line) for line in ("action: a", "min_dwell: 1d", "exit_when: gap_sum > 1")]
    assert len({version("revenue_90d >= 500"), *others}) == 7


def test_a_group_that_names_every_value_of_a_closed_trait_needs_no_last_segment_without_condition() -> None:
    content = yaml_of_group(['activity == "active"', 'activity in ("dormant", "lost")'])
    unit = unit_of(content[: content.index("      - id: rest")])
    p = spender(0)
    p.activity = "lost"
    assert answer(unit, p) == "s1"


def test_a_condition_may_read_one_trait_many_times() -> None:
    unit = unit_of(yaml_of_lone("page_views_30d > 1 and (page_views_30d < 9 or page_views_30d - orders_30d > 20)"))
    p = Profile("c")
    for views, holds in ((1, ""), (2, "x"), (9, ""), (21, "x")):
        p.totals[ROW_30D + M["page_views"]] = views
        assert answer(unit, p) == holds
