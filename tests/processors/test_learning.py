"""The learner is River's, its scorer gives River's numbers, and a restored one goes on bit for bit."""

from __future__ import annotations

import random
from hashlib import sha256
from math import inf, nan

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from librt.vecs import vec

from processors.calendar import DAY
from processors.curriculum import Curriculum, Plan
from processors.features import FEATURES
from processors.learning import Learner, Learnt, Lesson, lesson_of
from processors.scoring import ScorerHistory
from schemas.results import ModelSnapshot, TrainingExample

HORIZON = 30 * DAY
RARE = FEATURES.index("complaints_open")


def examples(n: int, seed: int = 5) -> list[TrainingExample]:
    """Churn follows few active days; one feature is rare, one never varies."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        values = [rng.gauss(1, 2) for _ in FEATURES]
        values[RARE] = float(rng.random() < 0.002)
        values[-1] = 0.5
        label = int(rng.gauss(0, 1) > values[4] - 1)
        made.append(
            TrainingExample(
                example_id=f"example {i}",
                customer_id=f"customer {i}",
                snapshot_time=i,
                label_time=i + HORIZON + 1 if label else i + 1 + rng.randrange(HORIZON),
                label=label,
                features=dict(zip(FEATURES, values, strict=True)),
                probability=rng.random() if i > n // 2 else None,
                model_version=i if i > n // 2 else None,
                rule_probability=rng.random(),
            )
        )
    return made


def lessons(n: int) -> list[Lesson]:
    made = [lesson_of(example, HORIZON) for example in examples(n)]
    return [lesson for lesson in made if isinstance(lesson, Lesson)]


def learner_of(taught: list[Lesson]) -> Learner:
    learner = Learner()
    for lesson in taught:
        learner.learn(lesson)
    return learner


def snapshot_of(learner: Learner) -> ModelSnapshot:
    return Curriculum(learner, Plan(partitions=1, event_clock=False)).snapshot("0.26.1")


def test_the_scorer_gives_the_probabilities_of_rivers_own_pipeline() -> None:
    taught = lessons(1_500)
    learner = learner_of(taught)
    history = ScorerHistory("0.26.1")
    assert history.accept(snapshot_of(learner)) is None
    scorer = history.choose(10**15)
    assert scorer is not None
    matrix = np.array([lesson.features for lesson in taught[:300]])
    probabilities = np.array([scorer.score(vec[float](row))[0] for row in matrix])
    one_by_one = [learner.pipeline.predict_proba_one(dict(zip(FEATURES, row, strict=True)))[True] for row in matrix]
    many = learner.pipeline.predict_proba_many(pa.table(dict(zip(FEATURES, matrix.T, strict=True))))
    assert probabilities == pytest.approx(one_by_one, abs=1e-9)
    assert probabilities == pytest.approx(many.column(1).to_numpy(), abs=1e-9)
    assert probabilities.std() > 0.1


@pytest.mark.parametrize("split", [0, 1, 700, 1_399])
def test_a_learner_restored_from_json_goes_on_bit_for_bit(split: int) -> None:
    taught = lessons(1_400)
    whole = learner_of(taught)
    stored = msgspec.json.encode(learner_of(taught[:split]).learnt())
    resumed = Learner.restored(msgspec.json.decode(stored, type=Learnt))
    for lesson in taught[split:]:
        resumed.learn(lesson)
    assert msgspec.json.encode(resumed.learnt()) == msgspec.json.encode(whole.learnt())


def test_it_learns_what_there_is_to_learn() -> None:
    learner = learner_of(lessons(1_500))
    weights = dict(zip(FEATURES, learner.learnt().weights, strict=True))
    assert min(weights, key=lambda name: weights[name]) == FEATURES[4]
    assert weights[FEATURES[-1]] == 0.0


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_a_number_that_is_not_finite_is_refused(bad: float) -> None:
    example = examples(1)[0]
    poisoned = msgspec.structs.replace(example, features=example.features | {"rho": bad})
    assert lesson_of(poisoned, HORIZON) == "a number is not finite"
    assert lesson_of(msgspec.structs.replace(example, rule_probability=bad), HORIZON) == "a number is not finite"


def test_an_example_without_all_features_is_refused_by_name() -> None:
    example = examples(1)[0]
    less = {name: value for name, value in example.features.items() if name != "rho"}
    assert lesson_of(msgspec.structs.replace(example, features=less), HORIZON) == "it lacks the features rho"


def test_a_feature_that_is_new_starts_afresh_and_one_that_is_gone_is_dropped() -> None:
    learnt = learner_of(lessons(300)).learnt()
    older = msgspec.structs.replace(learnt, features=["shoe_size", *learnt.features[1:]])
    resumed = Learner.restored(older).learnt()
    assert resumed.features == list(FEATURES)
    assert (resumed.counts[0], resumed.weights[0]) == (0, 0.0)
    assert resumed.weights[1:] == learnt.weights[1:]


def test_one_far_outlier_hardly_moves_the_model() -> None:
    taught = lessons(1_000)
    learner = learner_of(taught)
    before = np.array(learner.learnt().weights)
    far = list(taught[0].features)
    far[RARE] = 1e6
    huge = lesson_of(msgspec.structs.replace(examples(1)[0], features=dict(zip(FEATURES, far, strict=True))), HORIZON)
    assert isinstance(huge, Lesson)
    learner.learn(huge)
    assert np.abs(np.array(learner.learnt().weights) - before).max() < 0.006


def test_a_snapshot_names_its_version_latest_label_and_checksum() -> None:
    taught = lessons(120)
    snapshot = snapshot_of(learner_of(taught))
    assert snapshot.version == 120
    assert snapshot.label_time_max == max(lesson.label_time for lesson in taught)
    assert snapshot.checksum == sha256(snapshot.payload).hexdigest()
    assert len(snapshot.payload) < 12_000
