"""Customers written by hand: one for every edge in docs/definitions.md, placed so that the instants look at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from schemas.partitioning import bucket_of
from tests.oracle.diary import DAY, HOUR, MINUTE, Diary, item

Writer = Callable[[str], Diary]
"""Opens the diary of a customer."""

YEAR: Final = 365 * DAY
_HALF_HOUR: Final = 30 * MINUTE


def write_corners(open_diary: Writer, start: int, instants: Sequence[int]) -> None:
    """Write all corners; `instants` are the three at which the history is counted."""
    for number, instant in enumerate(instants):
        _window_edges(open_diary(f"edge-{number}"), instant)
        _session_ends(open_diary, number, instant)
    last = instants[-1]
    _refund_bounds(open_diary, start + 20 * DAY)
    _order_ages(open_diary("aged"), last)
    _gaps(open_diary("gaps"), last - 40 * DAY + 17)
    _sessions(open_diary("bridged"), last - 3 * DAY)
    _repeated_orders(open_diary, last - 20 * DAY)
    _void_orders(open_diary, last)
    _repeated_ids(open_diary, last - 5 * DAY)
    _latest_wins(open_diary("ties"), last - 2 * DAY)
    _lists(open_diary, last - 8 * DAY)


def _window_edges(diary: Diary, t: int) -> None:
    for width, count in ((5 * MINUTE, 12), (HOUR, 24), (DAY, 7), (DAY, 30), (DAY, 90)):
        first = (t // width - count + 1) * width
        for time in (first, first - 1, first + width, t):
            diary.add(time, "liked", 0)
            diary.order(time, f"edge-{time}-{width}", 1_000, 0)
    diary.add(t + 1, "liked", 0)


def _session_ends(open_diary: Writer, number: int, t: int) -> None:
    for name, last in (("open", t - _HALF_HOUR), ("closed", t - _HALF_HOUR - 1)):
        diary = open_diary(f"session-{name}-{number}")
        diary.add(last - 7, "page_viewed", 0)
        diary.add(last, "app_opened", 0)


def _refund_bounds(open_diary: Writer, o: int) -> None:
    bounds = {"early": -DAY, "too-early": -DAY - 1, "latest": YEAR, "too-late": YEAR + 1, "same": 0}
    for name, distance in bounds.items():
        for delay in (0, DAY):
            diary = open_diary(f"refund-{name}-{delay}")
            diary.order(o, "a", 5_000, DAY - delay, discount=10)
            diary.refund(o + distance, "a", 1_500, delay)
            diary.order(o + 3 * DAY, "b", 700, 0)
            diary.cancel(o + 3 * DAY + distance, "b", delay)


def _order_ages(diary: Diary, t: int) -> None:
    for number, time in enumerate((t - YEAR - DAY, t - YEAR - 1, t - YEAR, t - YEAR + 1, t - 50 * DAY)):
        diary.order(time, f"aged-{number}", 100 + number, 0)


def _gaps(diary: Diary, first: int) -> None:
    time = first
    for number, gap in enumerate((0, DAY, DAY, DAY + 1, DAY - 1, 3 * DAY, 0, 5 * DAY)):
        time += gap
        diary.order(time, f"gap-{number}", 2_000, None, items=[item("books", 2, 1_000)])


def _sessions(diary: Diary, first: int) -> None:
    """Three visits: joined by one late event, kept at exactly 30 min, split by one ms more."""
    diary.add(first, "page_viewed", 0)
    diary.add(first + 50 * MINUTE, "page_viewed", 0)
    diary.add(first + 25 * MINUTE, "app_opened", 20 * HOUR)
    second = first // DAY * DAY + DAY + HOUR
    diary.add(second, "page_viewed", 0)
    diary.add(second + _HALF_HOUR, "page_viewed", 0)
    diary.add(second + 2 * _HALF_HOUR + 1, "page_viewed", 0)
    midnight = second - HOUR
    diary.add(midnight, "page_viewed", 0)  # its session began the day before, as the late event tells
    diary.add(midnight - 20 * MINUTE, "product_viewed", DAY)
    diary.add(midnight + DAY, "liked", 0)


def _repeated_orders(open_diary: Writer, o: int) -> None:
    same_time = open_diary("repeat-same-time")
    contents = ((900, 5, 2, 10), (900, 5, 2, None), (900, 4, 7, 1), (901, 0, 0, 0))
    for revenue, discount, quantity, cost in contents:
        fields = {"discount": discount, "cost": cost, "items": [item("toys", quantity)]}
        same_time.order(o, "x", revenue, None, **fields)
    earlier = open_diary("repeat-earlier")
    earlier.order(o, "x", 3_000, 0)
    earlier.refund(o - DAY - 5 * MINUTE, "x", 1_000, 0)  # meets only the earlier record of x, which comes last
    earlier.order(o - 10 * MINUTE, "x", 4_000, 20 * HOUR)
    later = open_diary("repeat-later")
    for days in (0, 15, 1):
        later.order(o + days * DAY, "x", 2_500 + days, 0)
    for customer in ("shared-order-1", "shared-order-2"):  # an order_id is one customer's
        open_diary(customer).order(o, "shared", 800, 0)
    open_diary("shared-order-1").refund(o + HOUR, "shared", 300, 0)
    open_diary("shared-order-2").add(o + HOUR, "order_refunded", 0, order_id=None, revenue=50)


def _void_orders(open_diary: Writer, t: int) -> None:
    empty = open_diary("void-last")
    empty.order(t - YEAR - 5 * DAY, "old", 4_000, 0)
    empty.order(t - 10 * DAY, "new", 5_000, 0, cost=2_000)
    empty.refund(t - 9 * DAY, "new", 5_000, 0)
    parts = open_diary("void-in-parts")
    for number in range(4):
        parts.refund(t - 3 * DAY + number * HOUR, "p", 400, 0)
    parts.order(t - 3 * DAY + HOUR, "p", 1_500, 12 * HOUR, discount=99, items=[item("toys", 3)])
    free = open_diary("void-free")
    free.order(t - 2 * DAY, "refunded", 0, 0)
    free.refund(t - DAY, "refunded", 0, 0)
    free.order(t - 2 * DAY, "kept", 0, 0)
    both = open_diary("void-twice")
    both.cancel(t - 5 * DAY, "c", 0)
    both.order(t - 5 * DAY + 10, "c", 600, DAY)
    both.refund(t - 4 * DAY, "c", 9_999, 0)
    both.cancel(t - 4 * DAY, "unknown", 0)


def _repeated_ids(open_diary: Writer, time: int) -> None:
    hour = time // HOUR * HOUR
    diary = open_diary("ids")
    diary.repeat(diary.add(hour, "shared", 0), 2 * HOUR - 1)  # the neighbouring hour: a repetition
    diary.repeat(diary.add(hour + HOUR - 1, "followed", 0), HOUR + 1)  # two hours on: it counts again
    diary.repeat(diary.order(hour, "once", 1_000, 0), HOUR)
    first, second = _neighbours()
    draft = open_diary(first).add(hour, "shared", 0)
    open_diary(second).add(hour, "shared", 0).event["event_id"] = draft.event["event_id"]


def _neighbours() -> tuple[str, str]:
    """Two customers of one bucket: an event id is one customer's, whoever else lives there."""
    first = "same-id-0"
    return first, next(
        name for name in (f"same-id-{n}" for n in range(1, 10_000)) if bucket_of(name) == bucket_of(first)
    )


