"""The replay of the demo, in a thread of its own that can be told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from streams.replay.replayer import Progress
from streams.roles.replay import ReplayOptions


class Source(threading.Thread):
    """Runs `play(options)`; `progress` is how far it is, `error` what ended it early.

    A daemon: a producer whose broker is gone waits for a minute, and nobody should wait for it.
    """

    def __init__(self, play: Callable[[ReplayOptions], Progress], options: ReplayOptions) -> None:
        super().__init__(name="replay", daemon=True)
        self.progress = Progress(0, 0, 0, 0.0)
        self.done = False
        self.error: Exception | None = None
        self.paced = options.speed != "max"
        self._play = play
        self._options = replace(options, progress=self._note)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Replay to the end, or until stopped."""
        try:
            self.progress = self._play(self._options)
            self.done = True
        except _StoppedError:
            pass
        except Exception as error:  # noqa: BLE001  whoever watches raises it in the thread that can tell the user
            self.error = error

    def stop(self) -> None:
        """Let it end at its next report, a tenth of a second away."""
        self._stopping.set()
        if self.is_alive():
            self.join(2.0)

    def _note(self, progress: Progress) -> None:
        self.progress = progress
        if self._stopping.is_set():
            raise _StoppedError


class _StoppedError(Exception):
    """Leaves the replay from inside its own report."""
