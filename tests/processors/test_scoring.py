"""The scorer equals River's own pipeline, never sees the future, and refuses what it cannot trust."""

from __future__ import annotations

from hashlib import sha256
from math import exp

import msgspec
import numpy as np
import pytest
from librt.vecs import vec

from processors.calendar import DAY
from processors.features import FEATURES, features
from processors.parameters import LinearParameters
from processors.scoring import (
    RULE,
    Contributions,
    LinearScorer,
    ScorerHistory,
    rule_probability,
    score_of,
)
from schemas.results import ModelSnapshot
from tests.builders import made

RIVER = "0.26.1"


def parameters(*, seed: int = 1, positives: int = 100, negatives: int = 100) -> LinearParameters:
    numbers = np.random.default_rng(seed).normal(size=(3, len(FEATURES)))
    return LinearParameters(
        features=list(FEATURES),
        means=numbers[0].tolist(),
        variances=(numbers[1] ** 2).tolist(),
        weights=numbers[2].tolist(),
        intercept=-0.25,
        limit=5.0,
        positives=positives,
        negatives=negatives,
    )


def snapshot(version: int, label_time_max: int = 0, content: LinearParameters | None = None) -> ModelSnapshot:
    payload = msgspec.json.encode(content or parameters(seed=version))
    return ModelSnapshot(
        version=version,
        label_time_max=label_time_max,
        next_offset=version,
        river_version=RIVER,
        payload=payload,
        checksum=sha256(payload).hexdigest(),
    )


def history_of(*snapshots: ModelSnapshot) -> ScorerHistory:
    history = ScorerHistory(RIVER)
    for each in snapshots:
        assert history.accept(each) is None
    return history


def scorer(content: LinearParameters) -> LinearScorer:
    found = history_of(snapshot(1, content=content)).choose(0)
    assert found is not None
    return found


def scored(content: LinearParameters, row: list[float]) -> tuple[float, Contributions]:
    return scorer(content).score(vec[float](row))


def test_contributions_are_the_three_strongest_and_add_up_to_the_log_odds() -> None:
    content = parameters()
    row = np.random.default_rng(7).normal(size=len(FEATURES)).tolist()
    probability, contributions = scored(content, row)
    parts = {
        name: float(np.clip((x - mean) / variance**0.5, -5, 5) * weight)
        for name, x, mean, variance, weight in zip(
            FEATURES, row, content.means, content.variances, content.weights, strict=True
        )
    }
    strongest = sorted(parts, key=lambda name: -abs(parts[name]))[:3]
    assert [name for name, _ in contributions] == strongest
    assert [value for _, value in contributions] == pytest.approx([parts[name] for name in strongest], abs=1e-6)
    assert probability == pytest.approx(1 / (1 + exp(-sum(parts.values()) + 0.25)), abs=1e-12)


def test_an_instant_is_never_scored_by_a_model_that_saw_a_later_label() -> None:
    history = history_of(snapshot(1, 100), snapshot(2, 200), snapshot(3, 300))
    assert history.choose(99) is None
    chosen = map(history.choose, (100, 199, 200, 299, 300, 10_000))
    assert [choice.version for choice in chosen if choice] == [1, 1, 2, 2, 3, 3]


def test_only_the_last_eight_models_are_kept() -> None:
    history = history_of(*(snapshot(n, 100 * n) for n in range(1, 11)))
    assert history.choose(299) is None
    assert [choice.version for choice in map(history.choose, (300, 1_000)) if choice] == [3, 10]


def test_a_snapshot_that_is_not_newer_changes_nothing() -> None:
    history = history_of(snapshot(5), snapshot(5), snapshot(4))
    assert history.version == 5


@pytest.mark.parametrize(("positives", "negatives"), [(99, 1000), (1000, 99)])
def test_the_rule_scores_until_enough_of_either_label_was_seen(positives: int, negatives: int) -> None:
    history = history_of(snapshot(1, content=parameters(positives=positives, negatives=negatives)))
    p = made("ada", last_seen=10 * DAY, as_of=85 * DAY)
    score = score_of(p, history.choose(0))
    assert score.probability == pytest.approx(1 / (1 + exp(-1.5 * (75 / 30 - 2))))
    assert (score.model_version, score.time) == (0, 85 * DAY)
    assert score.contributions == [(RULE, 0.75)]


