"""Units of rules compiled to Python functions: which segment holds, and until when at least.

A rule runs for every event, so each unit becomes one generated function: an interpreter of the tree costs ten times
as much. The source is made only of checked nodes, numbers, quoted texts and bound functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from processors.calendar import Calendar
from processors.profile import Profile
from processors.rules.conditions import Condition, traits_of
from processors.rules.definitions import Segment, UnitDefinition, version_of
from processors.rules.generate import generate
from processors.traits import Trait, Value

Evaluate = Callable[[Profile, Calendar], str]
Until = Callable[[Profile, Calendar], int]

_MEMO_LIMIT: Final = 4_096
"""Masks remembered: expiring windows can join many measures in one mask."""


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A group or a lone segment, ready to run."""

    id: str
    position: int
    """Among the units of its rule set."""
    group: bool
    mask: int
    """Union of the change masks of the traits read: a change outside it cannot alter the outcome."""
    model: bool
    """True when a model drives a trait it reads."""
    min_dwell: int
    """The longest `min_dwell` of its segments, ms; when not 0, `Profile.entered` must hold since when."""
    quiet: frozenset[str]
    """Segments that are no news as the first label of a newcomer."""
    evaluate: Evaluate
    """(profile, calendar) -> id of the segment that holds at `as_of`; "" when a lone one does not."""
    horizon: Until
    """(profile, calendar) -> an instant > `as_of` before which `evaluate` cannot change by time alone."""
    title: Mapping[str, str]
    """Name of the unit, by language."""
    names: Mapping[str, Mapping[str, str]]
    """Segment id -> language -> name, in order of precedence."""
    conditions: Mapping[str, str]
    """Segment id -> its `when` as written; "" for what is left of a group."""
    actions: Mapping[str, str | None]
    reads: Mapping[str, tuple[Trait, ...]]
    """Segment id -> traits its conditions read; for what is left of a group: those of all the others."""

    def evidence(self, p: Profile, segment: str) -> dict[str, str]:
        """The traits the segment's condition read, with their values as text ("" or an unknown one: of all)."""
        traits = self.reads.get(segment) or self.reads[""]
        return {trait.name: _as_text(trait.read(p)) for trait in traits}

    def action(self, segment: str) -> str | None:
        """The suggested action of a segment; null for none and for an unknown one."""
        return self.actions.get(segment)


@dataclass(frozen=True, slots=True, eq=False)
class RuleSet:
    """All units of one segments file. Its version names the content, so equal rules have equal versions."""

    version: str
    units: tuple[Unit, ...]
    _memo: dict[int, tuple[Unit, ...]] = field(default_factory=dict, repr=False)

    def affected(self, mask: int) -> tuple[Unit, ...]:
        """The units that a change with this mask can alter, in order. Remembered: it is asked for every event."""
        found = self._memo.get(mask)
        if found is None:
            if len(self._memo) >= _MEMO_LIMIT:
                self._memo.clear()
            found = self._memo[mask] = tuple(unit for unit in self.units if unit.mask & mask)
        return found


def compile_rules(definitions: tuple[UnitDefinition, ...]) -> RuleSet:
    """Checked definitions, compiled."""
    return RuleSet(
        version_of(definitions), tuple(_unit(definition, position) for position, definition in enumerate(definitions))
    )


def _unit(definition: UnitDefinition, position: int) -> Unit:
    evaluate, horizon = generate(definition)
    dwell = {segment.id: segment.min_dwell for segment in definition.segments if segment.min_dwell}
    if dwell:
        dwelling = _Dwelling(definition.id, dwell, evaluate, horizon)
        evaluate, horizon = dwelling.evaluate, dwelling.horizon
    everything = _distinct([c for segment in definition.segments for c in _conditions(segment)])
    own = {segment.id: _distinct(_conditions(segment)) or everything for segment in definition.segments}
    return Unit(
        id=definition.id,
        position=position,
        group=definition.group,
        mask=_union(everything),
        model=any(trait.model for trait in everything),
        min_dwell=max(dwell.values(), default=0),
        quiet=frozenset(segment.id for segment in definition.segments if segment.quiet),
        evaluate=evaluate,
        horizon=horizon,
        title=definition.names,
        names={segment.id: segment.names for segment in definition.segments},
        conditions={segment.id: segment.text for segment in definition.segments},
        actions={segment.id: segment.action for segment in definition.segments},
        reads={**own, "": everything},
    )


def _conditions(segment: Segment) -> list[Condition]:
    return [condition for condition in (segment.when, segment.exit_when) if condition is not None]


def _distinct(conditions: list[Condition]) -> tuple[Trait, ...]:
    found = {trait.name: trait for condition in conditions for trait in traits_of(condition)}
    return tuple(found.values())


def _union(traits: tuple[Trait, ...]) -> int:
    mask = 0
    for trait in traits:
        mask |= trait.mask
    return mask


def _as_text(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class _Dwelling:
    """A unit with `min_dwell`: a segment entered stays for that long, whatever its conditions say."""

    unit: str
    dwell: dict[str, int]
    decide: Evaluate
    until: Until

    def evaluate(self, p: Profile, calendar: Calendar) -> str:
        now = p.labels.get(self.unit, "")
        return now if p.as_of < self._end(p, now) else self.decide(p, calendar)

    def horizon(self, p: Profile, calendar: Calendar) -> int:
        """Nothing moves before the dwell ends; then what the conditions say by that time."""
        now = p.labels.get(self.unit, "")
        end = self._end(p, now)
        if p.as_of >= end:
            return self.until(p, calendar)
        return max(end, self.until(p, calendar)) if self.decide(p, calendar) == now else end

    def _end(self, p: Profile, now: str) -> int:
        return p.entered.get(self.unit, 0) + self.dwell[now] if now in self.dwell else 0
