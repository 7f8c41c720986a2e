"""What one event changes on a profile, by its name. Returns the change mask that rules are chosen by."""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Final

from processors.calendar import Calendar
from processors.event import NO_ORDER, Event
from processors.measures import M
from processors.orders import complete_order, give_back
from processors.profile import Order, Profile, WaitingRefund
from processors.sessions import visit
from processors.traits import ANSWERS, ATTRIBUTES, LISTS, ORDERS, SEEN
from processors.windows import add, mark_present

MAX_KEYS: Final = 64
"""Category keys a profile keeps; further ones count as `other`."""

COUNTED: Final[dict[str, tuple[int, ...]]] = {
    name: tuple(M[measure] for measure in measures)
    for name, measures in {
        "page_viewed": ("page_views",),
        "product_viewed": ("product_views",),
        "product_searched": ("searches",),
        "product_added": ("cart_adds",),
        "checkout_started": ("checkouts",),
        "app_opened": ("app_opens",),
        "feature_used": ("feature_uses",),
        "scan_paid": ("scan_pays",),
        "liked": ("social_actions",),
        "commented": ("social_actions",),
        "followed": ("social_actions",),
        "mentioned": ("social_actions",),
        "shared": ("social_actions", "shares"),
        "referral_sent": ("social_actions", "referrals_sent"),
        "referral_converted": ("social_actions", "referrals_converted"),
        "survey_answered": ("feedback_answers",),
        "complaint_opened": ("complaints_opened",),
        "complaint_resolved": ("complaints_resolved",),
        "support_contacted": ("support_contacts",),
        "return_requested": ("returns",),
    }.items()
}
"""Event name -> positions of the measures it adds 1 to."""

_SESSION_MASK: Final = sum(
    1 << M[name] for name in ("sessions", "sessions_closed", "session_ms", "session_events", "bounces")
)
_ORDER_MASK: Final = ORDERS | sum(
    1 << M[name] for name in ("orders", "revenue", "discount", "discounted_orders", "profit", "items")
)
_CSAT_MASK: Final = ANSWERS | sum(1 << M[name] for name in ("csat_sum", "csat_answers", "csat_top2"))


def apply(p: Profile, event: Event, calendar: Calendar) -> int:
    """Take an event in; `p` stands at or after the event's time. Returns which traits may have changed."""
    time = event.time
    mask = SEEN
    p.first_seen = min(p.first_seen or time, time)
    p.last_seen = max(p.last_seen, time)
    if mark_present(p, time, calendar):
        mask |= 1
    for measure in COUNTED.get(event.name, ()):
        add(p, measure, 1, time, calendar)
        mask |= 1 << measure
    if event.visit:
        if visit(p, time, calendar):
            mask |= _SESSION_MASK
        if event.detail:
            _count_key(p.categories, event.detail)
    else:
        special = _SPECIAL.get(event.name)
        if special is not None:
            mask |= special(p, event, calendar)
    _add_one(p.channels, event.channel)
    hour = calendar.hour_of_day(time)
    p.hours_of_day[hour] += 1
    return mask | LISTS


def _count_key(counts: dict[str, int], key: str) -> None:
    if key not in counts and len(counts) >= MAX_KEYS:
        key = "other"
    _add_one(counts, key)


def _add_one(counts: dict[str, int], key: str) -> None:
    """A new key is interned: the same few texts in many profiles are one object, which stays near the processor."""
    known = counts.get(key)
    if known is None:
        counts[intern(key)] = 1
    else:
        counts[key] = known + 1


def _order_completed(p: Profile, event: Event, calendar: Calendar) -> int:
    d = event.detail
    complete_order(p, Order(d.digest, event.time, d.revenue, d.discount, d.items, d.cost), calendar)
    for category in d.categories:
        _count_key(p.categories, category)
    return _ORDER_MASK


def _order_refunded(p: Profile, event: Event, calendar: Calendar) -> int:
    d = event.detail
    add(p, M["refunds"], d.revenue, event.time, calendar)
    if d.digest != NO_ORDER:
        give_back(p, WaitingRefund(d.digest, event.time, d.revenue, cancels=False), calendar)
    return _ORDER_MASK | 1 << M["refunds"]


def _order_cancelled(p: Profile, event: Event, calendar: Calendar) -> int:
    if event.detail.digest != NO_ORDER:
        give_back(p, WaitingRefund(event.detail.digest, event.time, 0, cancels=True), calendar)
    return _ORDER_MASK


def _survey_answered(p: Profile, event: Event, calendar: Calendar) -> int:
    survey, score = event.detail
    if score is None:
        return 0
    if survey == "nps":
        p.nps_time, p.nps = max((p.nps_time, p.nps), (event.time, score))
        return ANSWERS
    if survey != "csat":
        return 0
    add(p, M["csat_sum"], score, event.time, calendar)
    add(p, M["csat_answers"], 1, event.time, calendar)
    if score >= 4:
        add(p, M["csat_top2"], 1, event.time, calendar)
    return _CSAT_MASK


def _attributes(p: Profile, event: Event, _calendar: Calendar) -> int:
    for name, value in event.detail.items():
        p.attributes[name] = max(p.attributes.get(name, (0, "")), (event.time, intern(value)))
    return ATTRIBUTES


_SPECIAL: Final[dict[str, Callable[[Profile, Event, Calendar], int]]] = {
    "order_completed": _order_completed,
    "order_refunded": _order_refunded,
    "order_cancelled": _order_cancelled,
    "survey_answered": _survey_answered,
    "identified": _attributes,
    "aliased": _attributes,
    "traits_updated": _attributes,
}
