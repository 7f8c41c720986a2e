"""The `process` role, with a thread that notes 200 times a second which line of ours the journey is at.

A compiled function shows as the line that calls it. Noting takes 1 to 2 % of the time.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

from streams.roles import process
from streams.settings import load_settings

VARIABLE: Final = "BENCHMARK_SAMPLES"
"""Where the counts go, as JSON: place -> times seen."""
OURS: Final = ("processors", "schemas", "sinks", "streams")
_ROOT: Final = Path(__file__).parent.parent
_EVERY_SECONDS: Final = 0.005
WAITING: Final = "waiting, or outside our code"


class Sampler:
    """Looks at the main thread until stopped."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._stop = threading.Event()
        self._main = threading.main_thread().ident
        self._thread = threading.Thread(target=self._look, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            self.seen[place_of(sys._current_frames().get(self._main or 0))] += 1  # noqa: SLF001  the documented way


def place_of(frame: FrameType | None) -> str:
    """The innermost line of ours: `file:line function`."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] in OURS and frame.f_code.co_name not in ("run", "_served", "main"):
            file = Path(frame.f_code.co_filename)
            told = file.relative_to(_ROOT) if file.is_relative_to(_ROOT) else file.name
            return f"{told}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return WAITING


def main() -> int:
    """The role; the counts are written when it has ended in order."""
    sampler = Sampler()
    sampler.start()
    try:
        return process.run(load_settings())
    finally:
        sampler.stop()
        Path(os.environ[VARIABLE]).write_text(json.dumps(sampler.seen.most_common()), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
