"""The dimensions a customer is classified by: RFM, value and activity (docs/definitions.md).

Each label is total: exactly one holds at every instant. Each comes with the last instant it holds if no event
arrives, which is what the due index wakes by. Boundaries are closed: "<= 30 d" holds up to and including + 30 d.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from processors.calendar import DAY, NEVER
from processors.profile import Profile

RFM_GRID: Final = {
    5: ("new", "potential_loyalist", "potential_loyalist", "champion", "champion"),
    4: ("promising", "potential_loyalist", "potential_loyalist", "loyal", "loyal"),
    3: ("about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"),
    2: ("hibernating", "hibernating", "at_risk", "at_risk", "cant_lose"),
    1: ("lost", "hibernating", "at_risk", "at_risk", "cant_lose"),
}
"""Recency score -> name by FM score 1 to 5. Total: the published tables overlap and leave holes."""

_CLASSES: Final = {
    (True, True, True): "important_value",
    (False, True, True): "important_retain",
    (True, False, True): "important_develop",
    (False, False, True): "important_win_back",
    (True, True, False): "general_value",
    (False, True, False): "general_retain",
    (True, False, False): "general_develop",
    (False, False, False): "general_win_back",
}
"""(R high, F high, M high) -> one of the eight classes; high is a score >= 4."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The configurable boundaries, defaults as published in the domain definitions. Money in minor units."""

    recency_days: tuple[int, ...] = (30, 90, 180, 270)
    frequency: tuple[int, ...] = (1, 2, 4, 8)
    monetary: tuple[int, ...] = (25_00, 50_00, 100_00, 250_00)
    active_days: int = 30
    dormant_days: int = 90
    prior_gap: int = 60 * DAY
    prior_weight: int = 3
    order_clock: bool = True
    """False: activity looks at last seen only, also for customers with two orders."""


def refresh_rfm(p: Profile, limits: Thresholds) -> None:
    """Score recency, frequency and monetary value at `as_of`; all 0 for a customer who never ordered."""
    if not p.first_order:
        p.recency_score = p.frequency_score = p.monetary_score = 0
        p.rfm_until = NEVER
        return
    p.frequency_score = 1 + bisect_left(limits.frequency, p.frequency)
    p.monetary_score = 1 + bisect_left(limits.monetary, p.monetary)
    p.recency_score, p.rfm_until = _recency(p, limits)
    p.rfm_until = min(p.rfm_until, p.orders_due - 1)


def _recency(p: Profile, limits: Thresholds) -> tuple[int, int]:
    """Recency score and the last instant it holds; 1 when no order is left (every one void or older than 365 d)."""
    if not p.last_order:
        return 1, NEVER
    days = (p.as_of - p.last_order) // DAY
    worse = bisect_left(limits.recency_days, days)
    if worse == len(limits.recency_days):
        return 5 - worse, NEVER
    return 5 - worse, p.last_order + (limits.recency_days[worse] + 1) * DAY - 1


def rfm_segment(p: Profile) -> str:
    """The name of the RFM cell; `prospect` for a customer who never ordered."""
    if not p.recency_score:
        return "prospect"
    fm = (p.frequency_score + p.monetary_score + 1) // 2  # round half up
    return RFM_GRID[p.recency_score][fm - 1]


def rfm_class(p: Profile) -> str:
    """One of the eight classes of R, F and M high or low; empty for a customer who never ordered."""
    if not p.recency_score:
        return ""
    return _CLASSES[p.recency_score >= 4, p.frequency_score >= 4, p.monetary_score >= 4]


def value_of(p: Profile) -> str:
    """High for FM >= 4, mid from 2.5, low below, none without an order (FM before rounding)."""
    if not p.recency_score:
        return "none"
    doubled = p.frequency_score + p.monetary_score
    return "high" if doubled >= 8 else "mid" if doubled >= 5 else "low"


def refresh_activity(p: Profile, limits: Thresholds) -> None:
    """Active, dormant or lost at `as_of`: by the order clock from two orders on, else by last seen."""
    if p.gap_count and limits.order_clock:
        weight = p.gap_count + limits.prior_weight
        total = p.gap_sum + limits.prior_weight * limits.prior_gap  # mu = total / weight
        since, active, dormant = p.last_order, 3 * total // (2 * weight), 3 * total // weight
    else:
        since, active, dormant = p.last_seen, limits.active_days * DAY, limits.dormant_days * DAY
    age = p.as_of - since
    if age <= active:
        p.activity, p.activity_until = "active", since + active
    elif age <= dormant:
        p.activity, p.activity_until = "dormant", since + dormant
    else:
        p.activity, p.activity_until = "lost", NEVER
    if limits.order_clock:
        p.activity_until = min(p.activity_until, p.orders_due - 1)