def _latest_wins(diary: Diary, time: int) -> None:
    for score in (9, 3, 7):
        diary.add(time, "survey_answered", survey="nps", score=score)
    diary.add(time + DAY, "survey_answered", 0, survey="ces", score=1)
    for age, city in ((40, "Lyon"), (39, "Zürich"), (41, None)):
        diary.add(time, "traits_updated", age=age, city=city)
    diary.add(time - HOUR, "traits_updated", 20 * HOUR, age=99, gender="f", country="CH")
    clamped = diary.add(time + DAY, "app_opened", 0)
    clamped.event["event_time"] += 2 * DAY


def _lists(open_diary: Writer, time: int) -> None:
    many = open_diary("many-categories")
    for number in range(100):
        many.add(time + number * MINUTE, "product_viewed", None, category=f"c{number % 90}")
    full = open_diary("full-categories")
    for number in range(128):
        full.add(time + number * MINUTE, "product_viewed", None, category=f"c{number % 64}")
    full.order(time, "lines", 100, None, items=[item("c1"), item("c1"), item(None)])
    burst = open_diary("burst")
    for number in range(400):
        burst.add(time + number // 20, "screen_viewed", 0)
    resolved = open_diary("resolved")
    resolved.add(time, "complaint_resolved", 0)
    resolved.add(time, "complaint_resolved", 0)
    resolved.add(time + 1, "complaint_opened", 0)
