"""Prequential quality: every example judges the probability that was given before its label was known, once.

Kept as counts in bins, so that the tallies travel inside a snapshot and go on after a restart where they stopped.
"""

from __future__ import annotations

from math import log
from typing import Final

import msgspec

BINS: Final = 256
BINS_PER_LOG_ODDS: Final = 16
"""Bins of 1/16 log-odds from -8 to 8: the area is exact up to ties within a bin."""
DECILES: Final = 10
HALVE_AT: Final = 100_000
"""From this many examples on all counts are halved: what is shown follows the last hundred thousand or so."""
_LEAST: Final = 1e-9


class Prequential(msgspec.Struct):
    """ROC AUC, log loss and calibration error of one series of probabilities."""

    positives: list[float] = msgspec.field(default_factory=lambda: [0.0] * BINS)
    negatives: list[float] = msgspec.field(default_factory=lambda: [0.0] * BINS)
    expected: list[float] = msgspec.field(default_factory=lambda: [0.0] * DECILES)
    """Sum of the probabilities, by tenth of probability."""
    observed: list[float] = msgspec.field(default_factory=lambda: [0.0] * DECILES)
    """Positives, by tenth of probability."""
    loss: float = 0.0
    count: float = 0.0

    def add(self, probability: float, label: int) -> None:
        """Judge one probability by its label, 0 or 1."""
        p = min(max(probability, _LEAST), 1.0 - _LEAST)
        position = BINS // 2 + int(log(p / (1.0 - p)) * BINS_PER_LOG_ODDS // 1)
        side = self.positives if label else self.negatives
        side[min(max(position, 0), BINS - 1)] += 1.0
        tenth = min(int(p * DECILES), DECILES - 1)
        self.expected[tenth] += p
        self.observed[tenth] += label
        self.loss -= log(p if label else 1.0 - p)
        self.count += 1.0
        if self.count >= HALVE_AT:
            self._halve()

    def _halve(self) -> None:
        for counts in (self.positives, self.negatives, self.expected, self.observed):
            counts[:] = [count / 2 for count in counts]
        self.loss /= 2
        self.count /= 2

    @property
    def roc_auc(self) -> float | None:
        """The share of (positive, negative) pairs ranked right, ties half; null while a label is missing."""
        pairs = sum(self.positives) * sum(self.negatives)
        if not pairs:
            return None
        right = below = 0.0
        for positive, negative in zip(self.positives, self.negatives, strict=True):
            right += positive * (below + negative / 2)
            below += negative
        return right / pairs

    @property
    def log_loss(self) -> float | None:
        """Mean negative log likelihood in nats; null before the first example."""
        return self.loss / self.count if self.count else None

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error over tenths of probability: mean |predicted - observed|."""
        if not self.count:
            return None
        return sum(abs(e - o) for e, o in zip(self.expected, self.observed, strict=True)) / self.count
