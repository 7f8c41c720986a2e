"""Churn labels: one pending snapshot at most, answered once, by a return or by the whole horizon of silence."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.calendar import DAY, HOUR, Calendar, calendar_of
from processors.churn import example_of
from processors.event import Event
from processors.features import FEATURES
from processors.fold import Outcome, advance, fold
from processors.profile import Profile
from tests.builders import START, event, order, policy, profile, run
from tests.strategies import continued

H = 30 * DAY
END = (START // DAY + 1) * DAY - 1
"""The last ms of the day of `START`: what its snapshot predicts from."""


def answered(*events: Event, until: int = 0, by_order: bool = False) -> list[tuple[int, int, int]]:
    """(snapshot time, label, label time) of every label that became known."""
    out = run(events, policy(churn_by_order=by_order), until).outcome
    return [(known.pending.time, known.label, known.label_time) for known in out.answers]


def test_the_first_event_of_a_day_is_the_snapshot_of_its_last_millisecond() -> None:
    out = run([event(), event("product_added", START + HOUR)]).outcome
    assert [(taken.pending.time, taken.instant) for taken in out.snapshots] == [(END, START)]
    assert out.snapshots[0].pending.features[FEATURES.index("cart_adds_7d")] == 0


def test_the_rest_of_the_same_day_answers_nothing() -> None:
    assert answered(event(), event(time=END)) == []


def test_the_first_event_after_the_day_is_a_return() -> None:
    assert answered(event(), event(time=END + 1)) == [(END, 0, END + 1)]


def test_a_return_at_the_very_end_of_the_horizon_counts() -> None:
    assert answered(event(), event(time=END + H)) == [(END, 0, END + H)]


def test_silence_is_known_one_millisecond_after_the_horizon() -> None:
    assert answered(event(), until=END + H) == []
    assert answered(event(), until=END + H + 1) == [(END, 1, END + H + 1)]
    assert answered(event(), event(time=END + H + 1)) == [(END, 1, END + H + 1)]


def test_with_labels_by_order_a_visit_is_no_return() -> None:
    assert answered(event(), event(time=START + DAY), by_order=True) == []
    assert answered(event(), event(time=START + DAY), order(START + 2 * DAY), by_order=True) == [
        (END, 0, START + 2 * DAY)
    ]
    assert answered(event(), event(time=START + DAY), by_order=True, until=END + H + 1) == [(END, 1, END + H + 1)]


def test_a_late_event_makes_no_snapshot() -> None:
    late = [event(), event(time=START + 2 * DAY, number=1), event(time=START + DAY, number=2)]
    assert [taken.instant for taken in run(late).outcome.snapshots] == [START, START + 2 * DAY]
    yesterdays = event(time=START - 20 * HOUR, at=START)
    assert run([yesterdays]).outcome.snapshots == []


def test_a_late_event_within_the_horizon_is_a_return_known_when_it_is_read() -> None:
    p, out, rules = profile(event()), Outcome(), policy()
    advance(p, END + 5 * DAY, rules, out)
    fold(p, event(time=END + DAY, number=1), rules, out)
    assert [(known.label, known.label_time) for known in out.answers] == [(0, END + 5 * DAY)]


def test_days_are_those_of_the_time_zone() -> None:
    calendar = calendar_of("Asia/Tokyo")
    out = run([event()], policy(calendar=calendar)).outcome
    assert out.snapshots[0].pending.time == calendar.start(calendar.day(START) + 1) - 1 != END


def test_an_example_carries_what_was_known_at_its_snapshot() -> None:
    out = run([event(), event(time=START + 3 * DAY)]).outcome
    (example,) = map(example_of, out.answers)
    assert example.example_id == example_of(out.answers[0]).example_id
    assert (example.snapshot_time, example.label_time, example.label) == (END, START + 3 * DAY, 0)
    assert list(example.features) == list(FEATURES)
    assert list(example.features.values()) == list(out.snapshots[0].pending.features)


@settings(max_examples=150, deadline=None)
@given(history=continued(most=25), by_order=st.booleans(), zone=st.sampled_from(["UTC", "Europe/Berlin"]))
def test_every_snapshot_has_one_label_in_time_or_is_pending(
    history: tuple[list[Event], int], *, by_order: bool, zone: str
) -> None:
    events, until = history
    calendar = CALENDARS[zone]
    done = run(events, policy(churn_by_order=by_order, calendar=calendar), until)
    taken, known = done.outcome.snapshots, done.outcome.answers
    pending = [done.profile.pending] if done.profile.pending else []
    assert [one.pending.time for one in taken] == [one.pending.time for one in known] + [one.time for one in pending]
    assert len({one.pending.time for one in taken}) == len(taken)
    returns = [one.time for one in events if not by_order or one.name == "order_completed"]
    for one in known:
        t = one.pending.time
        assert t < one.label_time <= t + H + 1
        assert one.label == (one.label_time == t + H + 1)
        assert any(t < time <= t + H for time in returns) >= (not one.label)
    for before, after in zip(known, taken[1:], strict=False):
        assert before.label_time <= after.instant, "the next snapshot waits until the one before is answered"
    assert all(calendar.start(calendar.day(one.instant) + 1) - 1 == one.pending.time for one in taken)


CALENDARS = {"UTC": Calendar(), "Europe/Berlin": calendar_of("Europe/Berlin")}


def test_a_customer_without_events_has_nothing_pending() -> None:
    p, out = Profile("c"), Outcome()
    advance(p, START, policy(), out)
    assert (p.pending, out.answers) == (None, [])
