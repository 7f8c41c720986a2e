"""Sorted and plain sequences of whole numbers, 8 bytes each, side by side (`librt.vecs.vec`).

Compiled, one is read and changed without making an object of it. A `vec` that grows may move: always keep what
`append` and the functions here return. Sums are of 64 bits: a customer would need nine million events of the greatest
amount that is let in to leave them.
"""

from __future__ import annotations

from typing import Final

from librt.vecs import append, vec
from mypy_extensions import i64

_ROOM: Final = 8


def none() -> vec[i64]:
    """No numbers yet."""
    return vec[i64]()


def zeros(length: int) -> vec[i64]:
    """So many zeros."""
    numbers = vec[i64](capacity=length)
    for _ in range(length):
        numbers = append(numbers, 0)
    return numbers


def place(numbers: vec[i64], wanted: i64, first: i64 = 0) -> i64:
    """Where a number stands among sorted ones, or belongs; all before `first` are known to be less."""
    after: i64 = len(numbers)
    while first < after:
        middle = (first + after) >> 1
        if numbers[middle] < wanted:
            first = middle + 1
        else:
            after = middle
    return first


def capacity_of(length: i64) -> i64:
    """How many numbers there is room for where `rest` keeps so many: a sixteenth more, and a few."""
    return length + length // 16 + _ROOM


def rest(numbers: vec[i64], first: i64) -> vec[i64]:
    """Those from a position on, and a little room: to what has none left `append` gives as much again."""
    length: i64 = len(numbers)
    left = vec[i64](capacity=capacity_of(length - first))
    while first < length:
        left = append(left, numbers[first])
        first += 1
    return left


def inserted(numbers: vec[i64], i: i64, number: i64) -> vec[i64]:
    """With one more before position `i`."""
    numbers = append(numbers, number)
    at: i64 = len(numbers) - 1
    while at > i:
        numbers[at] = numbers[at - 1]
        at -= 1
    numbers[i] = number
    return numbers


def least(numbers: vec[i64]) -> i64:
    """The least of some numbers."""
    found = numbers[0]
    for number in numbers:
        found = min(found, number)
    return found
