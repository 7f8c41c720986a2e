"""Up to where, or from where, a topic-partition is read again: an offset, or the append time of its records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from schemas.errors import ConfigurationError

_LARGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Bound:
    """Records before `offset`, or appended before `time` (ms); with neither, all up to the end of the log.

    `known`: the log must reach the offset, because a fence says that somebody has read so far.
    """

    offset: int | None = None
    time: int | None = None
    known: bool = False

    def is_after(self, start: int) -> bool:
        """Whether a fold that begins here may miss records of a log that begins at this offset."""
        return self.time is not None or (self.offset or 0) > start

    def excludes(self, offset: int, timestamp: int) -> bool:
        """Whether a record lies at or beyond it."""
        return (self.offset is not None and offset >= self.offset) or (self.time is not None and timestamp >= self.time)


def parse_bound(text: str, option: str, zone: tzinfo) -> Bound:
    """A bound as a user writes it: an offset (every topic-partition), or an ISO time (without an offset: in `zone`).

    Raises:
        ConfigurationError: it is neither.

    """
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _LARGEST:
        return Bound(offset=int(text))
    try:
        time = datetime.fromisoformat(text)
        return Bound(time=int((time if time.tzinfo else time.replace(tzinfo=zone)).timestamp() * 1000))
    except (ValueError, OverflowError, OSError):
        raise ConfigurationError(
            f"{option} {text[:60]!r} is neither an offset (1200) nor a time (2026-03-01T00:00, 2026-03-01T00:00Z)."
        ) from None
