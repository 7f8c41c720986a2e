"""What a profile weighs, and that it holds no more room than it is weighed for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.calendar import DAY, MINUTE, Calendar
from processors.numbers import room_of
from processors.profile import WIDTH, Buckets, Profile
from processors.state import decode_state, encode_state
from processors.weight import ATTRIBUTE, BASE, BUCKET, ENTRY, ORDER, memory_of
from processors.windows import add, expire
from tests.builders import event, order, policy, run

T = 20_000 * DAY


def buckets_of(p: Profile) -> list[Buckets]:
    return [p.fives, p.hours, p.days]


@given(st.lists(st.tuples(st.integers(1, WIDTH - 1), st.integers(-3, 400), st.integers(0, 5)), max_size=60))
def test_buckets_have_room_for_what_they_hold_and_little_more(steps: list[tuple[int, int, int]]) -> None:
    profile, calendar, now = Profile("c"), Calendar(), T
    expire(profile, now, calendar)
    for measure, minutes, days in steps:
        now += days * DAY
        expire(profile, now, calendar)
        add(profile, measure, 7, now - minutes * MINUTE, calendar)
        for held in buckets_of(profile):
            assert len(held.keys) == len(held.values) <= held.room <= room_of(len(held.keys))


def test_everything_a_profile_holds_weighs() -> None:
    profile = Profile("c")
    assert memory_of(profile) == BASE
    profile.categories, profile.attributes = {"shoes": 1, "hats": 2}, {"city": (1, "Lyon")}
    assert memory_of(profile) == BASE + 2 * ENTRY + ATTRIBUTE
    bought = run([order()]).profile
    assert memory_of(bought) > BASE + ORDER + BUCKET * sum(len(held.keys) for held in buckets_of(bought))


def test_a_profile_weighs_about_the_same_when_it_was_stored_and_loaded() -> None:
    profile = run([event(detail=f"category-{n}", time=T + n * 7 * MINUTE) for n in range(300)]).profile
    state = encode_state(profile)
    loaded = decode_state("c", 1, state, policy().calendar, policy().limits)
    assert encode_state(loaded) == state
    assert abs(memory_of(loaded) / memory_of(profile) - 1) < 0.05
