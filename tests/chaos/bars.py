"""What a drill must show beside equal numbers: how long it stood still, when it was back, what it kept in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from tests.chaos.monkey import Drill
from tests.chaos.stack import SINK, WORKERS
from tests.chaos.verdict import Difference

MOST_STALL: Final = 10.0
"""Of a storm, s."""
MOST_BACK: Final = 15.0
"""After a storm, s."""
LEAST_SHARE: Final = 0.9
"""Of the rate while ClickHouse is away, of the one before: the noise of a busy machine."""
MOST_GROWTH: Final = 64.0
"""Of the memory of whoever waits for a server that is away, MiB."""
WAITING: Final[Mapping[Drill, Sequence[str]]] = {"redis": WORKERS, "clickhouse": (SINK,)}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a drill showed. Seconds, events a second, MiB; null where it was not seen."""

    stall: float
    back: float | None
    before: float | None = None
    meanwhile: float | None = None
    grown: Mapping[str, float] = field(default_factory=dict)
    """Role -> its memory's growth while the server was away."""


def missed(drill: Drill, seen: Seen) -> list[Difference]:
    """The bars that were not reached."""
    return list(_missed(drill, seen))


def _missed(drill: Drill, seen: Seen) -> Iterator[Difference]:
    if seen.back is None or (drill == "storm" and seen.back > MOST_BACK):
        yield Difference(drill, "full rate back after, s", seen.back, MOST_BACK)
    if drill == "storm" and seen.stall > MOST_STALL:
        yield Difference(drill, "longest stall, s", seen.stall, MOST_STALL)
    if drill == "clickhouse" and (not seen.before or (seen.meanwhile or 0.0) < LEAST_SHARE * seen.before):
        yield Difference(drill, "events stored per second while it was away", seen.meanwhile, seen.before)
    for role in WAITING.get(drill, ()):
        if not seen.grown.get(role, inf) <= MOST_GROWTH:
            yield Difference(role, "memory grown while it waited, MiB", seen.grown.get(role), MOST_GROWTH)
