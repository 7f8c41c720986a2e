"""The share of bad input beyond which the worker stops: one bad record cannot make it, a wrong deployment does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from schemas.errors import PoisonLimitError
from schemas.events import DecodedChunk

IN_A_ROW = 1_000
SHARE = 0.01
OF_LAST = 100_000
"""The share is taken over at least this many records, so that a few bad ones among few do not stop anybody."""


@dataclass(slots=True)
class PoisonWatch:
    """Counts bad records over the last chunks."""

    _recent: deque[tuple[int, int]] = field(default_factory=deque)
    _received: int = 0
    _bad: int = 0
    _row: int = 0

    def note(self, decoded: DecodedChunk) -> None:
        """Count a chunk. Raises PoisonLimitError beyond 1 000 bad records in a row or 1 % of the last 100 000."""
        bad = len(decoded.rejected)
        self._row = self._row + bad if bad == decoded.received else 0
        self._recent.append((decoded.received, bad))
        self._received += decoded.received
        self._bad += bad
        while self._recent and self._received - self._recent[0][0] >= OF_LAST:
            received, old = self._recent.popleft()
            self._received -= received
            self._bad -= old
        if self._row >= IN_A_ROW or (self._received >= OF_LAST and self._bad > SHARE * self._received):
            self._stop(decoded)

    def _stop(self, decoded: DecodedChunk) -> None:
        last = decoded.rejected[-1] if decoded.rejected else None
        reason = f"; the last: {last.reason}, {last.detail}" if last else ""
        raise PoisonLimitError(
            f"{self._bad} of the last {self._received} records are bad (topic {decoded.topic}, partition "
            f"{decoded.partition}{reason}). A producer or a schema is wrong; put that right, then start again: nothing "
            "is skipped. Bad records before this batch are in dead-letters, this batch is read again."
        )
