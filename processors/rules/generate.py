"""Source of a unit's two functions, `evaluate` and `horizon`.

The horizon follows the truth of the condition: `a and b` that holds ends when the first of them turns, one that does
not hold cannot begin before every false part has turned (so a customer is not woken for an empty cart).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from processors.calendar import NEVER, Calendar
from processors.profile import Profile
from processors.rules.conditions import (
    Arithmetic,
    Comparison,
    Condition,
    Junction,
    Literally,
    Membership,
    Negation,
    Read,
    Term,
    thresholds_of,
    traits_of,
)
from processors.rules.definitions import Segment, UnitDefinition
from processors.traits import Trait


def generate(
    unit: UnitDefinition,
) -> tuple[Callable[[Profile, Calendar], str], Callable[[Profile, Calendar], int]]:
    """(evaluate, horizon) of a unit, its `min_dwell` left aside."""
    writer = _Writer(unit)
    source = "\n".join([*writer.evaluate(), *writer.horizon()])
    space: dict[str, Any] = dict(writer.bound)
    # The text is written here from checked nodes: names of known traits, finite numbers, repr of texts.
    exec(compile(source, f"<rules of {unit.id}>", "exec"), space)  # noqa: S102
    return space["evaluate"], space["horizon"]


class _Writer:
    """Writes the two functions and gathers the objects they are bound to."""

    def __init__(self, unit: UnitDefinition) -> None:
        self.unit = unit
        self.bound: dict[str, object] = {}
        self.local: set[str] = set()
        """Traits the function being written already holds in a variable."""

    def evaluate(self) -> list[str]:
        self.local = set()
        lines = ["def evaluate(p, calendar):", *self._staying(lambda _exit: [])]
        reads = Counter(trait.name for segment in self.unit.segments for trait in _read_by(segment))
        for segment in self.unit.segments:
            lines += self._hoist([trait for trait in _read_by(segment) if reads[trait.name] > 1])
            lines.append(f"    {self._guard(segment)}return {segment.id!r}")
        return lines if self.unit.segments[-1].when is None else [*lines, "    return ''"]

    def horizon(self) -> list[str]:
        self.local = set()
        staying = self._staying(self._until_exit)
        lines = ["def horizon(p, calendar):", f"    left = {NEVER}", *staying]
        before = ["left"] if staying else []
        for segment in self.unit.segments:
            lines += self._hoist(_read_by(segment))
            holding = self._turns(segment.when, holds=True) if segment.when else []
            lines.append(f"    {self._guard(segment)}return {_least([*before, *holding])}")
            before += self._turns(segment.when, holds=False) if segment.when else []
        return lines if self.unit.segments[-1].when is None else [*lines, f"    return {_least(before)}"]

    def _staying(self, instead: Callable[[Condition], list[str]]) -> list[str]:
        """The current segment stays until its `exit_when` holds; then the first match counts again."""
        exits = [(segment.id, segment.exit_when) for segment in self.unit.segments if segment.exit_when]
        lines = [f"    now = p.labels.get({self.unit.id!r})"] if exits else []
        for name, leaves in exits:
            stays = instead(leaves) or [f"        if not ({self._truth(leaves)}): return now"]
            lines += [f"    if now == {name!r}:", *stays]
        return lines

    def _until_exit(self, leaves: Condition) -> list[str]:
        return [
            f"        if not ({self._truth(leaves)}): return {_least(self._turns(leaves, holds=False))}",
            f"        left = {_least(self._turns(leaves, holds=True))}",
        ]

    def _guard(self, segment: Segment) -> str:
        return f"if {self._truth(segment.when)}: " if segment.when else ""

    def _hoist(self, traits: list[Trait]) -> list[str]:
        """Variables for traits that are read more than once."""
        fresh = {trait.name: trait for trait in traits if trait.name not in self.local}
        lines = [f"    t_{name} = {self._term(Read(trait))}" for name, trait in fresh.items()]
        self.local |= fresh.keys()
        return lines

    def _truth(self, condition: Condition) -> str:
        match condition:
            case Comparison(left, operator, right):
                return f"{self._term(left)} {operator} {self._term(right)}"
            case Membership(term, values):
                return f"{self._term(term)} in {values!r}"
            case Negation(item):
                return f"not ({self._truth(item)})"
            case Junction(every, items):
                return (" and " if every else " or ").join(f"({self._truth(item)})" for item in items)

    def _term(self, term: Term) -> str:
        match term:
            case Literally(value):
                return f"({value!r})"
            case Arithmetic(operator, left, right):
                return f"({self._term(left)} {operator} {self._term(right)})"
            case Read(trait):
                if trait.name in self.local:
                    return f"t_{trait.name}"
                return trait.source or f"{self._bind(f'read_{trait.name}', trait.read)}(p)"

    def _turns(self, condition: Condition, *, holds: bool) -> list[str]:
        """Instants, as source, before the least of which the truth of the condition (now `holds`) cannot turn."""
        match condition:
            case Negation(item):
                return self._turns(item, holds=not holds)
            case Junction(every, items) if every == holds:
                return [instant for item in items for instant in self._turns(item, holds=holds)]
            case Junction(_, items):
                return [self._last(items, holds=holds)]
            case _:
                found = [(trait, ks) for trait, ks in thresholds_of(condition) if trait.moves and ks != ()]
                return [self._horizon_call(trait, thresholds) for trait, thresholds in found]

    def _last(self, items: tuple[Condition, ...], *, holds: bool) -> str:
        """All parts that are as the whole is must turn before the whole can."""
        turns = [_least(self._turns(item, holds=holds)) for item in items]
        if len(set(turns)) == 1:
            return turns[0]
        parts = [
            f"{turn} if {'' if holds else 'not '}({self._truth(item)}) else 0"
            for item, turn in zip(items, turns, strict=True)
        ]
        return f"max({', '.join(parts)})"

    def _horizon_call(self, trait: Trait, thresholds: tuple[int, ...] | None) -> str:
        return f"{self._bind(f'horizon_{trait.name}', trait.horizon)}(p, calendar, {thresholds!r})"

    def _bind(self, name: str, value: object) -> str:
        self.bound[name] = value
        return name


def _read_by(segment: Segment) -> list[Trait]:
    return list(traits_of(segment.when)) if segment.when else []


def _least(instants: list[str]) -> str:
    """Source of the least of some instants, each written once."""
    distinct = [instant for instant in dict.fromkeys(instants) if instant != str(NEVER)]
    if not distinct:
        return str(NEVER)
    return distinct[0] if len(distinct) == 1 else f"min({', '.join(distinct)})"
