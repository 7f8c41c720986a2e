"""Why a customer is in a segment or out of it: what holds now, by which condition and values, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from processors.calendar import NEVER, Calendar
from processors.profile import Profile
from processors.rules import RuleSet, Unit


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer of one unit (a group, or a lone segment)."""

    unit: str
    segment: str
    """The segment that holds; for a lone segment that does not, its own id."""
    holds: bool
    names: Mapping[str, str]
    """The segment's name by language."""
    condition: str
    """Its `when` as written; empty for what is left of a group."""
    evidence: dict[str, str]
    """The traits its conditions read, with their values as text."""
    action: str | None
    """What to do about it; null when it does not hold."""
    until: int | None
    """Without events the answer stays at least up to this instant (ms, exclusive); null: for good."""


def explain(p: Profile, rules: RuleSet, calendar: Calendar) -> list[Explanation]:
    """One explanation per unit in the order of the file, of a profile advanced to the instant asked for."""
    return [_explained(p, unit, calendar) for unit in rules.units]


def _explained(p: Profile, unit: Unit, calendar: Calendar) -> Explanation:
    now = unit.evaluate(p, calendar)
    segment = now or unit.id
    until = unit.horizon(p, calendar)
    return Explanation(
        unit=unit.id,
        segment=segment,
        holds=bool(now),
        names=unit.names[segment],
        condition=unit.conditions[segment],
        evidence=unit.evidence(p, segment),
        action=unit.action(segment) if now else None,
        until=until if until < NEVER else None,
    )
