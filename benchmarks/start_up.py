"""Seconds of `footfall up` from the command to all roles ready: python -m benchmarks.start_up [runs]."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.figures import beside
from schemas.errors import FootfallError
from streams.provenance import to_environment
from streams.settings import load_settings

RESULTS: Final = Path(__file__).parent / "results" / "start_up.json"
TARGET_SECONDS: Final = 15.0
_READY: Final = "Everything is up after"
_PATIENCE: Final = 120.0


def started(root: Path) -> float:
    """One start with a new data directory, stopped again.

    Raises:
        FootfallError: it ended by itself, or was not ready within two minutes.

    """
    began = time.monotonic()
    command = (sys.executable, "-P", "-m", "streams.cli.main", "up", "--data-dir", str(root))
    environment = {**os.environ, **to_environment(load_settings()), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603  our own command
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as up:
        try:
            said = list(_until_ready(up, began + _PATIENCE))
            took = time.monotonic() - began
        finally:
            up.send_signal(signal.SIGTERM)
        assert up.stdout is not None
        up.stdout.read()
    if not any(_READY in line for line in said):
        raise FootfallError(f"footfall up did not become ready: {''.join(said[-5:])}")
    return took


def _until_ready(up: subprocess.Popen[str], deadline: float) -> Iterator[str]:
    assert up.stdout is not None
    for line in up.stdout:
        yield line
        if _READY in line or time.monotonic() > deadline:
            return


def told(seconds: float) -> str:
    """The median beside its target."""
    return f"median {seconds:.1f} s, {beside(f'<= {TARGET_SECONDS:g} s', met=seconds <= TARGET_SECONDS)}"


def main(runs: int) -> int:
    """Print each start and the median, write the results; exit code 0, also where the target is missed."""
    times = []
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory(prefix="footfall-up-") as root:
            times.append(started(Path(root)))
        print(f"start {number}: {times[-1]:.1f} s", flush=True)
    print(told(median(times)))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({"seconds": times, "median": median(times)}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
