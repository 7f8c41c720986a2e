"""A worker that dies at a step of the journey, and what its readers make of messages that came twice."""

from __future__ import annotations

from schemas.results import SegmentChange
from streams.boundaries import Hook


class KilledError(Exception):
    """What a hook raises where a process would die."""


def killer(stage: str, times: int) -> Hook:
    """A hook that dies the n-th time a stage is through."""
    left = [times]

    def hook(through: str) -> None:
        if through == stage:
            left[0] -= 1
            if not left[0]:
                raise KilledError

    return hook


def distinct(changes: list[SegmentChange]) -> list[SegmentChange]:
    """Readers go by the id: a crash may send a message twice, never with another content."""
    found: dict[str, SegmentChange] = {}
    for change in changes:
        assert found.setdefault(change.change_id, change) == change
    return list(found.values())
