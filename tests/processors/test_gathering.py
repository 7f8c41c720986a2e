"""A batch of events taken together."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from processors.event import Event
from processors.gathering import at_hand, buckets_of_events, by_customer, counted, in_one_order
from processors.profile import Profile
from tests.builders import event

INSTANTS = st.lists(st.integers(0, 6), max_size=8)


def part(topic: int, instants: list[int]) -> list[Event]:
    """Events of one topic, in log order."""
    return [event(time=instant, number=place, origin=f"{topic}:0") for place, instant in enumerate(instants)]


@given(st.lists(INSTANTS, min_size=1, max_size=4))
def test_topics_are_put_in_the_order_of_the_latest_instant_reached(instants: list[list[int]]) -> None:
    parts = [part(topic, times) for topic, times in enumerate(instants)]
    keyed = [
        (reached, topic, place)
        for topic, times in enumerate(instants)
        for place, reached in enumerate(accumulate(times, max))
    ]
    ordered = [(int(one.origin[0]), one.offset) for one in in_one_order(parts)]
    assert ordered == [(topic, place) for _, topic, place in sorted(keyed)]


def test_events_of_a_customer_keep_their_order() -> None:
    events = [event(number=n, customer_id=customer) for n, customer in enumerate("abacb")]
    profiles = {customer: Profile(customer) for customer in "abc"}
    found = [(profile.customer, [one.offset for one in theirs]) for profile, theirs in by_customer(events, profiles)]
    assert found == [("a", [0, 2]), ("b", [1, 4]), ("c", [3])]


def test_profiles_are_taken_in_hand_and_those_that_are_not_there_are_named_once() -> None:
    kept = {customer: Profile(customer) for customer in "abc"}
    for profile in kept.values():
        profile.in_use = False
    parts = [[event(customer_id=customer) for customer in some] for some in ("xa", "ayx")]
    found, missing = at_hand(parts, kept)
    assert found == {"a": kept["a"]}
    assert missing == ["x", "y"]
    assert [kept[customer].in_use for customer in "abc"] == [True, False, False]


def test_events_are_counted_by_origin_and_bucket() -> None:
    events = [event(customer_id=customer, origin=origin) for customer, origin in ("ax", "by", "ax", "cx")]
    profiles = {customer: Profile(customer) for customer in "abc"}
    profiles["b"].bucket = 7
    buckets = buckets_of_events(events, profiles)
    assert buckets == [0, 7, 0, 0]
    assert counted(events, buckets) == {"x": {0: 3}, "y": {7: 1}}
