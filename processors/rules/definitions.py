"""What a segments file says, checked: units (groups and lone segments) of segments with conditions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, is_dataclass

from processors.rules.conditions import Condition, Literally, Read


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. `when` null: what is left (the last of a group)."""

    id: str
    names: dict[str, str]
    when: Condition | None
    exit_when: Condition | None = None
    min_dwell: int = 0
    """ms"""
    action: str | None = None
    quiet: bool = False
    """True: being the first label of a newcomer is no news (nothing is known yet); every later move is."""
    text: str = field(default="", compare=False)
    """`when` as written, on one line; how it is written is no part of the version."""


@dataclass(frozen=True, slots=True)
class UnitDefinition:
    """A group, in which exactly one segment holds (the first that matches), or a lone segment."""

    id: str
    names: dict[str, str]
    group: bool
    segments: tuple[Segment, ...]


def version_of(units: tuple[UnitDefinition, ...]) -> str:
    """A short hash of the normalised content: layout, comments and spelling of a condition do not change it."""
    return hashlib.sha256(repr([_plain(unit) for unit in units]).encode()).hexdigest()[:12]


def _plain(value: object) -> object:
    """Nested tuples of names and literals. A trait is its name: its functions have addresses, not content."""
    if isinstance(value, Read):
        return ("trait", value.trait.name)
    if isinstance(value, Literally):
        return ("literal", value.value)
    if isinstance(value, dict):
        return tuple(sorted(value.items()))
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    if is_dataclass(value):
        return (type(value).__name__, *(_plain(getattr(value, part.name)) for part in fields(value) if part.compare))
    return value
