"""The churn scores of customers just folded: one call for all of them and all new snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from processors.calendar import DAY
from processors.changes import Cause
from processors.churn import Snapshot
from processors.fold import Outcome, Policy, ask
from processors.numbers import least
from processors.profile import Profile
from processors.rules import Unit
from processors.scoring import ScorerHistory, score_of
from processors.traits import SCORE

ELIGIBLE: Final = 30 * DAY
"""A model scores who was seen in the last 30 days; whoever was silent longer keeps to the recency rule."""


def score(profiles: Sequence[Profile], out: Outcome, scorers: ScorerHistory, policy: Policy) -> None:
    """Score folded profiles and every snapshot just taken, then ask the model-driven rules."""
    for taken in out.snapshots:
        _predict(taken, scorers)
    out.snapshots.clear()
    units = policy.rules.affected(SCORE)
    for p in profiles:
        p.score = score_of(p, scorers.choose(p.as_of) if p.as_of - p.last_seen <= ELIGIBLE else None)
        _ask_model_rules(p, units, policy, out)


def _predict(taken: Snapshot, scorers: ScorerHistory) -> None:
    """What a model says of a snapshot, to be judged by its label; the rule's answer was noted when it was taken."""
    scorer = scorers.choose(taken.instant)
    if scorer is not None:
        pending = taken.pending
        pending.probability, _ = scorer.score(pending.features)
        pending.model_version = scorer.version


def _ask_model_rules(p: Profile, units: tuple[Unit, ...], policy: Policy, out: Outcome) -> None:
    """Rules that read the score, asked only where one answers differently: most scores stay within their band."""
    for unit in units:
        if unit.evaluate(p, policy.calendar) != p.labels.get(unit.id, ""):
            assert p.score is not None
            ask(p, units, Cause.model(p.score.model_version, p.as_of), policy, out)
            p.due = min(p.due, least(p.turns))
            return
