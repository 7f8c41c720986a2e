"""The share of bad input beyond which the worker stops: one bad record cannot make it, a wrong deployment does."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from schemas.errors import PoisonLimitError
from schemas.events import DecodedChunk, Rejected
from schemas.results import DeadLetter
from schemas.topics import REDRIVE_HEADER
from sinks.poison import PoisonSums

OF_LAST: Final = 100_000
"""The share is taken over at least this many records, so that a few bad ones among few do not stop anybody."""


@dataclass(frozen=True, slots=True)
class PoisonLimits:
    """How much bad input is borne."""

    in_a_row: int = 1_000
    share: float = 0.01


USUAL: Final = PoisonLimits()


class PoisonMemory(Protocol):
    """Keeps what was counted over restarts (`sinks.poison.PoisonCounts`)."""

    def load(self) -> PoisonSums | None: ...
    def save(self, sums: PoisonSums) -> None: ...


class NoMemory:
    """Of a replay into a shadow: it buries nothing, and what it meets was judged before."""

    def load(self) -> PoisonSums | None:
        """Nothing."""

    def save(self, sums: PoisonSums) -> None:
        """Nowhere."""


@dataclass(slots=True)
class PoisonWatch:
    """Counts bad records over the last chunks."""

    limits: PoisonLimits = USUAL
    _recent: deque[tuple[int, Counter[str]]] = field(default_factory=deque)
    _received: int = 0
    _bad: Counter[str] = field(default_factory=Counter)
    """Reason -> records."""
    _row: int = 0
    _buried: bool = False
    """Whether there is more bad than was kept."""
    _kept_row: bool = False
    """Whether a row is kept that a good record must end there as well."""

    def note(self, decoded: DecodedChunk) -> None:
        """Count a chunk. Raises PoisonLimitError beyond the limits: bad records in a row, or a share of the last."""
        self._note(f"{decoded.topic}, partition {decoded.partition}", decoded.received, decoded.rejected)

    def note_decision(self, received: Mapping[tuple[str, int], int], letters: Sequence[DeadLetter]) -> None:
        """Count what one decision takes of each topic-partition, and the letters it makes of that; raises likewise.

        What was read again and is dealt with already is in neither: after a restart it must not end a row.
        """
        for (topic, partition), taken in received.items():
            bad = [letter for letter in letters if (letter.topic, letter.partition) == (topic, partition)]
            self._note(f"{topic}, partition {partition}", taken, bad)

    def recall(self, sums: PoisonSums | None) -> None:
        """Go on from what an earlier process counted; under other limits than its own, anew."""
        if sums is None:
            return
        if (sums.in_a_row, sums.share) != (self.limits.in_a_row, self.limits.share):
            self._kept_row = True
            return
        self._row, self._kept_row = sums.row, sums.row > 0
        self._received += sums.received
        self._bad.update(sums.bad)
        self._recent.append((sums.received, Counter(sums.bad)))

    def to_keep(self) -> PoisonSums | None:
        """What to keep once the letters are buried; null when nothing bad came and no row that is kept has ended."""
        if not (self._buried or (self._kept_row and not self._row)):
            return None
        self._buried, self._kept_row = False, self._row > 0
        return PoisonSums(self.limits.in_a_row, self.limits.share, self._row, self._received, dict(self._bad))

    def _note(self, place: str, received: int, bad: Sequence[Rejected | DeadLetter]) -> None:
        again = sum(map(_was_redriven, bad))
        if again:  # somebody asked for these; that they are still bad is no news and must not stop a worker
            bad = [one for one in bad if not _was_redriven(one)]
            received -= again
        self._row = self._row + len(bad) if len(bad) == received else 0
        self._buried = self._buried or bool(bad)
        reasons = Counter(one.reason for one in bad)
        self._recent.append((received, reasons))
        self._received += received
        self._bad += reasons
        while self._recent and self._received - self._recent[0][0] >= OF_LAST:
            received, reasons = self._recent.popleft()
            self._received -= received
            self._bad -= reasons
        if self._row >= self.limits.in_a_row:
            self._stop(place, bad, f"{self._row} records in a row are bad (limit: {self.limits.in_a_row})")
        total = self._bad.total()
        if self._received >= OF_LAST and total > self.limits.share * self._received:
            limit = f"limit: {self.limits.share * 100:g} %"
            self._stop(place, bad, f"{total} of the last {self._received} records are bad ({limit})")

    def _stop(self, place: str, bad: Sequence[Rejected | DeadLetter], what: str) -> None:
        reasons = ", ".join(f"{reason} {n}" for reason, n in self._bad.most_common())
        last = f"; the last, topic {place}: {bad[-1].reason}, {bad[-1].detail}" if bad else ""
        raise PoisonLimitError(
            f"{what}: {reasons}{last}. A producer, a schema or a setting is wrong: correct it and start again, nothing "
            "is skipped. Those before this batch are in dead-letters (`footfall dead-letters ls`), this batch is read "
            "again. If it is bad for good, let it into dead-letters by starting once with a higher "
            "FOOTFALL_POISON__IN_A_ROW or FOOTFALL_POISON__SHARE."
        )


def _was_redriven(bad: Rejected | DeadLetter) -> bool:
    headers = bad.headers if isinstance(bad, DeadLetter) else bad.record.headers
    return any(name == REDRIVE_HEADER for name, _ in headers)
