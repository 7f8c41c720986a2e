"""The scores of a batch: everybody changed has one, and only who was seen lately has a model's."""

from __future__ import annotations

import pytest

from processors.batch_scores import score
from processors.calendar import DAY
from processors.fold import Outcome, Policy, tick
from processors.profile import Profile
from processors.scoring import ScorerHistory, rule_probability
from tests.builders import START, event, run, shipped_rules


def scored(profile: Profile, policy: Policy) -> Outcome:
    out = Outcome()
    score([profile], out, ScorerHistory("0"), policy)
    return out


@pytest.mark.parametrize("days", [0, 29, 31])
def test_without_a_model_everybody_has_the_rule_score(days: int) -> None:
    policy = Policy(shipped_rules())
    profile = run([event()], policy, until=START + days * DAY).profile
    scored(profile, policy)
    assert profile.score is not None
    assert profile.score.model_version == 0
    assert profile.score.probability == pytest.approx(rule_probability(profile, profile.as_of))
    assert profile.score.time == profile.as_of


def test_model_driven_segments_have_a_sequence_of_their_own_and_are_asked_once() -> None:
    policy = Policy(shipped_rules())
    profile = run([event()], policy).profile
    changes = scored(profile, policy).changes
    assert {change.driver for change in changes} == {"model"}
    assert [change.sequence for change in changes] == list(range(1, len(changes) + 1))
    assert scored(profile, policy).changes == []


def test_silence_raises_the_score_until_a_segment_changes() -> None:
    policy = Policy(shipped_rules())
    profile = run([event()], policy).profile
    scored(profile, policy)
    before = profile.score
    tick(profile, START + 80 * DAY, policy, Outcome())
    changes = scored(profile, policy).changes
    assert before is not None
    assert profile.score is not None
    assert profile.score.probability > before.probability
    assert {change.driver for change in changes} == {"model"}
