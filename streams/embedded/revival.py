"""Which roles start again by themselves: those that their watchdog has ended, and not for ever."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from time import monotonic
from typing import Final

from streams.embedded.child import Child
from streams.kafka.watchdog import STALLED_EXIT_CODE

TIMES: Final = 3
WITHIN_SECONDS: Final = 900.0
"""Work that hangs is ended after two minutes: in five minutes three would never come together."""


class Revival:
    """Starts a child again after exit code 70, three times in a quarter of an hour: what stalls on and on is broken."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._revived: defaultdict[str, list[float]] = defaultdict(list)

    def revive(self, name: str, child: Child) -> bool:
        """Whether the child had to be, and was, started again. Raises ChildFailedError when it cannot be."""
        if child.returncode != STALLED_EXIT_CODE:
            return False
        recently = [instant for instant in self._revived[name] if instant > self._now() - WITHIN_SECONDS]
        if len(recently) >= TIMES:
            return False
        self._revived[name] = [*recently, self._now()]
        child.start()
        return True