def test_what_is_told_is_rounded_to_a_millionth() -> None:
    def told(weight: float) -> tuple[str, float]:
        content = LinearParameters(["rho"], [0.0], [1.0], [weight], 0.0, 5.0, 100, 100)
        return scored(content, [1.0] * len(FEATURES))[1][0]

    weights = (1.2345674, -1.2345676, 4e-7, -6e-7)
    assert [told(weight) for weight in weights] == [("rho", x) for x in (1.234567, -1.234568, 0.0, -1e-6)]
    assert told(1e50)[1] == pytest.approx(1e50)
    assert score_of(made("ada", last_seen=10 * DAY, as_of=77 * DAY), None).contributions == [(RULE, 0.35)]
    assert score_of(made("ada", last_seen=70 * DAY, as_of=77 * DAY), None).contributions == [(RULE, -2.65)]


def test_a_profile_is_scored_by_its_features_as_it_stands() -> None:
    p, model = made("ada", first_seen=1, last_seen=10 * DAY, as_of=70 * DAY), scorer(parameters())
    score = score_of(p, model)
    assert (score.probability, score.contributions) == model.score(features(p))
    assert (score.model_version, score.time) == (1, 70 * DAY)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"checksum": "0" * 64}, "checksum"),
        ({"river_version": "0.25.0"}, "River 0.25.0"),
        ({"payload": b"{}", "checksum": sha256(b"{}").hexdigest()}, "unreadable"),
        ({"payload": b"\xff", "checksum": sha256(b"\xff").hexdigest()}, "unreadable"),
    ],
)
def test_a_snapshot_it_cannot_trust_is_refused_and_the_last_good_one_goes_on(
    changes: dict[str, str | bytes], reason: str
) -> None:
    history = history_of(snapshot(1))
    refusal = history.accept(msgspec.structs.replace(snapshot(2), **changes))
    assert refusal is not None
    assert reason in refusal
    assert history.version == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features": ["shoe_size", *FEATURES[1:]]}, "shoe_size"),
        ({"weights": [0.5]}, "length"),
        ({"variances": [-1.0] * len(FEATURES)}, "out of range"),
        ({"limit": 0.0}, "out of range"),
        ({"weights": [1e101] * len(FEATURES)}, "out of range"),
        ({"means": [float("nan")] * len(FEATURES)}, "unreadable"),
    ],
)
def test_parameters_it_cannot_use_are_refused(changes: dict[str, list[str] | list[float] | float], reason: str) -> None:
    content = msgspec.structs.replace(parameters(), **changes)
    refusal = history_of().accept(snapshot(1, content=content))
    assert refusal is not None
    assert reason in refusal


def test_every_flipped_bit_of_a_payload_is_noticed() -> None:
    good = snapshot(1)
    for bit in range(0, 8 * len(good.payload), 37):
        flipped = bytearray(good.payload)
        flipped[bit // 8] ^= 1 << bit % 8
        assert history_of().accept(msgspec.structs.replace(good, payload=bytes(flipped))) is not None


def test_a_model_of_fewer_features_leaves_the_others_out() -> None:
    content = LinearParameters(["rho"], [1.0], [4.0], [2.0], 0.0, 5.0, 100, 100)
    row = [9.0] * len(FEATURES)
    row[FEATURES.index("rho")] = 3.0
    probability, contributions = scored(content, row)
    assert contributions[0] == ("rho", 2.0)
    assert probability == pytest.approx(1 / (1 + exp(-2)))


def test_the_greatest_parameters_that_are_let_in_score_without_an_error() -> None:
    most = [1e100] * len(FEATURES)
    content = LinearParameters(list(FEATURES), most, [5e-324] * len(FEATURES), most, 1e100, 1e100, 100, 100)
    probability, contributions = scored(content, [1.0] * len(FEATURES))
    assert probability == pytest.approx(0.0, abs=1e-200)
    assert [name for name, _ in contributions] == list(FEATURES[:3])
    assert [value for _, value in contributions] == pytest.approx([-1e200] * 3)


def test_the_rule_reads_the_order_clock_from_two_orders_on() -> None:
    p = made("ada", last_order=0, last_seen=40 * DAY, gap_count=1, gap_sum=20 * DAY)
    assert rule_probability(p, 50 * DAY) == pytest.approx(1 / (1 + exp(-1.5 * (50 / 50 - 2))))


def test_the_rule_reads_last_seen_before_that() -> None:
    p = made("ada", last_seen=10 * DAY)
    assert rule_probability(p, 70 * DAY) == pytest.approx(0.5)
    assert rule_probability(p, 100_000 * DAY) == pytest.approx(1.0)
