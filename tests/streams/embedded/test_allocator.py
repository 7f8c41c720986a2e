"""jemalloc is preloaded where there is one, and nobody's own choice is overruled."""

from __future__ import annotations

import sys
from collections.abc import Iterator

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
    usual = {"LD_PRELOAD": "libjemalloc.so.2", "PYTHONMALLOC": "malloc", "MALLOC_CONF": "thp:always"}
    assert preloaded_for_python() == usual
    monkeypatch.setenv("MALLOC_CONF", "narenas:1")
    assert preloaded_for_python() == {name: usual[name] for name in ("LD_PRELOAD", "PYTHONMALLOC")}


def test_a_role_without_it_keeps_pythons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "find_library", lambda _name: None)
    assert preloaded_for_python() == {}
