"""The harness is a supervisor: what dies is started again, and what does nothing but die is a finding."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from streams.embedded.child import Child, Launch
from tests.chaos import keeper
from tests.chaos.keeper import CrashLoopError, Kept

SLEEPER = "import time; time.sleep(60)"


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[[str], Kept]]:
    kept: list[Kept] = []

    def start(program: str) -> Kept:
        child = Child(Launch("a child", (sys.executable, "-c", program), tmp_path / "log"))
        kept.append(Kept("a child", child, lambda _text: None))
        kept[0].start()
        return kept[0]

    yield start
    for one in kept:
        one.child.signal(signal.SIGKILL)


def watched(kept: Kept, condition: Callable[[], bool], seconds: float = 20.0, *, excused: bool = False) -> None:
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "it did not come to pass"
        kept.watch(excused=excused)
        sleep(0.01)


def test_what_was_killed_comes_back_after_a_while(keep: Callable[[str], Kept]) -> None:
    kept = keep(SLEEPER)
    first = kept.child.pid
    kept.kill(0.2)
    assert not kept.awake
    watched(kept, lambda: kept.awake)
    assert kept.child.pid != first
    assert (kept.kills, kept.ends.total()) == (1, 0)


def test_what_was_frozen_goes_on_as_the_same_process(keep: Callable[[str], Kept]) -> None:
    kept = keep(SLEEPER)
    first = kept.child.pid
    kept.freeze(0.2)
    assert (kept.awake, kept.child.running) == (False, True)
    watched(kept, lambda: kept.awake)
    assert kept.child.pid == first


def test_ends_of_its_own_are_counted_and_a_crash_loop_is_an_error(
    keep: Callable[[str], Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(keeper, "MOST_ENDS", 3)
    kept = keep("raise SystemExit('no reason')")
    with pytest.raises(CrashLoopError, match=r"(?s)ended 3 times in a row.*exit status 1.*no reason"):
        watched(kept, lambda: False)
    assert kept.ends == {"ended with exit status 1": 3}


def test_ends_while_a_broker_is_away_are_no_crash_loop(
    keep: Callable[[str], Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(keeper, "MOST_ENDS", 3)
    monkeypatch.setattr(keeper, "_FORGIVEN", 1)
    kept = keep("raise SystemExit('no reason')")
    watched(kept, lambda: kept.ends.total() == 5, excused=True)
    with pytest.raises(CrashLoopError, match="ended 3 times in a row"):
        watched(kept, lambda: False)
    assert kept.ends == {"ended with exit status 1": 7}
