"""The churn model that learns: River's scaler and logistic regression, one example at a time, and its snapshots.

A snapshot is plain JSON numbers. Loading one cannot run code, a flipped bit fails the checksum, and a learner restored
from it goes on bit for bit where the first one stopped.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any, Final

import narwhals.stable.v2 as nw
from river import base, linear_model, optim, preprocessing
from river.utils import VectorDict

from processors.features import FEATURES
from processors.parameters import LinearParameters
from processors.prequential import Prequential
from schemas.results import TrainingExample

WEIGHT_RATES: Final = (0.05, 0.001)
INTERCEPT_RATES: Final = (0.5, 0.01)
"""First and least learning rate, chosen on CDNOW and ecom (benchmarks/churn_cdnow.py)."""
LIMIT: Final = 5.0
"""A standardised feature is cut here: a rare one (a first complaint) is 30 deviations out and would throw the model."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A training example, checked, small enough to be held by the hundred thousand. Times in ms."""

    due: int
    """The end of the horizon, when either label would be known."""
    example_id: str
    label_time: int
    label: int
    features: array[float]
    probability: float | None
    """Predicted at snapshot time by a model; null where only the rule did."""
    rule_probability: float


def lesson_of(example: TrainingExample, horizon: int) -> Lesson | str:
    """An example as the learner wants it, or the reason why it is refused: one NaN would poison the model for ever."""
    missing = [name for name in FEATURES if name not in example.features]
    if missing:
        return f"it lacks the features {', '.join(missing)}"
    if example.label not in (0, 1):
        return f"its label is {example.label}"
    values = array("d", [example.features[name] for name in FEATURES])
    if not all(map(isfinite, (*values, example.rule_probability, example.probability or 0.0))):
        return "a number is not finite"
    return Lesson(
        due=example.snapshot_time + horizon + 1,
        example_id=example.example_id,
        label_time=example.label_time,
        label=example.label,
        features=values,
        probability=example.probability if example.model_version else None,
        rule_probability=example.rule_probability,
    )


class Settling(optim.base.Scheduler):  # type: ignore[misc]  # River is untyped
    """A learning rate that falls as first / sqrt(t + 1) down to `least`: customers change, old examples must fade."""

    def __init__(self, first: float, least: float) -> None:
        self.first = first
        self.least = least

    def get(self, t: int) -> float:
        """The rate of step `t`, 0 for the first."""
        return max(self.least, self.first / sqrt(t + 1))


class Limiter(base.MiniBatchTransformer):  # type: ignore[misc]  # River is untyped
    """Cuts every value to [-limit, limit]."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def transform_one(self, x: Mapping[str, float]) -> dict[str, float]:
        """One example, cut."""
        return {name: min(max(value, -self.limit), self.limit) for name, value in x.items()}

    def transform_many(self, X: Any) -> Any:  # noqa: N803  River's name
        """A data frame, cut."""
        return nw.from_native(X).with_columns(nw.all().clip(-self.limit, self.limit)).to_native()

    def learn_many(self, X: Any) -> None:  # noqa: N803
        """It learns nothing."""


class Learnt(LinearParameters, frozen=True, gc=False):
    """The payload of a snapshot: what scoring reads, and what learning needs to go on."""

    counts: list[int]
    """Examples the scaler has seen of each feature: fewer for a feature added later."""
    steps: int
    """Steps of the optimizer."""
    label_time_max: int
    refused: int
    model: Prequential
    """Quality of the models' probabilities; examples scored by the rule are not in it."""
    rule: Prequential
    """Quality of the recency rule on the same examples."""
    shipped: Prequential
    """Quality of what was given out: the rule's before the first model, then the models'."""


class Learner:
    """River's StandardScaler | Limiter | LogisticRegression and its prequential tallies."""

    def __init__(self) -> None:
        """A learner that knows nothing yet."""
        self._scaler = preprocessing.StandardScaler()
        self._regression = linear_model.LogisticRegression(
            optimizer=optim.SGD(Settling(*WEIGHT_RATES)), intercept_lr=Settling(*INTERCEPT_RATES)
        )
        self.pipeline = self._scaler | Limiter(LIMIT) | self._regression
        self.labels = [0, 0]
        """Examples learnt with label 0 and 1."""
        self.label_time_max = 0
        self.refused = 0
        self.model, self.rule, self.shipped = Prequential(), Prequential(), Prequential()

    @property
    def examples(self) -> int:
        """How many examples were learnt: the version of the next snapshot."""
        return sum(self.labels)

    def learn(self, lesson: Lesson) -> None:
        """Judge what was predicted, then learn the label."""
        if lesson.probability is not None:
            self.model.add(lesson.probability, lesson.label)
            self.rule.add(lesson.rule_probability, lesson.label)
        given = lesson.rule_probability if lesson.probability is None else lesson.probability
        self.shipped.add(given, lesson.label)
        self.pipeline.learn_one(dict(zip(FEATURES, lesson.features, strict=True)), bool(lesson.label))
        self.labels[lesson.label] += 1
        self.label_time_max = max(self.label_time_max, lesson.label_time)

    def learnt(self) -> Learnt:
        """All it has learnt, as plain numbers."""
        weights = self._regression.weights
        return Learnt(
            features=list(FEATURES),
            means=[float(self._scaler.means.get(name, 0.0)) for name in FEATURES],
            variances=[float(self._scaler.vars.get(name, 0.0)) for name in FEATURES],
            weights=[float(weights.get(name, 0.0)) for name in FEATURES],
            intercept=float(self._regression.intercept),
            limit=LIMIT,
            positives=self.labels[1],
            negatives=self.labels[0],
            counts=[int(self._scaler.counts.get(name, 0)) for name in FEATURES],
            steps=int(self._regression.optimizer.n_iterations),
            label_time_max=self.label_time_max,
            refused=self.refused,
            model=self.model,
            rule=self.rule,
            shipped=self.shipped,
        )

    @classmethod
    def restored(cls, learnt: Learnt) -> Learner:
        """The learner that goes on from there; a feature not in it starts afresh, one that is gone is dropped."""
        learner = cls()
        learner._set_parameters(learnt)
        learner.labels = [learnt.negatives, learnt.positives]
        learner.label_time_max, learner.refused = learnt.label_time_max, learnt.refused
        learner.model, learner.rule, learner.shipped = learnt.model, learnt.rule, learnt.shipped
        return learner

    def _set_parameters(self, learnt: Learnt) -> None:
        columns = zip(learnt.features, learnt.counts, learnt.means, learnt.variances, learnt.weights, strict=True)
        weights = {}
        for name, count, mean, variance, weight in columns:
            if name in FEATURES and count:
                self._scaler.counts[name] = count
                self._scaler.means[name] = mean
                self._scaler.vars[name] = variance
                weights[name] = weight
        self._regression._weights = VectorDict(weights)  # noqa: SLF001  River offers no other way to set them
        self._regression.intercept = learnt.intercept
        self._regression.optimizer.n_iterations = learnt.steps
