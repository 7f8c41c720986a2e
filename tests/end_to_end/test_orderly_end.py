"""A stop that was asked for is a stop, whatever else happens to the worker in that moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from streams.embedded.ports import choose_port
from tests.end_to_end.conftest import Installation

ROOT = Path(__file__).parents[2]


def test_sigterm_while_another_generation_becomes_live_ends_the_process(
    installation: Installation, fresh_name: str
) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
    apart = {"FOOTFALL_INSTALLATION": fresh_name, "FOOTFALL_REDIS__PREFIX": fresh_name}
    port = {"FOOTFALL_METRICS__PROCESS": str(choose_port())}
    env = {**own, "PYTHONPATH": str(ROOT), **installation.environment, **apart, **port}
    argv = (sys.executable, "-m", "tests.end_to_end.superseded_worker")
    done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "another generation" in done.stdout + done.stderr, "it was put out of work, and did not begin anew"
