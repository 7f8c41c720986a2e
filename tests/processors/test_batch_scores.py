"""The scores of a batch: everybody changed has one, and only who was seen lately has a model's."""

from __future__ import annotations

import pytest
from librt.vecs import vec

from processors.batch_scores import score
from processors.calendar import DAY
from processors.churn import Snapshot
from processors.features import FEATURES
from processors.fold import Outcome, Policy, tick
from processors.profile import Pending, Profile
from processors.scoring import RULE, ScorerHistory, rule_probability
from tests.builders import NO_RULES, START, event, made, run, shipped_rules
from tests.processors.test_scoring import history_of, snapshot


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


def models(*label_times: int) -> ScorerHistory:
    """One model after the other, each of which has seen labels up to an instant."""
    return history_of(*(snapshot(version, instant) for version, instant in enumerate(label_times, 1)))


def seen_on(day: int) -> Profile:
    """Somebody whose last event was at the first instant of a day, where he stands."""
    return made(f"of-day-{day}", first_seen=1, last_seen=day * DAY, as_of=day * DAY)


def test_everybody_is_scored_by_the_newest_model_that_knew_no_later_label() -> None:
    people = [seen_on(day) for day in (99, 100, 199, 200)]
    score(people, Outcome(), models(100 * DAY, 200 * DAY), Policy(NO_RULES))
    assert [p.score.model_version for p in people if p.score] == [0, 1, 1, 2]


def test_a_model_scores_who_was_seen_within_thirty_days_and_the_rule_everybody_else() -> None:
    seen, silent = seen_on(1), seen_on(1)
    seen.as_of, silent.as_of = 31 * DAY, 31 * DAY + 1
    score([seen, silent], Outcome(), models(0), Policy(NO_RULES))
    assert seen.score is not None
    assert silent.score is not None
    assert seen.score.model_version == 1
    assert silent.score.model_version == 0
    assert [name for name, _ in silent.score.contributions] == [RULE]


def test_a_snapshot_is_predicted_as_of_its_event_not_as_of_the_end_of_its_day() -> None:
    features = vec[float]([1.0] * len(FEATURES))
    snapshots = [Snapshot(Pending(day * DAY + DAY, features, 0.25), day * DAY) for day in (99, 100, 199, 200)]
    out, history = Outcome(snapshots=snapshots[:]), models(100 * DAY, 200 * DAY)
    score([], out, history, Policy(NO_RULES))
    assert [each.pending.model_version for each in snapshots] == [None, 1, 1, 2]
    assert snapshots[0].pending.probability is None
    newest = history.choose(200 * DAY)
    assert newest is not None
    assert snapshots[3].pending.probability == newest.score(features)[0]
    assert out.snapshots == []


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
