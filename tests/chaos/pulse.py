"""Whether the pipeline's heart beats: the longest time in which nothing new was stored while events were sent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import Final

from schemas.errors import FootfallError

_LOOK_SECONDS: Final = 0.25


@dataclass
class Pulse:
    """Looks at a growing number from a thread of its own. `read` may fail while a server is away: that is no beat."""

    read: Callable[[], int]
    beats: list[float] = field(default_factory=list)
    """When the number had grown, on the monotonic clock; first when looking began, last when it ended."""
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._look, name="pulse", daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """End; the longest stall in seconds."""
        self._over.set()
        assert self._thread is not None
        self._thread.join()
        return longest(self.beats)

    def _look(self) -> None:
        self.beats, last = [monotonic()], -1
        while not self._over.wait(_LOOK_SECONDS):
            with suppress(FootfallError):
                now = self.read()
                if now > last:
                    self.beats.append(monotonic())
                last = max(last, now)
        self.beats.append(monotonic())


def longest(beats: list[float]) -> float:
    """The longest time between two beats."""
    return max((after - before for before, after in pairwise(beats)), default=0.0)
