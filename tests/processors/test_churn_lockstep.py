"""On a real history: no score depends on what happens later, and a lockstep replay repeats every score."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from functools import cache

import pytest

from benchmarks.lockstep import Lockstep
from processors.calendar import DAY
from streams.replay.datasets import cdnow
from streams.replay.envelope import TopicEvent

CUTS = [int(datetime(1997, month, day, tzinfo=UTC).timestamp()) * 1000 for month, day in ((5, 10), (7, 1))]


@cache
def history() -> list[TopicEvent]:
    """Every 25th customer of CDNOW up to October 1997."""
    end = int(datetime(1997, 10, 1, tzinfo=UTC).timestamp()) * 1000
    return [
        (topic, event) for topic, event in cdnow() if int(event["customer_id"]) % 25 == 0 and event["event_time"] < end
    ]


def run(events: list[TopicEvent]) -> Lockstep:
    lockstep = Lockstep()
    lockstep.run(events)
    return lockstep


@cache
def undisturbed() -> Lockstep:
    return run(history())


def changed_after(cut: int) -> list[TopicEvent]:
    """Half of what comes after `cut` does not happen, the rest a week later and worth ten times as much."""
    before = [pair for pair in history() if pair[1]["event_time"] <= cut]
    after = [pair for pair in history() if pair[1]["event_time"] > cut][::2]
    moved = [
        (topic, event | {"event_time": event["event_time"] + 7 * DAY, "revenue": 10 * event["revenue"]})
        for topic, event in after
    ]
    return before + moved


def test_many_models_give_many_scores() -> None:
    scores = undisturbed().scores
    assert sum(version > 0 for *_, version in scores) > 500
    assert len({version for *_, version in scores}) > 50


@pytest.mark.parametrize("cut", CUTS)
def test_no_score_depends_on_what_happens_after_it(cut: int) -> None:
    known = [scored for scored in undisturbed().scores if scored[1] <= cut]
    other = [scored for scored in run(changed_after(cut)).scores if scored[1] <= cut]
    assert other == known
    assert any(version > 0 for *_, version in known)


def test_a_replay_in_lockstep_repeats_every_score() -> None:
    assert run(history()).scores == undisturbed().scores


def test_no_model_learnt_a_label_before_its_time() -> None:
    lockstep = undisturbed()
    by_time = sorted(one.label_time for one in lockstep.examples)
    for _, instant, _, version in lockstep.scores:
        assert bisect_right(by_time, instant) >= version


def test_the_score_ranks_better_than_the_recency_rule() -> None:
    learner = undisturbed().curriculum.learner
    assert learner.model.roc_auc is not None
    assert learner.rule.roc_auc is not None
    assert learner.model.roc_auc > 0.65 > learner.rule.roc_auc
    assert learner.model.log_loss is not None
    assert learner.rule.log_loss is not None
    assert learner.model.log_loss < 0.62 < learner.rule.log_loss
