"""The order list: one order per order_id, refunds that meet their order in whichever order they arrive.

Rules in docs/definitions.md "Orders". Every change goes to the buckets of the order's own time.
"""

from __future__ import annotations

from bisect import insort
from itertools import pairwise
from typing import Final

from processors.calendar import DAY, NEVER, Calendar
from processors.measures import M
from processors.profile import Order, Profile, WaitingRefund
from processors.windows import add

YEAR: Final = 365 * DAY
LATENESS: Final = DAY
"""Records at most this late in event time still meet what they belong to."""

_ORDERS, _REVENUE, _DISCOUNT = M["orders"], M["revenue"], M["discount"]
_DISCOUNTED, _PROFIT, _ITEMS = M["discounted_orders"], M["profit"], M["items"]


def complete_order(p: Profile, order: Order, calendar: Calendar) -> None:
    """Take in an `order_completed`. Of several with one id the least one (time, then amounts) is the order."""
    _forget(p)
    known = p.order_of.get(order.digest)
    if known is None:
        _meet_waiting(p, order)
    elif _rank(order) < _rank(known):
        order.refunded, order.refunds, order.cancelled = known.refunded, known.refunds, known.cancelled
        _meet_waiting(p, order)
        p.orders.remove(known)
        _contribute(p, known, -1, calendar)
    else:
        return
    _contribute(p, order, 1, calendar)
    p.order_of[order.digest] = order
    p.first_order = min(p.first_order or order.time, order.time)
    if known is None and _is_next(p, order):
        _append(p, order)
        return
    insort(p.orders, order, key=lambda o: o.time)
    p.packed = 0
    refresh_orders(p)


def _is_next(p: Profile, order: Order) -> bool:
    """Whether an order only adds to the facts of the list: the newest, after one that stands, and none leaves."""
    if not p.frequency or order.void or p.as_of >= p.orders_due:
        return False
    last = p.orders[-1]
    return last.time == p.last_order <= order.time and not last.void and order.time >= p.as_of - YEAR


def _append(p: Profile, order: Order) -> None:
    """What `refresh_orders` would find, without reading a list that may hold hundreds."""
    gap = order.time - p.last_order
    if gap > DAY:
        p.gap_count += 1
        p.gap_sum += gap
    p.orders.append(order)
    p.frequency += 1
    p.monetary += _net(order)
    p.last_order = order.time


def give_back(p: Profile, refund: WaitingRefund, calendar: Calendar) -> None:
    """Take in a refund or cancellation; without its order it waits."""
    _forget(p)
    order = p.order_of.get(refund.digest)
    if order is None or not _meets(order, refund):  # an earlier record of the same order may yet meet it
        p.waiting.append(refund)
        return
    _contribute(p, order, -1, calendar)
    _apply(order, refund)
    p.packed = 0
    _contribute(p, order, 1, calendar)
    refresh_orders(p)


def refresh_orders(p: Profile) -> None:
    """Compute the facts of the list at `as_of` (frequency, monetary value, last order, gaps) and forget the old."""
    _forget(p)
    since = p.as_of - YEAR
    listed = [o for o in p.orders if o.time >= since and not o.void]
    p.frequency = len(listed)
    p.monetary = sum(_net(o) for o in listed)
    p.orders_due = listed[0].time + YEAR + 1 if listed else NEVER
    p.last_order = listed[-1].time if listed else _last_left(p, since)
    gaps = [b.time - a.time for a, b in pairwise(listed) if b.time - a.time > DAY]
    p.gap_count, p.gap_sum = len(gaps), sum(gaps)


def _forget(p: Profile) -> None:
    """Drop what is kept no longer. Before every look-up: an answer must not depend on when a profile was loaded."""
    while p.orders and p.orders[0].time < p.as_of - YEAR - LATENESS:
        order = p.orders.pop(0)
        p.packed = 0
        del p.order_of[order.digest]
        if not order.void:
            p.left_order = max(p.left_order, order.time)
    if p.waiting:
        # A refund waits 24 h for its order, and that order may come 24 h late.
        p.waiting = [w for w in p.waiting if w.time >= p.as_of - DAY - LATENESS]


def _last_left(p: Profile, since: int) -> int:
    return max((o.time for o in p.orders if o.time < since and not o.void), default=p.left_order)


def _rank(order: Order) -> tuple[int, int, int, int, int]:
    return order.time, order.revenue, order.discount, order.items, order.cost


def _meets(order: Order, refund: WaitingRefund) -> bool:
    return order.time - DAY <= refund.time <= order.time + YEAR


def _meet_waiting(p: Profile, order: Order) -> None:
    met = [w for w in p.waiting if w.digest == order.digest and _meets(order, w)]
    for refund in met:
        _apply(order, refund)
        p.waiting.remove(refund)


def _apply(order: Order, refund: WaitingRefund) -> None:
    if refund.cancels:
        order.cancelled = True
    else:
        order.refunded += refund.amount
        order.refunds += 1


def _net(order: Order) -> int:
    return 0 if order.void else max(0, order.revenue - order.refunded)


def _contribute(p: Profile, order: Order, sign: int, calendar: Calendar) -> None:
    """Add (or take away) all an order counts for, at its own time."""
    net, standing = _net(order), not order.void
    parts = (
        (_ORDERS, int(standing)),
        (_REVENUE, net),
        (_DISCOUNT, order.discount),
        (_DISCOUNTED, int(standing and order.discount > 0)),
        (_ITEMS, order.items),
        (_PROFIT, net - order.cost if order.cost >= 0 else 0),
    )
    for measure, value in parts:
        if value:
            add(p, measure, sign * value, order.time, calendar)
