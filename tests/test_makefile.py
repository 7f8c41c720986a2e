"""What `make` makes of its variables."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def commands(*arguments: str) -> str:
    """What make would run; nothing is run."""
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "EXIT", "LONG"}  # as of the make that runs the tests
    env = {name: value for name, value in os.environ.items() if name not in outer}
    argv = ("make", "--dry-run", *arguments)
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("target", "variable", "option"), [("demo", "EXIT", "--exit"), ("chaos", "LONG", "--long")])
def test_a_switch_is_on_with_1_and_off_with_0_or_nothing(target: str, variable: str, option: str) -> None:
    assert option in commands(target, f"{variable}=1")
    assert option not in commands(target, f"{variable}=0") + commands(target, f"{variable}=") + commands(target)
