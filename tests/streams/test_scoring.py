"""The scores of a batch: everybody changed has one, and only who was seen lately has a model's."""

from __future__ import annotations

import pytest

from processors.calendar import DAY
from processors.fold import Policy, tick
from processors.profile import Profile
from processors.scoring import ScorerHistory, rule_probability
from streams.decision import Decision
from streams.scoring import score
from tests.builders import START, event, run, shipped_rules


def decision_of(profile: Profile) -> Decision:
    return Decision(folded={profile.customer: profile})


@pytest.mark.parametrize("days", [0, 29, 31])
def test_without_a_model_everybody_has_the_rule_score(days: int) -> None:
    policy = Policy(shipped_rules())
    decision = decision_of(run([event()], policy, until=START + days * DAY).profile)
    (profile,) = decision.folded.values()
    score(decision, ScorerHistory("0"), policy)
    assert profile.score is not None
    assert profile.score.model_version == 0
    assert profile.score.probability == pytest.approx(rule_probability(profile, profile.as_of))
    assert profile.score.time == profile.as_of


def test_model_driven_segments_have_a_sequence_of_their_own_and_are_asked_once() -> None:
    policy = Policy(shipped_rules())
    profile = run([event()], policy).profile
    first = decision_of(profile)
    score(first, ScorerHistory("0"), policy)
    assert {change.driver for change in first.outcome.changes} == {"model"}
    assert [change.sequence for change in first.outcome.changes] == list(range(1, len(first.outcome.changes) + 1))
    again = decision_of(profile)
    score(again, ScorerHistory("0"), policy)
    assert again.outcome.changes == []


def test_silence_raises_the_score_until_a_segment_changes() -> None:
    policy = Policy(shipped_rules())
    profile = run([event()], policy).profile
    score(decision_of(profile), ScorerHistory("0"), policy)
    before = profile.score
    tick(profile, START + 80 * DAY, policy, Decision().outcome)
    silent = decision_of(profile)
    score(silent, ScorerHistory("0"), policy)
    assert before is not None
    assert profile.score is not None
    assert profile.score.probability > before.probability
    assert [change.driver for change in silent.outcome.changes] == ["model"] * len(silent.outcome.changes)
    assert silent.outcome.changes
