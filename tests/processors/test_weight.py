"""What a profile weighs, and that its buckets have the room they are weighed for and no more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.calendar import DAY, MINUTE, Calendar
from processors.numbers import capacity_of
from processors.profile import WIDTH, Buckets, Profile, Session, WaitingRefund
from processors.state import decode_state, encode_state
from processors.weight import ATTRIBUTE, BASE, BUCKET, ENTRY, ORDER, SESSION, TEXTS, memory_of
from processors.windows import add, expire, mark_present
from tests.builders import START, event, order, policy, run

steps = st.tuples(st.integers(0, WIDTH - 1), st.integers(-3, 400), st.integers(0, 5))


def buckets_of(p: Profile) -> list[Buckets]:
    return [p.fives, p.hours, p.days]


@given(st.lists(steps, max_size=60))
def test_buckets_have_room_for_what_they_hold_and_little_more(steps: list[tuple[int, int, int]]) -> None:
    profile, calendar, now = Profile("c"), Calendar(), START
    expire(profile, now, calendar)
    for measure, minutes, days in steps:
        now += days * DAY
        expire(profile, now, calendar)
        if measure:
            add(profile, measure, 7, now - minutes * MINUTE, calendar)
        else:
            mark_present(profile, now - minutes * MINUTE, calendar)
        for held in buckets_of(profile):
            assert len(held.keys) == len(held.values) <= held.capacity <= capacity_of(len(held.keys))


def test_everything_a_profile_holds_weighs() -> None:
    profile = Profile("c")
    assert memory_of(profile, 0) == BASE
    profile.categories, profile.channels = {"shoes": 1, "hats": 2}, {"web": 3}
    profile.labels, profile.entered = {"loyalty": "fan"}, {"loyalty": 4}
    assert memory_of(profile, 0) == (entries := BASE + 5 * ENTRY)
    profile.attributes = {"city": (1, "Lyon")}
    profile.sessions = [Session(1, 2, 3)]
    profile.waiting = [WaitingRefund(1, 2, 3, cancels=False)]
    assert memory_of(profile, 0) == entries + ATTRIBUTE + SESSION + ORDER


def test_buckets_orders_and_what_is_packed_of_them_weigh() -> None:
    bought = run([order(START + n * DAY, n) for n in range(3)]).profile
    empty = run([order(START + n * DAY, n) for n in range(3)]).profile
    empty.orders, empty.fives, empty.hours, empty.days = [], Buckets(), Buckets(), Buckets()
    unpacked = memory_of(bought, 0)
    assert unpacked == memory_of(empty, 0) + 3 * ORDER + BUCKET * sum(held.capacity for held in buckets_of(bought))
    encode_state(bought)
    packed = [held.packed_keys + held.packed_values for held in buckets_of(bought)]
    assert memory_of(bought, 0) == unpacked + len(b"".join(packed)) + len(bought.packed_orders)
    assert packed[2]
    assert bought.packed_orders


def test_long_texts_weigh_by_the_state_that_holds_them() -> None:
    profile = Profile("c")
    profile.categories = {"x" * 100_000: 1}
    assert memory_of(profile, len(encode_state(profile))) > TEXTS * 100_000


def test_a_profile_weighs_about_the_same_when_it_was_stored_and_loaded() -> None:
    profile = run([event(detail=f"category-{n}", time=START + n * 7 * MINUTE) for n in range(300)]).profile
    state = encode_state(profile)
    loaded = decode_state("c", 1, state, policy().calendar, policy().limits)
    assert encode_state(loaded) == state
    assert abs(memory_of(loaded, 0) / memory_of(profile, 0) - 1) < 0.05
