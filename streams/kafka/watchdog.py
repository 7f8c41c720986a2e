"""A thread that ends the process when the event loop cannot: a hung poll, or a stop that does not come to an end."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

STALLED_EXIT_CODE = 70
WORK: Final = "the work at hand"
STOP: Final = "the orderly stop"
STOP_TWICE: Final = "a stop asked for twice"
"""What it is told to expect, in words for the log. The last one is no fault: nobody counts it."""


class Watchdog:
    """Ends the process with exit code 70, and a dump of all stacks, once a deadline passes.

    `tell` hears of it before, in the watchdog's thread; it must not take long.
    """

    def __init__(
        self,
        end: Callable[[int], object] = os._exit,
        tell: Callable[[str], object] = lambda _what: None,
        period: float = 0.25,
    ) -> None:
        self._end = end
        self.tell = tell
        self._period = period
        self._lock = threading.Lock()
        self._deadlines: dict[str, float] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()

    def expect(self, what: str, seconds: float) -> None:
        """`what` must be done within `seconds` from now; said again, it has that long again."""
        with self._lock:
            self._deadlines[what] = monotonic() + seconds

    def done(self, what: str) -> None:
        """`what` is done."""
        with self._lock:
            self._deadlines.pop(what, None)

    def _watch(self) -> None:
        while not self._closed.wait(self._period):
            late = self._late()
            if late:
                for say in (_dump_stacks, self.tell):
                    with suppress(Exception):  # a pipe nobody reads, a server that is gone: neither saves the process
                        say(late)
                self._end(STALLED_EXIT_CODE)
                return

    def _late(self) -> str | None:
        now = monotonic()
        with self._lock:
            return next((what for what, deadline in self._deadlines.items() if now > deadline), None)


def _dump_stacks(late: str) -> None:
    sys.stderr.write(f"watchdog: {late} did not end in time; the process ends\n")
    faulthandler.dump_traceback(file=sys.__stderr__ or 2)
