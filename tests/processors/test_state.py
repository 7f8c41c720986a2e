"""The stored form gives back an equal profile, whatever happened to the customer."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from processors.event import Event
from processors.fold import Outcome, advance, fold
from processors.profile import Order, Profile, Score
from processors.state import CODEC_VERSION, decode_state, encode_state
from schemas.errors import CodecVersionError
from tests.builders import START, event, made, order, policy, profile, run, shipped_rules
from tests.strategies import continued

UNDER = policy(rules=shipped_rules())
NOT_STORED = {"version", "bucket", "turns"}
"""What the store knows itself, and what is worked out when the profile is next folded."""


def loaded(p: Profile) -> Profile:
    return decode_state(p.customer, p.version, encode_state(p), UNDER.calendar, UNDER.limits)


def contents(p: Profile) -> dict[str, Any]:
    return {part.name: getattr(p, part.name) for part in fields(p) if part.name not in NOT_STORED}


@settings(max_examples=150, deadline=None)
@given(continued(most=20))
def test_a_loaded_profile_equals_the_stored_one_in_every_field(history: tuple[list[Event], int]) -> None:
    p = run(history[0], UNDER, history[1]).profile
    p.score = Score(0.25, 3, [("rho", 0.5)], p.as_of)
    expected, found = contents(p), contents(loaded(p))
    assert found["order_of"] == {order.digest: order for order in found["orders"]}
    for name in ("orders", "order_of", "waiting", "left_order"):  # what may be forgotten is forgotten on loading
        expected.pop(name), found.pop(name)
    assert found == expected
    assert encode_state(loaded(loaded(p))) == encode_state(loaded(p))


@pytest.mark.parametrize("after", [0, 1, 86_400_000])
def test_loading_never_moves_time(after: int) -> None:
    p = profile(event(), order(START + 1, 1), under=UNDER)
    advance(p, START + 1 + after, UNDER, Outcome())
    assert loaded(p).as_of == p.as_of
    assert loaded(p).due == p.due


def test_a_state_of_another_version_is_refused_by_name() -> None:
    newer = msgspec.msgpack.encode([CODEC_VERSION + 1])
    with pytest.raises(CodecVersionError, match=r"'c' is stored in codec version \d+, this program reads"):
        decode_state("c", 1, newer, UNDER.calendar, UNDER.limits)


@settings(max_examples=100, deadline=None)
@given(continued(most=20))
def test_states_made_on_the_way_leave_no_trace(history: tuple[list[Event], int]) -> None:
    often, once = Profile("c"), Profile("c")
    for one in history[0]:
        for p in (often, once):
            fold(p, one, UNDER, Outcome())
        encode_state(often)
    assert encode_state(often) == encode_state(once)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 65_535, 65_536])
def test_any_number_of_orders_is_stored(count: int) -> None:
    p = made("c", first_order=START, as_of=START)
    p.orders = [Order(number, START, 100, 0, 1, -1) for number in range(count)]
    assert [o.digest for o in loaded(p).orders] == list(range(count))
