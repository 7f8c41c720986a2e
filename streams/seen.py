"""Interim."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Seen:
    ids: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
