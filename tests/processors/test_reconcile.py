"""A profile folded anew takes the place of the live one: numbers go on, labels chain, scores stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from librt.vecs import vec

from processors.calendar import DAY
from processors.changes import Cause
from processors.comparison import Difference, bring_together, differences, rescore
from processors.fold import Outcome, Policy, advance
from processors.profile import Pending, Profile, Score
from processors.reconcile import succeed
from processors.state import decode_state, encode_state
from tests.builders import event, run, shipped_rules
from tests.schemas.records import NOW

RULES = Policy(shipped_rules())
CAUSE = Cause.replay(2, NOW)


def visitor() -> Profile:
    return run([event(time=NOW), event(time=NOW + DAY)], RULES).profile


def copied(p: Profile) -> Profile:
    return decode_state(p.customer, p.version, encode_state(p), RULES.calendar, RULES.limits)


def test_equal_profiles_have_no_differences_and_nothing_to_tell() -> None:
    live, shadow = visitor(), visitor()
    assert differences(live, shadow, RULES) == []
    live.version, live.model_sequence, live.score = 7, 3, Score(0.5, 12, [], NOW)
    assert succeed(shadow, live, RULES, CAUSE) == []
    assert (shadow.version, shadow.model_sequence, shadow.score) == (7, 3, live.score)
    assert shadow.labels == live.labels


def test_time_alone_makes_no_difference() -> None:
    """The one was woken while nobody came, the other stands at its last event."""
    live, shadow = visitor(), visitor()
    advance(live, NOW + 40 * DAY, RULES, Outcome())
    fresh = copied(shadow)
    assert {d.kind for d in differences(live, fresh, RULES)} == {"aggregate", "sequence", "label"}
    bring_together(live, fresh, RULES)
    assert {d.kind for d in differences(live, fresh, RULES)} <= {"model"}, "nobody has scored them"
    assert fresh.sequence == live.sequence > shadow.sequence


@pytest.mark.parametrize(
    ("field", "name", "kind"),
    [("first_seen", "first_seen", "aggregate"), ("left_order", "state.left_order", "aggregate"), ("sequence",) * 3],
)
def test_a_difference_has_the_name_of_the_trait(field: str, name: str, kind: str) -> None:
    live, shadow = visitor(), visitor()
    setattr(live, field, getattr(live, field) + 1)
    assert [(d.name, d.kind) for d in differences(live, shadow, RULES)] == [(name, kind)]


def test_what_a_model_decided_is_told_apart() -> None:
    live, shadow = visitor(), visitor()
    for profile, probability in ((live, 0.9), (shadow, 0.1)):
        profile.score = Score(probability, 3, [], profile.as_of)
        profile.labels["churn"] = "churn_high" if probability > 0.5 else "churn_low"
    found = differences(live, shadow, RULES)
    assert {d.kind for d in found} == {"model"}
    assert Difference("churn_probability", 0.9, 0.1, "model") in found
    for profile in (live, shadow):
        rescore(profile, None, RULES)
    assert differences(live, shadow, RULES) == [], "scored by one rule, equal states score alike"


def test_a_label_that_differs_is_led_over_with_the_next_number() -> None:
    live, shadow = visitor(), visitor()
    right = live.labels["activity"]
    live.labels["activity"] = "lost"
    live.sequence = 41
    (change,) = succeed(shadow, live, RULES, CAUSE)
    assert (change.sequence, change.from_segment, change.to_segment) == (42, "lost", right)
    assert (change.cause, change.driver, change.direction) == ("replay 2", "rule", "entered")
    assert shadow.sequence == 42
    assert shadow.labels == visitor().labels
    again = visitor()
    assert succeed(again, live, RULES, CAUSE) == [change], "the same switch gives the same message"


def test_a_label_whose_definition_is_gone_is_left() -> None:
    kept = tuple(unit for unit in RULES.rules.units if unit.id != "activity")
    rules = replace(RULES, rules=replace(RULES.rules, units=tuple(replace(u, position=n) for n, u in enumerate(kept))))
    live = visitor()
    shadow = run([event(time=NOW), event(time=NOW + DAY)], rules).profile
    before = live.labels["activity"]
    (change,) = succeed(shadow, live, rules, CAUSE)
    assert (change.group, change.from_segment, change.to_segment) == ("activity", before, None)
    assert (change.sequence, change.direction) == (live.sequence + 1, "exited")
    assert "activity" not in shadow.labels


def test_scores_and_model_driven_labels_stay_the_live_ones() -> None:
    live, shadow = visitor(), visitor()
    live.labels["churn"], shadow.labels["churn"] = "churn_high", "churn_low"
    live.score, shadow.score = Score(0.9, 5, [], NOW), Score(0.1, 0, [], NOW)
    for profile, probability in ((live, 0.8), (shadow, None)):
        profile.pending = Pending(NOW + 5, vec[float]([1.0]), 0.5, probability, None if probability is None else 5)
    assert succeed(shadow, live, RULES, CAUSE) == []
    assert shadow.labels["churn"] == "churn_high"
    assert shadow.score == live.score
    assert shadow.pending is not None
    assert (shadow.pending.probability, shadow.pending.model_version) == (0.8, 5)
