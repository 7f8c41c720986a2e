"""Going back again and again within seconds: wait longer each time, and in the end stop trying."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from schemas.errors import FootfallError, StaleCommitError, StalledError

FIRST_SECONDS: float = 0.1
LONGEST_SECONDS: Final = 2.0
"""Shorter than a rebalance and an orderly stop are waited for."""
CALM_SECONDS: Final = 10.0
"""Without a setback for so long, whatever it was is over."""
REFUSED_SECONDS: Final = 22.0
"""As long as any other standstill is borne."""
_REFUSALS: Final = 5


@dataclass(slots=True)
class Setbacks:
    """Pure: told of each setback, it says how long to wait. Times are seconds of one monotonic clock.

    Each attempt sends the outbox and the dead letters again: what fails again at once, as a commit that is refused
    though nobody else owns its bucket, would flood the topics without a pause. That other partitions get on meanwhile
    does not count: time without a setback does.
    """

    patience: float = REFUSED_SECONDS
    """For so long a server may refuse what is read again and again, with nobody else owning it."""
    _last: float = -inf
    _in_a_row: int = 0
    _refused_since: float = 0.0
    _refusals: int = 0

    def note(self, error: FootfallError, now: float) -> float:
        """Seconds to wait before the next attempt: none after the first.

        Raises StalledError when Redis has refused one commit after the other: reading again does not cure that.
        """
        if now - self._last > CALM_SECONDS:
            self._in_a_row = self._refusals = 0
        self._last = now
        self._in_a_row += 1
        self._count_refusal(error, now)
        return 0.0 if self._in_a_row == 1 else min(FIRST_SECONDS * 2 ** (self._in_a_row - 2), LONGEST_SECONDS)

    def _count_refusal(self, error: FootfallError, now: float) -> None:
        if not isinstance(error, StaleCommitError):
            self._refusals = 0
            return
        if not self._refusals:
            self._refused_since = now
        self._refusals += 1
        if self._refusals >= _REFUSALS and now - self._refused_since > self.patience:
            raise StalledError(
                "standstill", f"for {now - self._refused_since:.0f} s Redis has refused what was read again: {error}"
            )
