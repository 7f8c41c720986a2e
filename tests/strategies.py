"""Hypothesis strategies: short histories of one customer over all six topics, in log order, with edges everywhere."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from processors.calendar import DAY, FIVE, HOUR, MINUTE
from processors.event import Event
from schemas.topics import EVENT_NAMES
from tests.builders import START, event, purchase

OFTEN: Final = (
    "page_viewed", "product_viewed", "product_added", "checkout_started", "app_opened", "shared",
    "referral_converted", "survey_answered", "complaint_opened", "complaint_resolved", "support_contacted",
    "order_completed", "order_completed", "order_refunded", "order_cancelled", "traits_updated",
)  # fmt: skip
"""The names that something is decided by."""

names = st.one_of(st.sampled_from(OFTEN), st.sampled_from([name for each in EVENT_NAMES.values() for name in each]))
gaps = st.one_of(
    st.sampled_from([0, 1, FIVE, 30 * MINUTE, 30 * MINUTE + 1, HOUR, DAY, 7 * DAY, 30 * DAY, 30 * DAY + 1, 90 * DAY]),
    st.integers(0, 40 * MINUTE),
    st.integers(0, 30 * HOUR),
    st.integers(0, 100 * DAY),
)
"""ms between one record and the next."""

lateness = st.one_of(st.just(0), st.just(0), st.integers(0, HOUR), st.integers(0, DAY), st.sampled_from([1, FIVE, DAY]))
"""ms by which an event is older than the newest before it: within the order law."""


def happening(name: str, time: int, number: int, amount: int, **fields: Any) -> Event:
    """An event whose own fields follow from a small number, so that shrinking leads to simple ones."""
    made = event(name, time, number, **fields)
    if name.startswith("order_"):
        amounts = {
            "revenue": amount * 900,
            "discount": amount % 2 * 50,
            "items": amount,
            "cost": amount * 700 if amount % 3 else -1,
            "categories": ["books"] * (amount % 3),
        }
        made.detail = purchase(name, time, number, order_id=f"o{amount % 4}", amounts=amounts).detail
    elif name == "survey_answered":
        made.detail = ("nps" if amount % 2 else "csat", amount) if amount else ("ces", None)
    elif name == "traits_updated":
        made.detail = {"city": f"city {amount}"}
    elif made.visit and amount:
        made.detail = f"category {amount}"
    return made


@st.composite
def histories(draw: st.DrawFn, *, most: int = 12, late: bool = True, wall: bool = False) -> list[Event]:
    """Events in log order, some in bursts of four. `late`: up to 24 h behind the newest; `wall`: at their append."""
    bursts = st.sampled_from((1, 1, 1, 4))
    steps = st.tuples(names, gaps, lateness if late else st.just(0), st.integers(0, 6), bursts)
    clock, events = START, list[Event]()
    for name, gap, behind, amount, times in draw(st.lists(steps, min_size=1, max_size=most)):
        clock += gap
        at = {"at": clock} if wall else {}
        events += [happening(name, clock - behind, len(events) + n, amount, **at) for n in range(times)]
    return events


@st.composite
def continued(draw: st.DrawFn, /, **how: Any) -> tuple[list[Event], int]:
    """A history, and an instant at or after all of it."""
    events = draw(histories(**how))
    return events, max(one.at for one in events) + draw(st.one_of(st.integers(0, 130 * DAY), st.integers(0, 500 * DAY)))
