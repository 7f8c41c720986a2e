"""Windows as value objects: add then expire is identity, totals equal a naive count, merge is a commutative sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.calendar import DAY, FIVE, HOUR, Calendar, calendar_of
from processors.measures import MEASURES, WINDOWS
from processors.profile import ROW_1H, ROW_LIFE, WIDTH, Buckets, Profile
from processors.windows import add, expire, mark_present, merge, rebuild_totals
from tests.builders import START

UTC = Calendar()
ZONES = [UTC, calendar_of("America/St_Johns")]
Entry = tuple[int, int, int]
"""(time, measure, value)."""

ages = st.one_of(st.integers(0, 2 * HOUR), st.integers(0, 30 * HOUR), st.integers(0, 95 * DAY))
entries = st.lists(st.tuples(ages.map(lambda age: START - age), st.integers(1, 6), st.integers(-5, 90)), max_size=25)


def filled(added: Sequence[Entry], t: int, calendar: Calendar = UTC) -> Profile:
    """A profile at `t` to which all was added in this order, its time going with the greatest."""
    p = Profile("c")
    for time, measure, value in added:
        p.as_of = max(p.as_of, time)
        expire(p, p.as_of, calendar)
        add(p, measure, value, time, calendar)
    expire(p, t, calendar)
    return p


def naive(added: Sequence[Entry], t: int, calendar: Calendar) -> list[int]:
    """The window rule of docs/definitions.md, word for word."""
    held: dict[str, Callable[[int], bool]] = {
        "1h": lambda time: t // FIVE - 12 < time // FIVE,
        "24h": lambda time: t // HOUR - 24 < time // HOUR,
        "lifetime": lambda _: True,
    }
    for n in (7, 30, 90):
        held[f"{n}d"] = lambda time, n=n: calendar.day(t) - n < calendar.day(time)  # type: ignore[misc]
    return [
        sum(value for time, measure, value in added if measure == position and held[window](time))
        for window in WINDOWS
        for position in range(len(MEASURES))
    ]


@pytest.mark.parametrize("calendar", ZONES, ids=["UTC", "St. John's"])
@settings(max_examples=100, deadline=None)
@given(added=entries, wait=ages)
def test_totals_equal_a_naive_count(calendar: Calendar, added: list[Entry], wait: int) -> None:
    assert list(filled(added, START + wait, calendar).totals) == naive(added, START + wait, calendar)


@settings(max_examples=60, deadline=None)
@given(entries, st.permutations(range(25)), ages)
def test_the_order_of_adding_does_not_matter(added: list[Entry], order: list[int], wait: int) -> None:
    shuffled = [added[i] for i in order if i < len(added)]
    p, q = filled(added, START + wait), filled(shuffled, START + wait)
    assert p.totals == q.totals


@settings(max_examples=60, deadline=None)
@given(entries, st.integers(1, 6), st.integers(1, 99))
def test_what_was_added_and_has_left_leaves_no_trace(added: list[Entry], measure: int, value: int) -> None:
    later = START + 90 * DAY + DAY
    p = filled(added, START)
    add(p, measure, value, START, UTC)
    expire(p, later, UTC)
    assert list(p.totals)[:ROW_LIFE] == [0] * ROW_LIFE
    assert [p.fives, p.hours, p.days] == [Buckets()] * 3


@settings(max_examples=60, deadline=None)
@given(entries, st.lists(ages, max_size=6))
def test_expiring_in_steps_is_expiring_at_once(added: list[Entry], waits: list[int]) -> None:
    stepwise = filled(added, START)
    for wait in sorted(waits):
        expire(stepwise, START + wait, UTC)
    once = filled(added, START + max(waits, default=0))
    assert (stepwise.totals, stepwise.fives, stepwise.hours, stepwise.days) == (
        once.totals, once.fives, once.hours, once.days
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(entries, ages)
def test_totals_rebuilt_from_the_buckets_are_the_running_ones(added: list[Entry], wait: int) -> None:
    p = filled(added, START + wait)
    expected = list(p.totals)
    for position in range(ROW_LIFE):
        p.totals[position] = 99
    rebuild_totals(p)
    assert list(p.totals) == expected


@settings(max_examples=60, deadline=None)
@given(entries, st.lists(ages, max_size=10))
def test_presence_counts_distinct_buckets(added: list[Entry], seen: list[int]) -> None:
    p = filled(added, START)
    for age in [*seen, *seen]:
        mark_present(p, START - age, UTC)
    times = [START - age for age in seen]
    days = {time // DAY for time in times if time // DAY > START // DAY - 90}
    assert p.totals[ROW_LIFE] == len(days)
    assert p.totals[ROW_1H] == len({time // FIVE for time in times if time // FIVE > START // FIVE - 12})
    assert p.totals[2 * WIDTH] == len([day for day in days if day > START // DAY - 7])


def days_of(added: Sequence[Entry]) -> Buckets:
    p = filled(added, START)
    for time, *_ in added:
        mark_present(p, time, UTC)
    return p.days


@settings(max_examples=60, deadline=None)
@given(entries, entries, entries)
def test_merge_is_associative_commutative_and_folding_both(a: list[Entry], b: list[Entry], c: list[Entry]) -> None:
    x, y, z = days_of(a), days_of(b), days_of(c)
    assert merge(merge(x, y), z) == merge(x, merge(y, z))
    assert merge(x, y) == merge(y, x) == days_of([*a, *b])
    assert merge(x, Buckets()) == x
