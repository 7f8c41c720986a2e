"""How good the churn score is on real histories, predicted before learnt: python -m benchmarks.churn_cdnow [ecom].

Every snapshot whose horizon has passed counts once. `model`: what a model predicted; `rule`: what the recency rule
said of the same customers at the same instants; `gap`: customers ranked by the mean gap between their orders alone,
because at the moment of a visit nobody is overdue and the recency rule has little to go by.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import mannwhitneyu

from benchmarks.lockstep import Lockstep
from schemas.results import TrainingExample
from streams.replay.datasets import dataset


def judged(examples: Iterable[TrainingExample], end: int, horizon: int) -> list[TrainingExample]:
    """Those a model predicted and whose horizon lies within the history: of the last month only returns are known."""
    return [one for one in examples if one.model_version and one.snapshot_time + horizon < end]


def roc_auc(scores: Sequence[float], labels: Sequence[int]) -> float:
    """Exact area under the ROC curve, ties half."""
    ranked, churned = np.array(scores), np.array(labels, dtype=bool)
    pairs = float(churned.sum()) * float((~churned).sum())
    return float(mannwhitneyu(ranked[churned], ranked[~churned]).statistic) / pairs


def log_loss(probabilities: Sequence[float], labels: Sequence[int]) -> float:
    """Mean negative log likelihood, nats."""
    p = np.clip(np.array(probabilities), 1e-9, 1 - 1e-9)
    return float(-np.log(np.where(np.array(labels) == 1, p, 1 - p)).mean())


def main(name: str) -> None:
    began = time.perf_counter()
    lockstep = Lockstep()
    lockstep.run(dataset(name))
    took = time.perf_counter() - began
    examples = judged(lockstep.examples, lockstep.curriculum.clock, lockstep.policy.horizon)
    labels = [one.label for one in examples]
    print(f"{name}: {len(lockstep.profiles)} customers, {len(lockstep.scores)} scores, {took:.1f} s")
    print(f"{len(examples)} snapshots predicted by a model, {sum(labels) / len(labels):.1%} churned")
    print(f"{'':8}{'ROC AUC':>10}{'log loss':>10}")
    series = {
        "model": [one.probability or 0.0 for one in examples],
        "rule": [one.rule_probability for one in examples],
    }
    for title, values in series.items():
        print(f"{title:8}{roc_auc(values, labels):10.4f}{log_loss(values, labels):10.4f}")
    print(f"{'gap':8}{roc_auc([one.features['mean_gap_days'] for one in examples], labels):10.4f}{'-':>10}")
    tally = lockstep.curriculum.learner.model
    print(f"metrics of the trainer: AUC {tally.roc_auc:.4f}, log loss {tally.log_loss:.4f}, "
          f"calibration error {tally.calibration_error:.4f}")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cdnow")
