"""The churn score: the recency rule, and linear models published by the trainer, applied to many rows in one call.

A scorer is plain numbers read from a `ModelSnapshot`. It computes what River's own pipeline would (a test holds the
two equal), without River: nothing here learns, and nothing here can run code that a snapshot brought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import repeat
from math import exp, isfinite, log
from operator import itemgetter
from typing import Final

import msgspec
import numpy as np
from librt.vecs import vec
from numpy.typing import NDArray

from processors.calendar import DAY
from processors.features import FEATURES, mean_gap
from processors.profile import Profile
from schemas.results import ModelSnapshot

Floats = NDArray[np.float64]
Contributions = list[tuple[str, float]]
"""(feature, signed log-odds), the strongest first."""

KEPT_SNAPSHOTS: Final = 8
MINIMUM_OF_EACH_LABEL: Final = 100
"""Examples of either label a model must have learnt from before its score is used [Segment's minimum]."""
RULE: Final = "recency"
"""What the contribution of the rule score is called."""


def rule_probability(p: Profile, now: int) -> float:
    """The recency rule: 1 / (1 + exp(-1.5 (x - 2))).

    x = days since the last order over the shrunk mean gap from two orders on, else days since last seen / 30.
    """
    x = (now - p.last_order) / mean_gap(p) if p.gap_count else (now - p.last_seen) / (30 * DAY)
    return 1.0 / (1.0 + exp(-1.5 * (x - 2.0)))


class LinearParameters(msgspec.Struct, frozen=True, gc=False):
    """The part of a snapshot's payload that scoring reads; all lists in the order of `features`."""

    features: list[str]
    means: list[float]
    variances: list[float]
    weights: list[float]
    intercept: float
    limit: float
    """A standardised feature is cut to [-limit, limit]."""
    positives: int
    negatives: int


@dataclass(frozen=True, slots=True, eq=False)
class LinearScorer:
    """One published model as arrays of shape (features,)."""

    version: int
    label_time_max: int
    """The model has seen labels up to this instant: it must not score an earlier one."""
    mature: bool
    """Enough of either label was seen; until then the rule scores."""
    means: Floats
    inverse_scales: Floats
    """1 / standard deviation; 0 where a feature never varied, as River scales it."""
    weights: Floats
    intercept: float
    limit: float

    def score(self, matrix: Floats) -> tuple[Floats, list[Contributions]]:
        """Probabilities (n,) and each row's 3 strongest contributions, for a matrix of shape (n, features)."""
        parts = (matrix - self.means) * self.inverse_scales
        np.clip(parts, -self.limit, self.limit, out=parts)
        parts *= self.weights
        log_odds = parts.sum(axis=1) + self.intercept
        return 1.0 / (1.0 + np.exp(-np.clip(log_odds, -500.0, 500.0))), _strongest(parts)


def _strongest(parts: Floats) -> list[Contributions]:
    size, rows = np.abs(parts), np.arange(len(parts))
    columns = []
    for _ in range(3):
        best = size.argmax(axis=1)
        size[rows, best] = -1.0
        columns.append((_NAMES[best].tolist(), parts[rows, best].round(6).tolist()))
    first, second, third = (zip(*column, strict=True) for column in columns)
    return list(map(list, zip(first, second, third, strict=True)))


_NAMES: Final = np.array(FEATURES, dtype=object)
_POSITION: Final = {name: position for position, name in enumerate(FEATURES)}


def scorer_of(snapshot: ModelSnapshot, river_version: str) -> LinearScorer | str:
    """The scorer a snapshot holds, or the reason why it is refused."""
    if snapshot.river_version != river_version:
        return f"learnt by River {snapshot.river_version}, this is River {river_version}"
    if sha256(snapshot.payload).hexdigest() != snapshot.checksum:
        return "the checksum is not the payload's"
    try:
        parameters = msgspec.json.decode(snapshot.payload, type=LinearParameters)
    except msgspec.DecodeError as error:
        return f"unreadable payload: {error}"
    return _refusal(parameters) or _scorer(snapshot, parameters)


def _refusal(parameters: LinearParameters) -> str | None:
    unknown = [name for name in parameters.features if name not in _POSITION]
    if unknown:
        return f"unknown features: {', '.join(unknown)}"
    lists = (parameters.means, parameters.variances, parameters.weights)
    if any(len(numbers) != len(parameters.features) for numbers in lists):
        return "parameters and features differ in length"
    numbers = [*parameters.means, *parameters.variances, *parameters.weights, parameters.intercept, parameters.limit]
    if not all(map(isfinite, numbers)) or min(parameters.variances, default=0.0) < 0 or parameters.limit <= 0:
        return "parameters out of range"
    return None


def _scorer(snapshot: ModelSnapshot, parameters: LinearParameters) -> LinearScorer:
    means, inverse_scales, weights = np.zeros((3, len(FEATURES)))
    places = [_POSITION[name] for name in parameters.features]
    means[places] = parameters.means
    inverse_scales[places] = [variance**-0.5 if variance else 0.0 for variance in parameters.variances]
    weights[places] = parameters.weights
    return LinearScorer(
        version=snapshot.version,
        label_time_max=snapshot.label_time_max,
        mature=min(parameters.positives, parameters.negatives) >= MINIMUM_OF_EACH_LABEL,
        means=means,
        inverse_scales=inverse_scales,
        weights=weights,
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

    @property
    def learnt(self) -> bool:
        """Whether any model kept may score."""
        return any(scorer.mature for scorer in self._scorers)

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


Row = tuple[int, vec[float], float]
"""(instant scored, features, rule probability)."""
Scored = tuple[float, int, Contributions]
"""(probability, model version or 0 for the rule, contributions)."""
_INSTANT: Final = itemgetter(0)
_FEATURES: Final = itemgetter(1)


def score_rows(history: ScorerHistory, rows: Sequence[Row]) -> list[Scored]:
    """Score rows in their order: one vectorised call for each model in use, normally one."""
    if not rows:
        return []
    instants = list(map(_INSTANT, rows))
    oldest = history.choose(min(instants))
    if oldest is history.choose(max(instants)):  # a later instant never gets an older model
        return score_by(oldest, rows)
    chosen = [history.choose(instant) for instant in instants]
    scored: dict[int, Scored] = {}
    for scorer in set(chosen):
        positions = [position for position, choice in enumerate(chosen) if choice is scorer]
        scored.update(zip(positions, score_by(scorer, [rows[position] for position in positions]), strict=True))
    return [scored[position] for position in range(len(rows))]


def score_by(scorer: LinearScorer | None, rows: Sequence[Row]) -> list[Scored]:
    """Score rows by one model whatever their instants, in one vectorised call; by the rule without one."""
    if scorer is None:
        return [_score_by_rule(probability) for _, _, probability in rows]
    numbers = np.frombuffer(b"".join(map(_FEATURES, rows)), np.float64)
    probabilities, contributions = scorer.score(numbers.reshape(len(rows), len(FEATURES)))
    return list(zip(probabilities.tolist(), repeat(scorer.version), contributions))


def _score_by_rule(probability: float) -> Scored:
    likely = min(max(probability, 1e-12), 1.0 - 1e-12)
    return probability, 0, [(RULE, round(log(likely / (1.0 - likely)), 6))]
