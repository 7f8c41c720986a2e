"""The order list, its edges, and that what is forgotten does not depend on when a profile was loaded."""

from __future__ import annotations

import pytest

from processors.calendar import DAY, HOUR
from processors.event import NO_ORDER, events_of
from processors.fold import Outcome, advance, fold
from processors.measures import M
from processors.profile import ROW_LIFE, Profile
from processors.state import decode_state, encode_state
from schemas.topics import PURCHASE
from tests.builders import START, batch_of, event, order, policy, profile, refund, run, shipped_rules

YEAR = 365 * DAY


def lifetime(p: Profile, measure: str) -> int:
    return p.totals[ROW_LIFE + M[measure]]


def test_a_repeated_order_is_one_order() -> None:
    p = profile(order(order_id="a"), order(START + DAY, 1, "a"))
    assert (p.frequency, p.monetary, lifetime(p, "orders")) == (1, 1_000, 1)


@pytest.mark.parametrize("rules", [False, True])
def test_repeated_after_more_than_a_year_it_is_a_new_one(*, rules: bool) -> None:
    """Also where rules woke the profile when the first left the list: it was kept beside the list for ever."""
    under = policy(rules=shipped_rules()) if rules else policy()
    p = profile(order(order_id="a"), order(START + YEAR + 2 * DAY, 1, "a"), under=under)
    assert (p.frequency, p.last_order, lifetime(p, "orders")) == (1, START + YEAR + 2 * DAY, 2)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_refund_that_is_weeks_late_misses_its_order_loaded_or_not(*, loaded: bool) -> None:
    under, out = policy(rules=shipped_rules()), Outcome()
    p = profile(order(order_id="a"), under=under)
    advance(p, START + YEAR + 40 * DAY, under, out)
    if loaded:
        p = decode_state("c", 1, encode_state(p), under.calendar, under.limits)
    fold(p, refund(START + YEAR - DAY, "a", 400, 1), under, out)
    assert (lifetime(p, "revenue"), lifetime(p, "refunds")) == (1_000, 400)


def test_a_refund_meets_its_order_in_whichever_order_they_come() -> None:
    for events in ([order(order_id="a"), refund(START + HOUR, "a", 300)],
                   [refund(START + HOUR, "a", 300), order(order_id="a")]):  # fmt: skip
        p = profile(*events)
        assert (p.monetary, lifetime(p, "refunds")) == (700, 300)


def test_an_order_leaves_the_list_a_millisecond_after_a_year() -> None:
    p = run([order()], until=START + YEAR).profile
    assert p.frequency == 1
    advance(p, START + YEAR + 1, policy(), Outcome())
    assert (p.frequency, p.last_order) == (0, START)


def test_a_refund_may_name_no_order() -> None:
    """The contract allows it: it counts as `refunds` and meets nothing, not even another without a name."""
    common = {"event_id": "x", "customer_id": "c", "event_time": START, "received_time": START, "channel": "web"}
    nameless = common | {"order_id": None, "revenue": 250, "discount": 0, "cost": None, "items": []}
    rows = [nameless | {"name": name} for name in ("order_refunded", "order_cancelled")]
    made = events_of(batch_of(PURCHASE, [(n, PURCHASE, row) for n, row in enumerate(rows)]), "t:0", wall_clock=False)
    assert [one.detail.digest for one in made] == [NO_ORDER, NO_ORDER]
    p = profile(order(order_id="a"), *made)
    assert (p.frequency, p.monetary, lifetime(p, "refunds"), p.waiting) == (1, 1_000, 250, [])


def test_sessions_older_than_a_day_are_not_reopened() -> None:
    """Whoever had not pruned them merged what another owner kept apart."""
    p, under = profile(event()), policy()
    for later in (31 * 60_000, 40 * DAY):
        advance(p, START + later, under, Outcome())
    fold(p, event(time=START + 60_000, number=1), under, Outcome())
    assert lifetime(p, "sessions") == 2
