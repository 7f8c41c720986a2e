"""What the card says of visits and answers, in words."""

from __future__ import annotations

from datetime import UTC

import pytest
from rich.console import Console

from processors.event import Event
from processors.fold import Outcome, advance
from processors.portrait import portrait
from streams.cli.profile_card import Card
from tests.builders import START, event, policy, profile

MINUTE = 60_000
HOUR = 60 * MINUTE


def card(*events: Event, later: int = HOUR) -> str:
    """The card of a customer some time (ms) after the last event, blanks joined."""
    p = profile(*events)
    advance(p, events[-1].time + later, policy(), Outcome())
    console = Console(width=120)
    with console.capture() as shown:
        console.print(Card(portrait(p), [], UTC, "USD").draw("c"))
    return " ".join(shown.get().split())


def visit(begin: int, minutes: int, number: int) -> list[Event]:
    return [event(time=begin, number=number), event(time=begin + minutes * MINUTE, number=number + 1)]


def answer(score: int, number: int) -> Event:
    return event("survey_answered", START + number, number, detail=("csat", score))


def test_visits_have_a_mean_length_and_a_share_that_bounced() -> None:
    said = card(*visit(START, 10, 0), *visit(START + 2 * HOUR, 5, 2), event(time=START + 4 * HOUR, number=4))
    assert "visits 3 ended, 5.0 min on average, 33% bounced (left after one step)" in said


def test_short_visits_are_told_in_seconds() -> None:
    said = card(event(time=START), event(time=START + 40_000, number=1))
    assert "visits 1 ended, 40 s on average, 0% bounced (left after one step)" in said


def test_a_visit_that_goes_on_is_not_told_of() -> None:
    assert "visits" not in card(event(time=START), later=MINUTE)


@pytest.mark.parametrize(
    ("scores", "words"),
    [([5], "CSAT 5.0 of 5 on average (1 answer)"), ([5, 4, 4], "CSAT 4.3 of 5 on average (3 answers)")],
)
def test_answers_have_a_mean(scores: list[int], words: str) -> None:
    assert words in card(*(answer(score, number) for number, score in enumerate(scores)))


def test_who_was_never_asked_has_no_mean() -> None:
    assert "CSAT" not in card(event(time=START))
