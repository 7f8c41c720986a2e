"""Whether the pipeline's heart beats, and what it weighs: looked at four times a second while events are sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import Final

from schemas.errors import FootfallError

_LOOK_SECONDS: Final = 0.25
_OVER_SECONDS: Final = 3.0
"""A rate counts as reached when it holds for so long."""


@dataclass
class Pulse:
    """Looks at a growing number from a thread of its own. Where `read` fails, a server being away, nothing is seen.

    `weigh` tells the memory (MiB) of processes by name.
    """

    read: Callable[[], int]
    weigh: Callable[[], Mapping[str, float]] = dict
    looks: list[tuple[float, int]] = field(default_factory=list)
    """(when, on the monotonic clock, number) of every look."""
    weights: list[tuple[float, Mapping[str, float]]] = field(default_factory=list)
    """(when, by name) of every look."""
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._look, name="pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def _look(self) -> None:
        self.looks, self.weights, last = [(monotonic(), 0)], [], 0
        while not self._over.wait(_LOOK_SECONDS):
            self.weights.append((monotonic(), self.weigh()))
            with suppress(FootfallError):
                last = self.read()
                self.looks.append((monotonic(), last))
        self.looks.append((monotonic(), last))


def longest_stall(looks: list[tuple[float, int]]) -> float:
    """The longest time (s) in which the number did not grow."""
    highest, beats = -1, []
    for at, number in looks:
        if number > highest:
            beats.append(at)
            highest = number
    beats.append(looks[-1][0])
    return max(after - before for before, after in pairwise(beats))


def back_after(looks: list[tuple[float, int]], instant: float, rate: float) -> float | None:
    """Seconds from an instant until the number grows by `rate` a second again; null when it never does."""
    later = [(at, number) for at, number in looks if at >= instant]
    for began, number in later:
        upto = next(((at, n) for at, n in later if at >= began + _OVER_SECONDS), None)
        if upto is None:
            return None
        if (upto[1] - number) / (upto[0] - began) >= rate:
            return began - instant
    return None


def rate_between(looks: list[tuple[float, int]], first: float, last: float) -> float | None:
    """Growth a second between two instants, from when it began to grow; null where nothing was seen."""
    within = [(at, number) for at, number in looks if first <= at <= last and number]
    if len(within) < 2 or within[-1][0] == within[0][0]:
        return None
    return (within[-1][1] - within[0][1]) / (within[-1][0] - within[0][0])


def grown(weights: Sequence[tuple[float, Mapping[str, float]]], first: float, last: float) -> dict[str, float]:
    """How much each process weighed at most between two instants, above what it weighed at the first."""
    within = [by_name for at, by_name in weights if first <= at <= last]
    at_first = within[0] if within else {}
    return {name: max(by_name[name] for by_name in within) - weight for name, weight in at_first.items()}
