"""Much in parts: what is sent, or held in memory, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import TypeVar

_T = TypeVar("_T")


def windows(items: Iterable[_T], size_of: Callable[[_T], int], size: float, count: float = inf) -> Iterator[list[_T]]:
    """Items in their order, in lists that end with the item by which they reach `size` together, or are `count`."""
    window: list[_T] = []
    reached = 0
    for item in items:
        window.append(item)
        reached += size_of(item)
        if reached >= size or len(window) >= count:
            yield window
            window, reached = [], 0
    if window:
        yield window
