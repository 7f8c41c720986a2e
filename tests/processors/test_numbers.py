"""Sequences of plain numbers: what is kept of one is a sequence of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from librt.vecs import append, vec
from mypy_extensions import i64

from processors.numbers import capacity_of, rest

numbers = st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=40)


@given(numbers, st.data())
def test_the_rest_is_what_follows_and_grows_by_itself(held: list[int], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(held)))
    whole = vec[i64](held)
    left = rest(whole, first)
    assert list(left) == held[first:]
    for added in range(20):  # into the room it has, and beyond
        left = append(left, added)
    assert list(left) == [*held[first:], *range(20)]
    left[0] = 7
    assert list(whole) == held


@given(numbers)
def test_the_rest_has_as_much_room_as_is_said_and_no_more(held: list[int]) -> None:
    grown = rest(vec[i64]([*held, 1]), 0)
    here = grown
    for added in range(len(grown), capacity_of(len(grown))):
        grown = append(grown, added)
    grown[0] = 2
    assert here[0] == 2  # not moved
    grown = append(grown, 0)
    grown[0] = 3
    assert here[0] == 2
