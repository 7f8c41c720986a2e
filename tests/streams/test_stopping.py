"""Asked once a role ends in order, asked twice at once; no wait is longer than a stop leaves time for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from math import inf
from time import monotonic, sleep
from typing import Any

import pytest

from streams.kafka.watchdog import STALLED_EXIT_CODE, STOP, Watchdog
from streams.stopping import Ending, Hurried

Ended = tuple[Ending, list[Any]]


@pytest.fixture
def ended() -> Iterator[Ended]:
    """An ending that has begun, and what it and its watchdog did to the process."""
    happened: list[Any] = []
    watchdog = Watchdog(happened.append, happened.append, period=0.01)
    watchdog.start()
    ending = Ending(threading.Event(), watchdog, 2.0, happened.append)
    ending.begun = True
    yield ending, happened
    watchdog.close()


def test_an_orderly_stop_has_its_drain_time_and_no_more(ended: Ended) -> None:
    ending, happened = ended
    assert ending.seconds_left() == inf
    ending.ask()
    assert ending.asked.is_set()
    assert 1.0 < ending.seconds_left() <= 1.4, "the rest is for closing"
    sleep(0.2)
    assert happened == []
    sleep(2.5)
    assert happened == [STOP, STALLED_EXIT_CODE]
    assert ending.seconds_left() == 0


def test_asked_for_twice_it_comes_at_once(ended: Ended) -> None:
    ending, happened = ended
    ending.ask()
    ending.ask()
    sleep(0.2)
    assert happened == ["a stop asked for twice", STALLED_EXIT_CODE]


def test_before_anything_is_begun_a_signal_ends_the_process_in_peace(ended: Ended) -> None:
    ending, happened = ended
    ending.begun = False
    ending.ask()
    assert happened == [0]


class Unanswered:
    """A producer of whose messages one is never confirmed."""

    def produce(self, *_: Any, **__: Any) -> None: ...

    def produce_batch(self, *_: Any, **__: Any) -> int:
        return 1

    def flush(self, timeout: float) -> int:
        sleep(timeout)
        return 1


def test_a_stop_cuts_the_wait_for_confirmations_short(ended: Ended) -> None:
    ending, _ = ended
    threading.Timer(0.3, ending.ask).start()
    began = monotonic()
    assert Hurried(Unanswered(), ending.seconds_left).flush(65) == 1
    assert 1.0 < monotonic() - began < 2.5


def test_without_a_stop_it_waits_as_long_as_it_was_told_to(ended: Ended) -> None:
    ending, _ = ended
    began = monotonic()
    assert Hurried(Unanswered(), ending.seconds_left).flush(0.6) == 1
    assert 0.6 <= monotonic() - began < 1.5
