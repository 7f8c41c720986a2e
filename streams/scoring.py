"""The churn scores of what was folded: one vectorised call for all these customers and all new snapshots."""

from __future__ import annotations

from processors.calendar import DAY
from processors.changes import Cause
from processors.features import features
from processors.fold import Policy, ask
from processors.profile import Profile, Score
from processors.scoring import Row, ScorerHistory, rule_probability, score_rows
from processors.traits import SCORE
from streams.decision import Decision

ELIGIBLE = 30 * DAY
"""A model scores who was seen in the last 30 days; whoever was silent longer keeps to the recency rule."""


def score(decision: Decision, scorers: ScorerHistory, policy: Policy) -> None:
    """Score every folded profile and every snapshot just taken, then ask the model-driven rules."""
    profiles = list(decision.folded.values())
    eligible = [p for p in profiles if p.as_of - p.last_seen <= ELIGIBLE]
    silent = [p for p in profiles if p.as_of - p.last_seen > ELIGIBLE]
    snapshots = decision.outcome.snapshots
    learnt = scorers.learnt  # else the rule scores everyone
    rows: list[Row] = [(p.as_of, features(p) if learnt else [], rule_probability(p, p.as_of)) for p in eligible]
    rows += [(taken.instant, taken.pending.features, taken.pending.rule_probability) for taken in snapshots]
    scored = score_rows(scorers, rows)
    for taken, (probability, version, _) in zip(snapshots, scored[len(eligible) :], strict=True):
        if version:
            taken.pending.probability, taken.pending.model_version = probability, version
    snapshots.clear()
    scored[len(eligible) :] = score_rows(scorers, [(-1, [], rule_probability(p, p.as_of)) for p in silent])
    for p, (probability, version, contributions) in zip([*eligible, *silent], scored, strict=True):
        p.score = Score(probability, version, contributions, p.as_of)
        _ask_model_rules(p, version, policy, decision)


def _ask_model_rules(p: Profile, version: int, policy: Policy, decision: Decision) -> None:
    """Rules that read the score, asked only where one answers differently: most scores stay within their band."""
    units = policy.rules.affected(SCORE)
    if any(unit.evaluate(p, policy.calendar) != p.labels.get(unit.id, "") for unit in units):
        ask(p, units, Cause.model(version, p.as_of), policy, decision.outcome)
        p.due = min(p.due, *p.turns)
