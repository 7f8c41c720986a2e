"""A condition means what Python means by it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.profile import Profile
from processors.rules import parse_rules
from processors.traits import TRAITS
from tests.processors.rules.histories import CALENDAR, conditions, profiles, yaml_of_group, yaml_of_lone


def says(condition: str, p: Profile) -> bool:
    """Python's own answer, with every trait read first."""
    return bool(eval(condition, {"__builtins__": {}}, {name: trait.read(p) for name, trait in TRAITS.items()}))


@settings(max_examples=80, deadline=None)
@given(profiles(), st.lists(conditions, min_size=1, max_size=4))
def test_a_group_gives_the_first_segment_whose_condition_python_finds_true(p: Profile, texts: list[str]) -> None:
    (unit,) = parse_rules(yaml_of_group(texts), "s.yaml").units
    expected = next((f"s{n}" for n, text in enumerate(texts) if says(text, p)), "rest")
    assert unit.evaluate(p, CALENDAR) == expected


@settings(max_examples=60, deadline=None)
@given(profiles(), conditions)
def test_a_lone_segment_holds_exactly_when_python_finds_its_condition_true(p: Profile, text: str) -> None:
    (unit,) = parse_rules(yaml_of_lone(text), "s.yaml").units
    assert (unit.evaluate(p, CALENDAR) == "x") == says(text, p)


@settings(max_examples=60, deadline=None)
@given(profiles(), conditions, conditions)
def test_asking_again_after_a_change_gives_the_same_answer(p: Profile, enters: str, leaves: str) -> None:
    (unit,) = parse_rules(yaml_of_lone(enters, f"exit_when: {leaves}"), "s.yaml").units
    for before in ("", "x"):
        p.labels = {"x": before} if before else {}
        now = unit.evaluate(p, CALENDAR)
        p.labels = {"x": now} if now else {}
        assert unit.evaluate(p, CALENDAR) == now
