"""The recount against numbers worked out by hand, one corner of docs/definitions.md after the other."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.oracle.diary import DAY, HOUR, MINUTE, Diary, item
from tests.oracle.recount import recount

T = int(datetime(2024, 6, 15, 12, tzinfo=UTC).timestamp()) * 1000 + 1


def diary() -> Diary:
    return Diary("c", random.Random(1))


def count(written: Diary, t: int = T, zone: str = "UTC") -> dict[str, Any]:
    """Counts of the only customer; records arrive in the order they were written down."""
    records = [(place, draft.topic, draft.event) for place, draft in enumerate(written.drafts)]
    return recount(records, t, zone=zone)["c"]


def windows(counts: dict[str, Any], measure: str) -> list[int]:
    return [counts[f"{measure}_{window}"] for window in ("1h", "24h", "7d", "30d", "90d", "lifetime")]


def order_list(counts: dict[str, Any]) -> tuple[Any, ...]:
    return counts["F"], counts["M"], counts["last_order"]


@pytest.mark.parametrize(
    ("first_held", "held"),
    [
        (T // (5 * MINUTE) * 5 * MINUTE - 55 * MINUTE, [1, 1, 1, 1, 1, 1]),
        (T // HOUR * HOUR - 23 * HOUR, [0, 1, 1, 1, 1, 1]),
        (T // DAY * DAY - 6 * DAY, [0, 0, 1, 1, 1, 1]),
        (T // DAY * DAY - 29 * DAY, [0, 0, 0, 1, 1, 1]),
        (T // DAY * DAY - 89 * DAY, [0, 0, 0, 0, 1, 1]),
    ],
)
def test_a_window_holds_whole_buckets(first_held: int, held: list[int]) -> None:
    inside, outside = diary(), diary()
    inside.add(first_held, "shared", 0)
    outside.add(first_held - 1, "shared", 0)
    assert windows(count(inside), "shares") == held
    assert sum(windows(count(outside), "shares")) == sum(held) - 1


def test_active_days_are_those_of_the_time_zone() -> None:
    written = diary()
    for hour in (1, 15, 17):  # in Shanghai 09:00 and 23:00 of one day and 01:00 of the next
        written.add(T // DAY * DAY - 2 * DAY + hour * HOUR, "liked", 0)
    assert windows(count(written), "active_days") == [0, 0, 1, 1, 1, 1]
    assert windows(count(written, zone="Asia/Shanghai"), "active_days") == [0, 0, 2, 2, 2, 2]
    assert count(written, zone="Asia/Shanghai")["hours"] == {"9": 1, "23": 1, "1": 1}


def test_an_hour_bucket_belongs_to_the_day_it_begins_in() -> None:
    written = diary()
    written.add(T // DAY * DAY - 6 * HOUR + 29 * MINUTE, "liked", 0)  # 18:29 UTC: 23:59 in Kolkata
    written.add(
        T // DAY * DAY - 6 * HOUR + 31 * MINUTE, "liked", 0
    )  # 18:31 UTC: 00:01 of the next day, same hour bucket
    assert windows(count(written, zone="Asia/Kolkata"), "active_days") == [0, 1, 2, 2, 2, 2]


def test_the_same_id_in_its_hour_or_a_neighbour_counts_once() -> None:
    for shift, expected in ((0, 1), (2 * HOUR - 1, 1), (-HOUR, 1), (2 * HOUR, 2)):
        written = diary()
        written.repeat(written.add(T // HOUR * HOUR - 5 * HOUR, "shared", 0), shift)
        assert count(written)["shares_lifetime"] == expected


def test_a_repetition_is_compared_with_records_that_counted() -> None:
    written = diary()
    first = written.add(T // HOUR * HOUR - 5 * HOUR, "shared", 0)
    written.repeat(first, HOUR)
    written.repeat(first, 2 * HOUR)  # a neighbour of the repetition, not of the first
    assert count(written)["shares_lifetime"] == 2


def test_an_event_is_never_later_than_it_was_received() -> None:
    written = diary()
    written.add(T - 5, "app_opened", 0).event["event_time"] += 3 * DAY
    assert count(written)["last_seen"] == T - 5


def test_every_event_name_has_its_measure() -> None:
    names = {
        "page_viewed": "page_views", "product_viewed": "product_views", "product_searched": "searches",
        "product_added": "cart_adds", "checkout_started": "checkouts", "app_opened": "app_opens",
        "feature_used": "feature_uses", "scan_paid": "scan_pays", "shared": "shares",
        "referral_sent": "referrals_sent", "referral_converted": "referrals_converted",
        "complaint_opened": "complaints_opened", "complaint_resolved": "complaints_resolved",
        "support_contacted": "support_contacts", "return_requested": "returns",
    }  # fmt: skip
    written = diary()
    for times, name in enumerate(names, start=1):
        for _ in range(times):
            written.add(T - MINUTE, name, 0)
    counts = count(written)
    assert [counts[f"{measure}_1h"] for measure in names.values()] == list(range(1, 16))
    assert counts["social_actions_1h"] == 9 + 10 + 11
    assert counts["complaints_open"] == 0
    assert counts["channels"] == {"web": 15, "app": 21, "social": 30, "service": 54}


def test_satisfaction() -> None:
    written = diary()
    for score in (1, 3, 4, 5):
        written.add(T - 2, "survey_answered", 0, survey="csat", score=score)
    for time, score in ((T - 4, 10), (T - 3, 2), (T - 3, 6)):
        written.add(time, "survey_answered", 0, survey="nps", score=score)
    counts = count(written)
    assert [counts[f"{name}_1h"] for name in ("feedback_answers", "csat_sum", "csat_answers", "csat_top2")] == [
        7,
        13,
        4,
        2,
    ]
    assert counts["last_nps"] == 6


def test_an_order_counts_in_the_bucket_of_its_own_time() -> None:
    written = diary()
    written.order(T - 10 * DAY, "a", 1_000, 0, discount=50, cost=700, items=[item("books", 2), item("books", 3)])
    written.refund(T - MINUTE, "a", 400, 0)
    counts = count(written)
    assert windows(counts, "orders") == [0, 0, 0, 1, 1, 1]
    assert windows(counts, "revenue") == [0, 0, 0, 600, 600, 600]
    assert windows(counts, "profit") == [0, 0, 0, -100, -100, -100]
    assert windows(counts, "refunds") == [400] * 6
    assert windows(counts, "items") == [0, 0, 0, 5, 5, 5]
    assert windows(counts, "discounted_orders") == [0, 0, 0, 1, 1, 1]
    assert order_list(counts) == (1, 600, T - 10 * DAY)
    assert counts["R"] == 10
    assert counts["categories"] == {"books": 2}


def test_a_void_order_keeps_only_items_and_discount() -> None:
    for close in ("refund", "cancel"):
        written = diary()
        written.order(T - 400 * DAY, "old", 70, 0)
        written.order(T - DAY, "a", 1_000, 0, discount=50, cost=700, items=[item("books", 2)])
        if close == "refund":
            written.refund(T - HOUR, "a", 600, 0)
            written.refund(T - HOUR, "a", 600, 0)
        else:
            written.cancel(T - HOUR, "a", 0)
        counts = count(written)
        names = ("orders", "revenue", "discounted_orders", "items", "discount", "profit")
        assert [counts[f"{name}_7d"] for name in names] == [0, 0, 0, 2, 50, -700]
        assert order_list(counts) == (0, 0, T - 400 * DAY)
        assert counts["refunds_7d"] == (1_200 if close == "refund" else 0)
        assert counts["first_order"] == T - 400 * DAY


def test_a_free_order_is_void_only_with_a_refund() -> None:
    written = diary()
    written.order(T - 2, "kept", 0, 0)
    written.order(T - 2, "returned", 0, 0)
    written.refund(T - 1, "returned", 0, 0)
    assert count(written)["orders_1h"] == 1


@pytest.mark.parametrize(
    ("distance", "meets"),
    [(-DAY, True), (-DAY - 1, False), (0, True), (365 * DAY, True), (365 * DAY + 1, False)],
)
def test_a_refund_meets_an_order_from_a_day_before_to_a_year_after(distance: int, meets: bool) -> None:  # noqa: FBT001
    written = diary()
    order = T - 366 * DAY
    written.refund(order + distance, "a", 100, 0)
    written.order(order, "a", 1_000, 0)
    counts = count(written)
    assert counts["revenue_lifetime"] == (900 if meets else 1_000)
    assert counts["refunds_lifetime"] == 100


def test_an_order_of_exactly_365_days_is_in_the_list() -> None:
    written = diary()
    written.order(T - 365 * DAY, "in", 100, 0)
    assert order_list(count(written)) == (1, 100, T - 365 * DAY)
    assert order_list(count(written, T + 1)) == (0, 0, T - 365 * DAY)
    assert count(written, T + 1)["R"] == 365


def test_of_one_order_id_the_least_record_is_the_order() -> None:
    written = diary()
    written.order(T - HOUR, "a", 900, 0, cost=5, items=[item("toys", 1)])
    written.order(T - HOUR, "a", 900, 0, cost=None, items=[item("toys", 1)])
    written.order(T - HOUR + 1, "a", 10, 0)
    written.order(T - DAY, "b", 1, 0)
    counts = count(written)
    assert (counts["orders_lifetime"], counts["revenue_1h"], counts["profit_1h"]) == (2, 0, 0)
    assert (counts["revenue_24h"], counts["items_24h"]) == (900, 1)
    assert counts["categories"] == {"toys": 2}


def test_gaps_up_to_a_day_join_orders() -> None:
    written = diary()
    for number, days in enumerate((30, 29, 20, 20)):
        written.order(T - days * DAY, f"o{number}", 10, 0)
    counts = count(written)
    assert (counts["F"], counts["gap_count"], counts["gap_sum"]) == (4, 1, 9 * DAY)


def test_sessions_split_after_more_than_30_minutes() -> None:
    written = diary()
    for minutes in (200, 170, 140):
        written.add(T - minutes * MINUTE, "page_viewed", 0)
    written.add(T - 110 * MINUTE + 1, "app_opened", 0)
    written.add(T - 30 * MINUTE, "app_opened", 0)
    written.add(T - 20 * MINUTE, "liked", 0)
    counts = count(written)
    names = ("sessions", "sessions_closed", "session_ms", "session_events", "bounces")
    assert [counts[f"{name}_24h"] for name in names] == [3, 2, HOUR, 4, 1]
    later = count(written, T + 1)
    assert [later[f"{name}_24h"] for name in names] == [3, 3, HOUR, 5, 2]


def test_a_late_event_bridges_two_sessions_into_the_bucket_of_the_first() -> None:
    written = diary()
    midnight = T // DAY * DAY
    written.add(midnight, "page_viewed", 0)
    written.add(midnight - 50 * MINUTE, "page_viewed", 0)
    assert count(written)["sessions_lifetime"] == 2
    written.add(midnight - 25 * MINUTE, "page_viewed", 0)
    counts = count(written)
    assert (counts["sessions_lifetime"], counts["session_events_lifetime"]) == (1, 3)
    assert counts["session_ms_7d"] == 50 * MINUTE


def test_attributes_are_the_latest_and_on_a_tie_the_greatest() -> None:
    written = diary()
    written.add(T - 2, "identified", 0, age=50, city="Lyon", gender="f")
    written.add(T - 2, "traits_updated", 0, age=9, city="Lyón")
    written.add(T - 3, "traits_updated", 0, age=80, country="FR")
    counts = count(written)
    found = {name: counts[name] for name in ("age", "city", "gender", "country", "occupation")}
    assert found == {"age": 50, "city": "Lyón", "gender": "f", "country": "FR", "occupation": None}


def test_a_list_with_more_than_64_keys_is_not_compared() -> None:
    written = diary()
    for number in range(64):
        written.add(T - 1, "page_viewed", 0, category=f"c{number}")
    assert len(count(written)["categories"]) == 64
    written.add(T - 1, "page_viewed", 0, category="one more")
    assert count(written)["categories"] is None


def test_ids_and_orders_are_one_customers() -> None:
    one, other = Diary("c", random.Random(1)), Diary("d", random.Random(1))
    for written in (one, other):
        written.order(T - DAY, "shared", 500, 0)
    one.cancel(T - HOUR, "shared", 0)
    assert one.drafts[0].event["event_id"] == other.drafts[0].event["event_id"]
    counts = recount([(n, d.topic, d.event) for n, d in enumerate(one.drafts + other.drafts)], T)
    assert [counts[name]["orders_lifetime"] for name in "cd"] == [0, 1]


def test_a_record_after_the_instant_is_refused() -> None:
    written = diary()
    written.add(T + 1, "liked", 0)
    with pytest.raises(ValueError, match="after t"):
        count(written)
