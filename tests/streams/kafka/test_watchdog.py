from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import Never

import pytest

from streams.kafka.watchdog import STALLED_EXIT_CODE, Watchdog


@contextmanager
def watched() -> Iterator[tuple[Watchdog, list[int]]]:
    ends: list[int] = []
    watchdog = Watchdog(ends.append, period=0.01)
    watchdog.start()
    yield watchdog, ends
    watchdog.close()


def test_what_is_done_in_time_leaves_the_process_alone() -> None:
    with watched() as (watchdog, ends):
        watchdog.expect("a poll", 0.2)
        watchdog.done("a poll")
        sleep(0.3)
    assert ends == []


def test_a_deadline_that_passes_ends_the_process_and_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    with watched() as (watchdog, ends):
        watchdog.expect("a poll", 0.05)
        sleep(0.3)
    assert ends == [STALLED_EXIT_CODE]
    assert "watchdog: a poll did not end in time" in capfd.readouterr().err


def test_said_again_it_has_that_long_again() -> None:
    with watched() as (watchdog, ends):
        for _ in range(6):
            watchdog.expect("a poll", 0.15)
            sleep(0.05)
        watchdog.done("a poll")
    assert ends == []


class Closed(io.StringIO):
    """The end of a pipe that nobody reads any more."""

    def write(self, _text: str) -> Never:
        raise BrokenPipeError


def test_nothing_it_says_keeps_it_from_ending_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []
    told: list[str] = []

    def tell(what: str) -> Never:
        told.append(what)
        raise RuntimeError("a server that is gone")

    monkeypatch.setattr("sys.stderr", Closed())
    watchdog = Watchdog(ends.append, tell, period=0.01)
    watchdog.start()
    watchdog.expect("a poll", 0.0)
    sleep(0.3)
    watchdog.close()
    assert told == ["a poll"]
    assert ends == [STALLED_EXIT_CODE]
