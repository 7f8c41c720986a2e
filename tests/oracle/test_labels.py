"""The brute-force labels: the known figures of CDNOW, and boundaries worked out by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from streams.replay.datasets import cdnow, ecom
from streams.replay.envelope import TopicEvent
from tests.oracle.labels import (
    DAY,
    LABELS,
    YEAR,
    Change,
    Seen,
    changes,
    changes_of,
    days_turning,
    intensity,
    rfm_scores,
)

T = 20_000 * DAY


@pytest.fixture(scope="module")
def orders() -> list[TopicEvent]:
    return list(cdnow())


def bought(*times: int, revenue: int = 1_000) -> list[Seen]:
    return [Seen(time, "purchase", revenue) for time in times]


def walked(name: str, seen: list[Seen], end: int) -> list[tuple[int, str, str]]:
    label, moments = LABELS[name]
    return [(change.instant, change.after, change.kind) for change in changes({"c": seen}, label, moments, end)]


def test_activity_on_cdnow_has_its_known_figures(orders: list[TopicEvent]) -> None:
    found = changes_of("activity_by_last_seen", orders, orders[-1][1]["event_time"])
    kinds = Counter(change.kind for change in found)
    assert len(found) == 123_992
    assert (kinds["time"], kinds["event"]) == (77_038, 46_954)
    assert sum(change.before is None for change in found) == 23_570


def test_a_customers_changes_are_a_chain(orders: list[TopicEvent]) -> None:
    some = [pair for pair in orders if pair[1]["customer_id"].endswith("77")]
    for name in LABELS:
        last: dict[str, Change] = {}
        for change in changes_of(name, some, orders[-1][1]["event_time"]):
            before = last.get(change.customer)
            assert change.before == (before.after if before else None) != change.after
            assert before is None or before.instant <= change.instant
            last[change.customer] = change


def test_silence_has_closed_boundaries() -> None:
    seen = bought(T, T + 30 * DAY, T + 61 * DAY)
    assert walked("activity_by_last_seen", seen, T + 61 * DAY + 90 * DAY + 1) == [
        (T, "active", "event"),
        (T + 60 * DAY + 1, "dormant", "time"),
        (T + 61 * DAY, "active", "event"),
        (T + 91 * DAY + 1, "dormant", "time"),
        (T + 151 * DAY + 1, "lost", "time"),
    ]


def test_a_tick_at_an_events_time_comes_first() -> None:
    assert walked("activity_by_last_seen", bought(T, T + 30 * DAY + 1), T + 31 * DAY) == [
        (T, "active", "event"),
        (T + 30 * DAY + 1, "dormant", "time"),
        (T + 30 * DAY + 1, "active", "event"),
    ]


def test_with_a_gap_the_order_clock_decides() -> None:
    # mu = (20 + 3 * 60) / 4 = 50 d: active up to 75 d, dormant up to 150 d
    assert walked("activity", bought(T, T + 20 * DAY), T + YEAR) == [
        (T, "active", "event"),
        (T + 95 * DAY + 1, "dormant", "time"),
        (T + 170 * DAY + 1, "lost", "time"),
    ]


def test_orders_within_a_day_leave_the_clock_on_last_seen() -> None:
    assert walked("activity", bought(T, T + DAY), T + 40 * DAY)[-1] == (T + 31 * DAY + 1, "dormant", "time")


def test_scores_fall_by_whole_days_and_by_orders_leaving() -> None:
    seen = bought(T, T + 10 * DAY, revenue=2_501)
    assert walked("rfm_scores", seen, T + 400 * DAY) == [
        (T, "5-1-2", "event"),
        (T + 10 * DAY, "5-2-3", "event"),
        (T + 41 * DAY, "4-2-3", "time"),
        (T + 101 * DAY, "3-2-3", "time"),
        (T + 191 * DAY, "2-2-3", "time"),
        (T + 281 * DAY, "1-2-3", "time"),
        (T + YEAR + 1, "1-1-2", "time"),
        (T + 10 * DAY + YEAR + 1, "1-1-1", "time"),
    ]


@pytest.mark.parametrize(("revenue", "score"), [(2_500, 1), (2_501, 2), (5_000, 2), (25_000, 4), (25_001, 5)])
def test_a_value_at_a_breakpoint_is_in_the_lower_bin(revenue: int, score: int) -> None:
    assert rfm_scores(bought(T, revenue=revenue), T) == (5, 1, score)
    assert rfm_scores([Seen(T, "app", None)], T) is None


def test_value_and_segment_follow_the_scores() -> None:
    seen = bought(*(T + n for n in range(5)), revenue=5_001)
    assert walked("value", seen, T + 4) == [(T, "low", "event"), (T + 1, "mid", "event"), (T + 4, "high", "event")]
    assert walked("rfm_segment", seen, T + 91 * DAY)[:3] == [
        (T, "potential_loyalist", "event"),
        (T + 2, "champion", "event"),  # F 3, M 4: 3.5 rounds up
        (T + 4 + 31 * DAY, "loyal", "time"),
    ]


def test_intensity_falls_when_a_day_leaves_the_window() -> None:
    seen = [Seen(T + n * 3_600_000, "app", None) for n in range(3)] + [Seen(T + DAY, "social", None)]
    found = changes({"c": seen}, intensity, days_turning, T + 31 * DAY)
    assert [(change.instant, change.after) for change in found] == [
        (T, "low"),
        (T + 2 * 3_600_000, "mid"),
        (T + 30 * DAY, "low"),
    ]


def test_intensity_on_ecom_begins_low_for_everyone() -> None:
    events = list(ecom())
    found = changes_of("intensity", events, events[-1][1]["event_time"])
    assert [change.after for change in found if change.before is None] == ["low"] * 600
    assert Counter(change.kind for change in found) == {"event": 1_390, "time": 659}
