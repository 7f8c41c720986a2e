"""Every change of a label, by brute force: recompute the label from all events so far, at every instant that matters.

Plain Python over lists of events, nothing incremental, nothing of `processors/`. Between two events a label is
looked at at both ends of every piece in which it can only move one way, and where the ends differ the first
instant of the new label is searched to the ms. A tick at an event's own time comes before the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple

DAY: Final = 86_400_000
YEAR: Final = 365 * DAY
HALF_HOUR: Final = 30 * 60_000
PRIOR_GAP: Final = 60 * DAY

TopicEvent = tuple[str, dict[str, Any]]
Kind = Literal["event", "time"]


class Seen(NamedTuple):
    """What a label may look at in one event; `revenue` is None for what is no order."""

    time: int
    topic: str
    revenue: int | None


class Change(NamedTuple):
    """One change of one customer's label; `before` is None for the first label."""

    customer: str
    instant: int
    before: str | None
    after: str
    kind: Kind


Label = Callable[[Sequence[Seen], int], str]
"""The label from the events applied so far (never empty) at an instant not before the last of them."""
Moments = Callable[[Sequence[Seen], int, int], Iterable[int]]
"""Instants in (from, to] between which, without an event, the label moves one way only."""


def by_customer(events: Iterable[TopicEvent]) -> dict[str, list[Seen]]:
    """The events of each customer, in the order given, which is the order they are applied in."""
    customers: dict[str, list[Seen]] = {}
    for topic, event in events:
        revenue = event["revenue"] if event["name"] == "order_completed" else None
        customers.setdefault(event["customer_id"], []).append(Seen(event["event_time"], topic, revenue))
    return customers


def changes(customers: dict[str, list[Seen]], label: Label, moments: Moments, end: int) -> list[Change]:
    """All changes up to and including `end`, customer after customer, each customer's in order.

    The events of a customer must be in time order.
    """
    return [change for customer, seen in customers.items() for change in _walk(customer, seen, label, moments, end)]


def _walk(customer: str, seen: Sequence[Seen], label: Label, moments: Moments, end: int) -> list[Change]:
    found: list[Change] = []
    current: str | None = None
    for count in range(1, len(seen) + 1):
        applied, time = seen[:count], seen[count - 1].time
        after = label(applied, time)
        if after != current:
            found.append(Change(customer, time, current, after, "event"))
        until = seen[count].time if count < len(seen) else end
        found += _by_time(customer, applied, label, (time, *sorted(moments(applied, time, until)), until))
        current = found[-1].after
    return found


def _by_time(customer: str, applied: Sequence[Seen], label: Label, edges: tuple[int, ...]) -> list[Change]:
    found = []
    for left, right in pairwise(edges):
        low, before = left, label(applied, left)
        while before != label(applied, right):
            low = _first_other(applied, label, low, right)
            after = label(applied, low)
            found.append(Change(customer, low, before, after, "time"))
            before = after
    return found


def _first_other(applied: Sequence[Seen], label: Label, low: int, high: int) -> int:
    before = label(applied, low)
    while high - low > 1:
        middle = (low + high) // 2
        if label(applied, middle) == before:
            low = middle
        else:
            high = middle
    return high


def silence_growing(applied: Sequence[Seen], begin: int, end: int) -> Iterable[int]:
    """A label that only falls while nothing happens needs none; those near its boundaries only save the search."""
    last = max(seen.time for seen in applied)
    return [t for days in (30, 90) for t in (last + days * DAY, last + days * DAY + 1) if begin < t <= end]


def orders_ageing(applied: Sequence[Seen], begin: int, end: int) -> Iterable[int]:
    """The last ms an order is in the list of 365 d, and the first it is not."""
    left = {seen.time + YEAR for seen in applied if seen.revenue is not None}
    return [t for last in left for t in (last, last + 1) if begin < t <= end]


def orders_and_recency_ageing(applied: Sequence[Seen], begin: int, end: int) -> Iterable[int]:
    """With them, only to save the search, the instants around those at which R passes a breakpoint."""
    times = [seen.time for seen in applied if seen.revenue is not None]
    passing = [max(times) + (days + 1) * DAY for days in (30, 90, 180, 270)] if times else []
    near = [t for passed in passing for t in (passed - 1, passed) if begin < t <= end]
    return [*orders_ageing(applied, begin, end), *near]


