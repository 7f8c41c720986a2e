"""The tallies agree with the textbook definitions, and travel as JSON."""

from __future__ import annotations

import random
from math import log

import msgspec
import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from processors.prequential import HALVE_AT, Prequential


def judged(n: int, seed: int = 3) -> tuple[Prequential, list[float], list[int]]:
    rng = random.Random(seed)
    probabilities = [rng.betavariate(2, 1.2) for _ in range(n)]
    labels = [int(rng.random() < p**1.5) for p in probabilities]
    tally = Prequential()
    for p, label in zip(probabilities, labels, strict=True):
        tally.add(p, label)
    return tally, probabilities, labels


def test_the_area_under_the_curve_is_the_rank_statistic() -> None:
    tally, probabilities, labels = judged(4_000)
    positives = [p for p, label in zip(probabilities, labels, strict=True) if label]
    negatives = [p for p, label in zip(probabilities, labels, strict=True) if not label]
    exact = mannwhitneyu(positives, negatives).statistic / (len(positives) * len(negatives))
    assert tally.roc_auc == pytest.approx(exact, abs=1e-3)


def test_log_loss_is_the_mean_negative_log_likelihood() -> None:
    tally, probabilities, labels = judged(500)
    losses = [-log(p if label else 1 - p) for p, label in zip(probabilities, labels, strict=True)]
    assert tally.log_loss == pytest.approx(np.mean(losses))


def test_calibration_error_compares_predicted_with_observed_by_tenths() -> None:
    tally = Prequential()
    for label in (1, 0, 0, 0):
        tally.add(0.65, label)
    for label in (1, 1):
        tally.add(0.95, label)
    assert tally.calibration_error == pytest.approx((abs(4 * 0.65 - 1) + abs(2 * 0.95 - 2)) / 6)


def test_ties_count_half() -> None:
    tally = Prequential()
    for label in (0, 1, 1, 0):
        tally.add(0.3, label)
    assert tally.roc_auc == 0.5


def test_certainty_costs_much_but_not_everything() -> None:
    tally = Prequential()
    tally.add(1.0, 0)
    tally.add(0.0, 1)
    assert tally.log_loss is not None
    assert 20 < tally.log_loss < 21
    assert tally.roc_auc == 0.0


def test_nothing_judged_says_nothing() -> None:
    empty = Prequential()
    assert (empty.roc_auc, empty.log_loss, empty.calibration_error) == (None, None, None)


def test_old_examples_fade_and_counts_stay_bounded() -> None:
    tally = Prequential()
    for i in range(HALVE_AT):
        tally.add(0.9, i % 2)
    assert tally.count == HALVE_AT / 2
    assert tally.roc_auc == 0.5


def test_it_travels_as_json() -> None:
    tally, _, _ = judged(300)
    assert msgspec.json.decode(msgspec.json.encode(tally), type=Prequential) == tally
