"""Where the time of a worker goes, as it is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

import pytest

from benchmarks import budget
from benchmarks.figures import Figures, note_stages
from benchmarks.measure import Sample
from benchmarks.sampled import WAITING, Sampler, place_of
from schemas.errors import ConfigurationError
from streams.cli import bench

T = TypeVar("T")


def looks() -> list[Sample]:
    """Ten seconds, 1 000 events and 250 changed profiles, half of the time spent folding."""
    return [
        Sample(
            at,
            {
                "footfall_events_applied_total": {"app": 100 * at},
                "footfall_profiles_changed_total": {"": 25 * at},
                "footfall_stage_seconds_sum": {"fold": 0.5 * at},
            },
            {},
            {},
        )
        for at in (0.0, 10.0)
    ]


def test_a_stage_is_told_as_a_share_and_by_event_and_by_changed_profile() -> None:
    figures = Figures()
    note_stages(looks(), figures)
    assert figures.rows["events a changed profile"] == (4.0, "in one batch")
    told = "% of the time; 5000.0 us an event, 20000.0 us a changed profile"
    assert figures.rows["stage fold"] == (50.0, told)


def test_the_ceiling_counts_every_process_and_not_the_bare_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    figures = Figures()
    for name, spent in (("worker", 50.0), ("broker", 5.0), ("Redis", 20.0), ("producer", 5.0), ("bare loop", 12.0)):
        figures.note(f"CPU of the {name}", spent)
    assert "All processes together 80 us an event: 2 cores carry at most 25,000 events/s" in budget._ceiling(figures)


def test_lines_are_told_with_their_share_the_most_seen_first() -> None:
    assert budget.lines([]) == ""
    told = budget.lines([("streams/journey.py:10 fold", 3), (WAITING, 1)])
    assert told.splitlines()[1:] == [
        "The main thread, 4 looks",
        "   75.0 %  streams/journey.py:10 fold",
        f"   25.0 %  {WAITING}",
    ]


OURS = "def outer(call):\n    return call()\n"


def in_ours(call: Callable[[], T]) -> T:
    """What the callable gives, called from line 2 of a module of ours."""
    scope: dict[str, Any] = {"__name__": "streams.somewhere"}
    exec(compile(OURS, "somewhere.py", "exec"), scope)
    found: T = scope["outer"](call)
    return found


def test_the_place_is_the_innermost_line_of_ours() -> None:
    assert place_of(sys._getframe()) == WAITING  # a test is none of ours
    assert place_of(None) == WAITING
    assert in_ours(lambda: place_of(sys._getframe())) == "somewhere.py:2 outer"


def test_a_sampler_notes_where_the_main_thread_is() -> None:
    sampler = Sampler()
    sampler.start()

    def until_seen() -> None:
        deadline = monotonic() + 10
        while sampler.seen["somewhere.py:2 outer"] < 3 and monotonic() < deadline:
            pass

    in_ours(until_seen)
    sampler.stop()
    assert sampler.seen["somewhere.py:2 outer"] >= 3


def test_outside_a_checkout_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks.budget", None)
    with pytest.raises(ConfigurationError, match="needs the checkout"):
        bench.run(5.0, profile=False)
