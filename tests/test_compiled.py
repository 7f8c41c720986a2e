"""The compiled fold says what the plain one says."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")
FOLDERS = ("schemas", "processors", "sinks", "streams", "data", "deploy")
REFUSING = [ROOT / "tests" / "processors" / f"test_{name}.py" for name in ("scoring", "state", "writing", "gathering")]
"""Tests of what reads published models and stored profiles, and writes them."""
KIND = "from streams.build import fold_is_compiled; print(fold_is_compiled())"


def _output(command: Sequence[str | Path], environment: Mapping[str, str]) -> str:
    whole = {**os.environ, **environment}
    run = subprocess.run(command, check=False, env=whole, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def _said(path: str, module: str = "tests.folded_history", **environment: str) -> list[str]:
    return _output((sys.executable, "-P", "-m", module), {"PYTHONPATH": path, **environment}).split()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the compiled modules."""
    if not (shutil.which("cc") or shutil.which("gcc")) or not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("no C compiler, or no headers of Python: only the plain fold is tested here")
    root = tmp_path_factory.mktemp("compiled")
    source, target = root / "source", root / "target"
    for name in FOLDERS:  # in a copy: the builder leaves what it compiled beside the sources
        shutil.copytree(ROOT / name, source / name)
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    install = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", target)
    _output((*install, source), {"HATCH_BUILD_HOOKS_ENABLE": "1"})
    return str(target)


@pytest.mark.timeout(300)
def test_compiled_and_plain_fold_say_the_same(compiled: str) -> None:
    kind, plain = _said("")
    assert kind == "plain"
    kind, said = _said(compiled)
    assert kind == "compiled"
    assert said == plain


@pytest.mark.timeout(300)
def test_what_comes_from_outside_is_refused_by_the_compiled_fold_too(compiled: str) -> None:
    """mypyc forgets what a list holds, and is stricter than Python elsewhere."""
    environment = {"PYTHONPATH": f"{compiled}:{ROOT}"}  # the second, or pytest puts it before the first
    assert _output((sys.executable, "-P", "-c", KIND), environment).split() == ["True"]
    run: list[str | Path] = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *REFUSING]
    assert " passed" in _output(run, environment)


@pytest.mark.timeout(300)
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="asks glibc what it has given out")
def test_the_compiled_fold_keeps_no_memory(compiled: str) -> None:
    said = _said(compiled, "tests.kept_memory", PYTHONMALLOC="malloc", LD_PRELOAD="")
    kept = {stage: float(size) for stage, size in zip(said[::2], said[1::2], strict=True)}
    assert kept.keys() == {"load", "fold", "score", "encode", "records", "gather"}
    assert max(kept.values()) < 5, kept