def days_turning(applied: Sequence[Seen], begin: int, end: int) -> Iterable[int]:
    """The midnights (UTC) at which a day with an event leaves the 30 days."""
    left = {(seen.time // DAY + 30) * DAY for seen in applied}
    return [t for t in left if begin < t <= end]


def activity_by_last_seen(applied: Sequence[Seen], t: int, active: int = 30, dormant: int = 90) -> str:
    """active up to and including 30 d after the last event, dormant up to 90 d, then lost."""
    silent = t - max(seen.time for seen in applied)
    return "active" if silent <= active * DAY else "dormant" if silent <= dormant * DAY else "lost"


def activity(applied: Sequence[Seen], t: int) -> str:
    """As shipped: on the order clock (rho 1.5 and 3) once two orders more than a day apart are in the list."""
    times = _listed_times(applied, t)
    gaps = [later - earlier for earlier, later in pairwise(times) if later - earlier > DAY]
    if not gaps:
        return activity_by_last_seen(applied, t)
    waited, mean = (t - times[-1]) * (len(gaps) + 3), sum(gaps) + 3 * PRIOR_GAP
    return "active" if 2 * waited <= 3 * mean else "dormant" if waited <= 3 * mean else "lost"


def intensity(applied: Sequence[Seen], t: int) -> str:
    """By sessions that began in the last 30 days (UTC): high from 8, mid from 3."""
    times = sorted(seen.time for seen in applied if seen.topic in ("clickstream", "app"))
    starts = times[:1] + [later for earlier, later in pairwise(times) if later - earlier > HALF_HOUR]
    recent = sum(1 for start in starts if start // DAY > t // DAY - 30)
    return "high" if recent >= 8 else "mid" if recent >= 3 else "low"


def rfm_scores(applied: Sequence[Seen], t: int) -> tuple[int, int, int] | None:
    """R, F and M scores by the fixed breakpoints (a value at one is in the lower bin); None without any order."""
    orders = [seen for seen in applied if seen.revenue is not None]
    if not orders:
        return None
    listed = [seen for seen in orders if t - seen.time <= YEAR]
    days = (t - max(seen.time for seen in orders)) // DAY
    monetary = sum(seen.revenue or 0 for seen in listed)
    recency = 5 - sum(days > edge for edge in (30, 90, 180, 270))
    frequency = 1 + sum(len(listed) > edge for edge in (1, 2, 4, 8))
    return recency, frequency, 1 + sum(monetary > edge * 100 for edge in (25, 50, 100, 250))


def scores(applied: Sequence[Seen], t: int) -> str:
    """The three scores as a label: `5-1-2`, or `none`."""
    found = rfm_scores(applied, t)
    return "-".join(map(str, found)) if found else "none"


def value(applied: Sequence[Seen], t: int) -> str:
    """high, mid, low by the mean of F and M before rounding; none without an order."""
    found = rfm_scores(applied, t)
    if found is None:
        return "none"
    both = found[1] + found[2]
    return "high" if both >= 8 else "mid" if both >= 5 else "low"


_GRID: Final = {
    5: ("new", "potential_loyalist", "potential_loyalist", "champion", "champion"),
    4: ("promising", "potential_loyalist", "potential_loyalist", "loyal", "loyal"),
    3: ("about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"),
    2: ("hibernating", "hibernating", "at_risk", "at_risk", "cant_lose"),
    1: ("lost", "hibernating", "at_risk", "at_risk", "cant_lose"),
}


def rfm_segment(applied: Sequence[Seen], t: int) -> str:
    """The name of the cell R by FM, FM = (F + M) / 2 rounded half up; prospect without any order."""
    found = rfm_scores(applied, t)
    return _GRID[found[0]][(found[1] + found[2] + 1) // 2 - 1] if found else "prospect"


def _listed_times(applied: Sequence[Seen], t: int) -> list[int]:
    return sorted(seen.time for seen in applied if seen.revenue is not None and t - seen.time <= YEAR)


LABELS: Final[dict[str, tuple[Label, Moments]]] = {
    "activity_by_last_seen": (activity_by_last_seen, silence_growing),
    "activity": (activity, orders_ageing),
    "rfm_scores": (scores, orders_and_recency_ageing),
    "rfm_segment": (rfm_segment, orders_and_recency_ageing),
    "value": (value, orders_ageing),
    "intensity": (intensity, days_turning),
}


def changes_of(name: str, events: Iterable[TopicEvent], end: int) -> list[Change]:
    """All changes of the label `name` (a key of LABELS) over time-ordered events, up to and including `end`."""
    label, moments = LABELS[name]
    return changes(by_customer(events), label, moments, end)
