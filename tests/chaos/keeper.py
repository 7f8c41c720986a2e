"""Keeps one process running: started again when it ends, killed and frozen when somebody asks for it."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from schemas.errors import FootfallError
from streams.embedded.child import Child, describe_status

FIRST_PAUSE: Final = 0.3
LONGEST_PAUSE: Final = 2.0
LONG_LIFE: Final = 20.0
"""Seconds after which an end is no part of a crash loop."""
MOST_ENDS: Final = 12
"""Ends in a row, each soon after its start, that make a crash loop."""
_FORGIVEN: Final = 6
"""As so many of them count all those while a broker is away; the pause before the next start is then the longest."""


class CrashLoopError(FootfallError):
    """A process ends by itself again and again; with its log's last lines."""


@dataclass(slots=True)
class Kept:
    """A child and its supervisor's memory. `watch` must be called often, from the thread that started the child."""

    name: str
    child: Child
    told: Callable[[str], None] = print
    kills: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    """How it ended by itself, and how often."""
    _started: float = 0.0
    _due: float | None = None
    _frozen_until: float | None = None
    _short_lives: int = 0

    @property
    def awake(self) -> bool:
        """Whether it runs and is not frozen."""
        return self.child.running and self._frozen_until is None

    def start(self) -> None:
        """Start it."""
        self._due, self._started = None, monotonic()
        self.child.start()

    def kill(self, down: float = FIRST_PAUSE) -> None:
        """SIGKILL; it is started again after `down` seconds."""
        self._frozen_until = None
        self.child.signal(signal.SIGKILL)
        self.child.wait(5.0)
        self.kills += 1
        self._short_lives = 0
        self._due = monotonic() + down

    def leave(self, down: float) -> None:
        """SIGTERM: it finishes what it is at and leaves its group; it is started again after `down` seconds."""
        self.thaw()
        self.child.stop(12.0)
        self._short_lives = 0
        self._due = monotonic() + down

    def freeze(self, seconds: float) -> None:
        """SIGSTOP for so long: it believes afterwards that nothing has happened."""
        self._frozen_until = monotonic() + seconds
        self.child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End a freeze."""
        self._frozen_until = None
        self.child.signal(signal.SIGCONT)

    def watch(self, *, excused: bool = False) -> None:
        """Thaw it, note that it ended, start it again: whatever is due. Excused: what it cannot do without is away.

        Raises:
            CrashLoopError: it does nothing but end, without an excuse.

        """
        now = monotonic()
        if self._frozen_until is not None and now >= self._frozen_until:
            self.thaw()
        if self.child.running:
            return
        if self._due is None:
            self._ended(now, excused=excused)
        elif now >= self._due:
            self.start()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL: no part of the experiment."""
        self.thaw()
        self.child.stop(2.0)

    def _ended(self, now: float, *, excused: bool) -> None:
        self._frozen_until = None
        how = describe_status(self.child.returncode)
        self.ends[how] += 1
        self.told(f"{self.name} {how}: {_shortened(self.child.log_tail(1))}")
        self._short_lives = self._short_lives + 1 if now - self._started < LONG_LIFE else 1
        if excused:
            self._short_lives = min(self._short_lives, _FORGIVEN)
        if self._short_lives >= MOST_ENDS:
            raise CrashLoopError(f"{self.name} ended {self._short_lives} times in a row. {self.child.describe_death()}")
        self._due = now + min(LONGEST_PAUSE, FIRST_PAUSE * self._short_lives)


def _shortened(line: str) -> str:
    return line if len(line) <= 200 else f"{line[:197]}..."
