"""The churn scores of what a batch folded: one vectorised call for all these customers and all new snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from librt.vecs import vec

from processors.calendar import DAY
from processors.changes import Cause
from processors.features import features
from processors.fold import Outcome, Policy, ask
from processors.numbers import least, no_floats
from processors.profile import Profile, Score
from processors.rules import Unit
from processors.scoring import Row, ScorerHistory, rule_probability, score_rows
from processors.traits import SCORE

ELIGIBLE: Final = 30 * DAY
"""A model scores who was seen in the last 30 days; whoever was silent longer keeps to the recency rule."""


def score(profiles: Sequence[Profile], out: Outcome, scorers: ScorerHistory, policy: Policy) -> None:
    """Score folded profiles and every snapshot just taken, then ask the model-driven rules."""
    eligible = [p for p in profiles if p.as_of - p.last_seen <= ELIGIBLE]
    silent = [p for p in profiles if p.as_of - p.last_seen > ELIGIBLE]
    snapshots = out.snapshots
    learnt = scorers.learnt  # else the rule scores everyone
    rows = [_row(p, p.as_of, features(p) if learnt else no_floats()) for p in eligible]
    rows += [(taken.instant, taken.pending.features, taken.pending.rule_probability) for taken in snapshots]
    scored = score_rows(scorers, rows)
    for taken, (probability, version, _) in zip(snapshots, scored[len(eligible) :], strict=True):
        if version:
            taken.pending.probability, taken.pending.model_version = probability, version
    snapshots.clear()
    scored[len(eligible) :] = score_rows(scorers, [_row(p, -1, no_floats()) for p in silent])
    units = policy.rules.affected(SCORE)
    for p, (probability, version, contributions) in zip([*eligible, *silent], scored, strict=True):
        p.score = Score(probability, version, contributions, p.as_of)
        _ask_model_rules(p, units, policy, out)


def _row(p: Profile, instant: int, values: vec[float]) -> Row:
    return instant, values, rule_probability(p, p.as_of)


def _ask_model_rules(p: Profile, units: tuple[Unit, ...], policy: Policy, out: Outcome) -> None:
    """Rules that read the score, asked only where one answers differently: most scores stay within their band."""
    for unit in units:
        if unit.evaluate(p, policy.calendar) != p.labels.get(unit.id, ""):
            assert p.score is not None
            ask(p, units, Cause.model(p.score.model_version, p.as_of), policy, out)
            p.due = min(p.due, least(p.turns))
            return
