"""jemalloc is preloaded where there is one, and nobody's own choice is overruled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from ctypes.util import find_library

import pytest

from streams.embedded import allocator
from streams.embedded.allocator import preloaded, preloaded_for_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux preloads")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    preloaded.cache_clear()
    yield
    preloaded.cache_clear()


def test_what_is_found_is_preloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr(allocator, "find_library", lambda name: f"lib{name}.so.2")
    assert preloaded() == {"LD_PRELOAD": "libjemalloc.so.2"}


def test_without_it_a_child_starts_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr(allocator, "find_library", lambda _name: None)
    assert preloaded() == {}


def test_what_the_user_preloads_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "libmine.so")
    monkeypatch.setattr(allocator, "find_library", lambda name: f"lib{name}.so.2")
    assert preloaded() == {}


def test_a_role_has_all_its_objects_there_in_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_PRELOAD", "PYTHONMALLOC", "MALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(allocator, "find_library", lambda name: f"lib{name}.so.2")
    usual = {"LD_PRELOAD": "libjemalloc.so.2", "PYTHONMALLOC": "malloc", "MALLOC_CONF": allocator.LARGE_PAGES}
    assert preloaded_for_python() == usual
    monkeypatch.setenv("MALLOC_CONF", "narenas:1")
    assert preloaded_for_python() == {name: usual[name] for name in ("LD_PRELOAD", "PYTHONMALLOC")}


@pytest.mark.skipif(find_library("jemalloc") is None, reason="no jemalloc on this machine")
def test_jemalloc_knows_every_option_of_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_PRELOAD", "PYTHONMALLOC", "MALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    wanted = preloaded_for_python()
    assert told_by_jemalloc(wanted) == ""
    assert "Invalid conf pair" in told_by_jemalloc({**wanted, "MALLOC_CONF": "no_such_option:1"})


def told_by_jemalloc(environment: Mapping[str, str]) -> str:
    """What a child of ours with this environment writes as it starts."""
    child = subprocess.run(
        [sys.executable, "-c", ""], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return child.stderr


def test_a_role_without_it_keeps_pythons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "find_library", lambda _name: None)
    assert preloaded_for_python() == {}
