"""The seeded six-topic history, folded and counted again by SQL: the same to the last number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from time import process_time
from typing import Any

import pytest

from benchmarks.differential import differences, reloaded
from processors.fold import Policy
from processors.portrait import portrait
from processors.profile import Profile
from tests.builders import Folded, Record, counted, events_from, fold_history, policy, zone_policy
from tests.oracle.history import INSTANTS, Arrival, History, history, permutation
from tests.oracle.recount import LISTS, NAMES, QUOTIENTS, TOPS, recount

Counts = dict[str, dict[str, Any]]
LAST = INSTANTS[-1]
NEEDING_INTERVALS = ("sessions", "bounces", "session_", "orders", "revenue", "discount", "profit", "items")
"""Measures that keep lists or intervals: promised only for records at most 24 h late."""


@cache
def seeded() -> History:
    return history()


@cache
def small() -> History:
    return history(11, customers=400)


@cache
def small_recounted() -> Counts:
    return recount(small().until(LAST), LAST)


@cache
def folded_until(t: int) -> Folded:
    return folded_at(seeded().until(t), t, policy())


@cache
def recounted_until(t: int) -> Counts:
    return recount(seeded().until(t), t)


def folded_at(records: Iterable[Record], t: int, under: Policy) -> Folded:
    folded = fold_history(records, under)
    folded.advance(t)
    return folded


def without_time(profiles: Mapping[str, Profile]) -> dict[str, dict[str, Any]]:
    return {customer: portrait(p) for customer, p in profiles.items()}


@pytest.mark.parametrize("t", INSTANTS)
def test_every_number_equals_the_recount(t: int) -> None:
    counts = recounted_until(t)
    assert differences(folded_until(t).profiles, counts) == []
    numbers = (*NAMES, *QUOTIENTS, *TOPS, "complaints_open")
    assert [name for name in numbers if not any(count[name] for count in counts.values())] == []


def test_the_history_asks_for_the_order_of_the_most_counted() -> None:
    """Some customer has more than five, and equal counts at the place where the list is cut."""
    for name in LISTS:
        ranked = [sorted((count[name] or {}).values(), reverse=True) for count in recounted_until(LAST).values()]
        assert [name for counts in ranked if len(counts) > 5 and counts[4] == counts[5]], name


def test_repetitions_were_found() -> None:
    assert folded_until(LAST).repetitions > 500


@pytest.mark.parametrize("t", INSTANTS)
def test_storing_and_loading_changes_no_trait(t: int) -> None:
    folded = folded_until(t)
    loaded = {customer: reloaded(p, folded.policy) for customer, p in folded.profiles.items()}
    assert without_time(loaded) == without_time(folded.profiles)
    assert {c: p.totals for c, p in loaded.items()} == {c: p.totals for c, p in folded.profiles.items()}
    assert differences(loaded, recounted_until(t)) == []


def test_loading_every_profile_in_the_middle_changes_nothing() -> None:
    half, expected = Folded(policy()), folded_at(small().records, LAST, policy())
    events = counted(events_from(small().records), half)
    for number, one in enumerate(events):
        if number % 2_000 == 1_000:
            half.profiles = {customer: reloaded(p, half.policy) for customer, p in half.profiles.items()}
        half.take(one)
    half.advance(LAST)
    assert without_time(half.profiles) == without_time(expected.profiles)
    assert half.outcome == expected.outcome


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_of_arrival_within_a_day_gives_the_same_numbers(seed: int) -> None:
    other = permutation(seeded(), seed)
    assert [one.event for one in other.records] != [one.event for one in seeded().records]
    assert differences(folded_at(other.until(LAST), LAST, policy()).profiles, recounted_until(LAST)) == []


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns"])
def test_days_and_hours_are_those_of_the_time_zone(zone: str) -> None:
    """Clocks change in both, and one is half an hour off."""
    records = small().until(LAST)
    counts = recount(records, LAST, zone=zone)
    assert differences(folded_at(records, LAST, zone_policy(zone)).profiles, counts) == []
    assert counts != small_recounted()


def test_records_that_come_weeks_late_still_count_in_every_sum() -> None:
    """And on every active day: none of them is more than 90 d late."""
    late = history(5, customers=600, far_late=True)
    records = late.until(LAST)
    profiles, counts = folded_at(records, LAST, policy()).profiles, recount(records, LAST)
    promised = {name for name in NAMES if not name.startswith(NEEDING_INTERVALS)}
    promised |= {"first_seen", "last_seen", "last_nps", "complaints_open", "city", "first_order", *LISTS}
    assert len(promised) > 120
    found = differences(profiles, counts)
    assert [one for one in found if one.name in promised] == []
    assert found, "the history is so late that sessions and refunds lose each other: else it proves nothing"


def test_the_oracle_would_notice_one_lost_event() -> None:
    records = small().until(LAST)
    lost: list[Arrival] = [one for one in records if one is not records[len(records) // 2]]
    found = differences(folded_at(lost, LAST, policy()).profiles, small_recounted())
    assert found
    assert len({one.customer for one in found}) == 1


def test_the_cost_of_a_fold_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    folded = Folded(policy())
    events = counted(events_from(small().records), folded)
    began = process_time()
    for one in events:
        folded.take(one)
    cost = (process_time() - began) / len(events) * 1e6
    with capsys.disabled():
        print(f"\n{len(events)} events without rules: {cost:.1f} us a fold")
    assert sum(p.first_seen > 0 for p in folded.profiles.values()) > 400
