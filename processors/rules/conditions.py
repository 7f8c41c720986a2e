"""A condition after parsing and type checking: a small tree of comparisons over traits and literals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from processors.traits import Trait

Operator = Literal["==", "!=", "<", "<=", ">", ">="]
MIRRORED: dict[Operator, Operator] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Literally:
    """A number or a text."""

    value: int | float | str


@dataclass(frozen=True, slots=True)
class Read:
    """The value of a trait."""

    trait: Trait


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left operator right`, both numbers."""

    operator: Literal["+", "-", "*", "/"]
    left: Term
    right: Term


Term = Literally | Read | Arithmetic


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`: two numbers or two texts."""

    left: Term
    operator: Operator
    right: Term


@dataclass(frozen=True, slots=True)
class Membership:
    """`term in values`."""

    term: Term
    values: tuple[int | float | str, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """`not item`."""

    item: Condition


@dataclass(frozen=True, slots=True)
class Junction:
    """Items joined by `and` (all) or by `or`."""

    all: bool
    items: tuple[Condition, ...]


Condition = Comparison | Membership | Negation | Junction


def traits_of(node: Condition | Term) -> Iterator[Trait]:
    """Every trait read, in reading order, with repetitions."""
    match node:
        case Read(trait):
            yield trait
        case Arithmetic(_, left, right) | Comparison(left, _, right):
            yield from traits_of(left)
            yield from traits_of(right)
        case Membership(item) | Negation(item):
            yield from traits_of(item)
        case Junction(_, items):
            for item in items:
                yield from traits_of(item)


def thresholds_of(comparison: Comparison | Membership) -> list[tuple[Trait, tuple[int, ...] | None]]:
    """The traits compared, each with its thresholds: k stands for `value >= k`; null: any change of it counts.

    Only a whole-number trait compared with a literal has thresholds; inside arithmetic, against another trait, or as
    a float or text, any change may turn the comparison.
    """
    if isinstance(comparison, Membership):
        sides: list[tuple[Term, Operator, tuple[int | float | str, ...]]] = [(comparison.term, "==", comparison.values)]
    else:
        left, right, operator = comparison.left, comparison.right, comparison.operator
        sides = [(left, operator, _literal(right)), (right, MIRRORED[operator], _literal(left))]
    found: list[tuple[Trait, tuple[int, ...] | None]] = []
    for term, operator, values in sides:
        numbers = [v for v in values if not isinstance(v, str)]
        if isinstance(term, Read) and term.trait.kind == "int" and numbers:
            found.append((term.trait, _turning_points(operator, numbers)))
        else:
            found.extend((trait, None) for trait in traits_of(term))
    return found


def _literal(term: Term) -> tuple[int | float | str, ...]:
    return (term.value,) if isinstance(term, Literally) else ()


def _turning_points(operator: Operator, values: list[int | float]) -> tuple[int, ...]:
    if operator in (">=", "<"):
        return tuple(math.ceil(k) for k in values)
    if operator in (">", "<="):
        return tuple(math.floor(k) + 1 for k in values)
    whole = [int(k) for k in values if k == math.floor(k)]
    return tuple(sorted({*whole, *(k + 1 for k in whole)}))
