"""The churn score: the recency rule, and linear models published by the trainer.

A scorer is plain numbers read from a `ModelSnapshot`. It computes what River's own pipeline would (a test holds the
two equal), without River: nothing here learns, and nothing here can run code that a snapshot brought. Compiled, the
twenty products of a profile take less than NumPy takes to be asked for them, even for hundreds at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Final

from librt.vecs import append, vec

from processors.calendar import DAY
from processors.features import FEATURES, features, mean_gap
from processors.parameters import LinearParameters, parameters_of
from processors.profile import Profile, Score
from schemas.results import ModelSnapshot

Contributions = list[tuple[str, float]]
"""(feature, signed log-odds), the strongest first."""

KEPT_SNAPSHOTS: Final = 8
MINIMUM_OF_EACH_LABEL: Final = 100
"""Examples of either label a model must have learnt from before its score is used [Segment's minimum]."""
RULE: Final = "recency"
"""What the contribution of the rule score is called."""
REASONS: Final = 3
"""Contributions that are told."""
_MILLION: Final = 1e6


def rule_probability(p: Profile, now: int) -> float:
    """The recency rule: 1 / (1 + exp(-1.5 (x - 2))).

    x = days since the last order over the shrunk mean gap from two orders on, else days since last seen / 30.
    """
    x = (now - p.last_order) / mean_gap(p) if p.gap_count else (now - p.last_seen) / (30 * DAY)
    return 1.0 / (1.0 + exp(-1.5 * (x - 2.0)))


@dataclass(frozen=True, slots=True, eq=False)
class LinearScorer:
    """One published model; each sequence has one number a feature."""

    version: int
    label_time_max: int
    """The model has seen labels up to this instant: it must not score an earlier one."""
    mature: bool
    """Enough of either label was seen; until then the rule scores."""
    means: vec[float]
    inverse_scales: vec[float]
    """1 / standard deviation; 0 where a feature never varied, as River scales it."""
    weights: vec[float]
    intercept: float
    limit: float

    def score(self, values: vec[float]) -> tuple[float, Contributions]:
        """The probability of a row of features, and its 3 strongest contributions."""
        parts = self._parts(values)
        log_odds = 0.0
        for part in parts:
            log_odds += part
        log_odds = min(max(log_odds + self.intercept, -500.0), 500.0)
        return 1.0 / (1.0 + exp(-log_odds)), _strongest(parts)

    def _parts(self, values: vec[float]) -> vec[float]:
        """What each feature adds to the log-odds."""
        means, scales, weights, limit = self.means, self.inverse_scales, self.weights, self.limit
        parts = vec[float](capacity=len(values))
        for i, value in enumerate(values):
            parts = append(parts, min(max((value - means[i]) * scales[i], -limit), limit) * weights[i])
        return parts


def _strongest(parts: vec[float]) -> Contributions:
    found: Contributions = []
    told = 0
    for _ in range(REASONS):
        best = _greatest(parts, told)
        told |= 1 << best
        found.append((FEATURES[best], _rounded(parts[best])))
    return found


def _greatest(parts: vec[float], but: int) -> int:
    """Where the greatest part of either sign stands, leaving out those whose bit is set; of equal ones the first."""
    best, most = 0, -1.0
    for i, part in enumerate(parts):
        if abs(part) > most and not but >> i & 1:
            best, most = i, abs(part)
    return best


def _rounded(x: float) -> float:
    """To a millionth; the built-in `round` takes ten times as long."""
    return int(x * _MILLION + (0.5 if x > 0.0 else -0.5)) / _MILLION


_POSITION: Final = {name: position for position, name in enumerate(FEATURES)}


def scorer_of(snapshot: ModelSnapshot, river_version: str) -> LinearScorer | str:
    """The scorer a snapshot holds, or the reason why it is refused."""
    parameters = parameters_of(snapshot, river_version)
    return parameters if isinstance(parameters, str) else _scorer(snapshot, parameters)


def _scorer(snapshot: ModelSnapshot, parameters: LinearParameters) -> LinearScorer:
    means, inverse_scales, weights = ([0.0] * len(FEATURES) for _ in range(3))
    for name, mean, variance, weight in zip(
        parameters.features, parameters.means, parameters.variances, parameters.weights, strict=True
    ):
        place = _POSITION[name]
        means[place], weights[place] = mean, weight
        inverse_scales[place] = variance**-0.5 if variance else 0.0
    return LinearScorer(
        version=snapshot.version,
        label_time_max=snapshot.label_time_max,
        mature=min(parameters.positives, parameters.negatives) >= MINIMUM_OF_EACH_LABEL,
        means=vec[float](means),
        inverse_scales=vec[float](inverse_scales),
        weights=vec[float](weights),
        intercept=parameters.intercept,
        limit=parameters.limit,
    )


class ScorerHistory:
    """The last 8 published models, so that an instant is scored by what was known at that instant, not later."""

    def __init__(self, river_version: str) -> None:
        """Accept models of this River version only."""
        self._river_version = river_version
        self._scorers: list[LinearScorer] = []

    @property
    def version(self) -> int:
        """Version of the newest model; 0 before the first."""
        return self._scorers[-1].version if self._scorers else 0

    def accept(self, snapshot: ModelSnapshot) -> str | None:
        """Take a snapshot in; one that is not newer is passed over. The reason when it is refused, else null."""
        if snapshot.version <= self.version:
            return None
        scorer = scorer_of(snapshot, self._river_version)
        if isinstance(scorer, str):
            return f"model version {snapshot.version} refused: {scorer}"
        self._scorers = [*self._scorers[1 - KEPT_SNAPSHOTS :], scorer]
        return None

    def choose(self, instant: int) -> LinearScorer | None:
        """The newest model that has seen no label after `instant`; null while none is mature: the rule scores."""
        for scorer in reversed(self._scorers):
            if scorer.label_time_max <= instant:
                return scorer if scorer.mature else None
        return None


def score_of(p: Profile, scorer: LinearScorer | None) -> Score:
    """The score of a profile as it stands, by a model; by the recency rule without one."""
    if scorer is None:
        probability = rule_probability(p, p.as_of)
        likely = min(max(probability, 1e-12), 1.0 - 1e-12)
        return Score(probability, 0, [(RULE, _rounded(log(likely / (1.0 - likely))))], p.as_of)
    probability, contributions = scorer.score(features(p))
    return Score(probability, scorer.version, contributions, p.as_of)
