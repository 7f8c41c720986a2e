"""Expression text -> a typed condition. Python's grammar, a whitelist of it, nothing executed."""

from __future__ import annotations

import ast
import math
import re
from difflib import get_close_matches
from typing import Final, Literal

from processors.dimensions import RFM_GRID
from processors.rules.conditions import (
    Arithmetic,
    Comparison,
    Condition,
    Junction,
    Literally,
    Membership,
    Negation,
    Operator,
    Read,
    Term,
)
from processors.traits import TRAITS

MAX_LENGTH: Final = 1_000
MAX_DEPTH: Final = 16
"""Also bounds products: a literal is below 2^53, so no result leaves the range of a float."""
MAX_NUMBER: Final = 1 << 53
"""Above it a float does not hold every whole number."""

CLOSED: Final[dict[str, tuple[str, ...]]] = {
    "rfm": ("prospect", *dict.fromkeys(name for row in RFM_GRID.values() for name in row)),
    "rfm_class": (
        "",
        *(f"{rank}_{move}" for rank in ("important", "general") for move in ("value", "retain", "develop", "win_back")),
    ),
    "value": ("high", "mid", "low", "none"),
    "activity": ("active", "dormant", "lost"),
}
"""Text traits with a fixed set of values: a misspelt literal would silently never match."""

_OPERATORS: Final[dict[type[ast.cmpop], Operator]] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_ARITHMETIC: Final[dict[type[ast.operator], Literal["+", "-", "*", "/"]]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/",
}  # fmt: skip
_REFUSED: Final[dict[type[ast.expr], str]] = {
    ast.Call: "a function call", ast.Attribute: "a dot", ast.Subscript: "a subscript", ast.IfExp: "if-else",
    ast.Lambda: "lambda", ast.NamedExpr: ":=", ast.JoinedStr: "an f-string", ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension", ast.DictComp: "a comprehension", ast.GeneratorExp: "a comprehension",
}  # fmt: skip

_FOREIGN: Final = (
    (r"&&|\|\||!(?!=)|\b(AND|OR|NOT)\b", "write and, or, not in small letters"),
    (r"<>", "write != for unlike"),
    (r"=[<>]", "write <= or >="),
    (r"(?<![=<>!])=(?!=)", "write == to compare"),
)
"""What people write who come from another language; only looked for in what Python cannot read."""


class ExpressionError(Exception):
    """A condition is wrong. `offset` is the character (from 0) in its text."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def parse_condition(text: str) -> Condition:
    """The typed condition of an expression text.

    Raises:
        ExpressionError: with what is wrong, where, and what to write instead.

    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the condition has {len(text)} characters, at most {MAX_LENGTH} are allowed", 0)
    line = " ".join(text.split("\n")).rstrip()
    lead = len(line) - len(line.lstrip())
    if not line.strip():
        raise ExpressionError("the condition is empty: write one, such as `orders_90d >= 3`", 0)
    return _Reader(line[lead:], lead).read()


class _Reader:
    def __init__(self, text: str, lead: int) -> None:
        self.text = text
        self.lead = lead
        self.bytes = text.encode()

    def read(self) -> Condition:
        try:
            tree = ast.parse(self.text, mode="eval")
        except SyntaxError as error:
            # offset 0: Python met the end of the text; its own wording differs from version to version
            at = error.offset - 1 if error.offset else len(self.text) - 1
            problem = "the condition cannot be read here" if error.offset else "the condition ends too early"
            raise ExpressionError(problem + self._hint(), self.lead + min(at, len(self.text) - 1)) from None
        except (ValueError, RecursionError, MemoryError):
            raise ExpressionError("the condition cannot be read: it is nested too deeply", self.lead) from None
        return self.condition(tree.body, 0)

    def _hint(self) -> str:
        return next((f": {hint}" for pattern, hint in _FOREIGN if re.search(pattern, self.text)), "")

    def error(self, message: str, node: ast.expr) -> ExpressionError:
        # ast counts columns in UTF-8 bytes; editors and YAML count characters
        at = len(self.bytes[: node.col_offset].decode(errors="ignore"))
        return ExpressionError(message, self.lead + at)

    def condition(self, node: ast.expr, depth: int) -> Condition:
        self._check_depth(node, depth)
        match node:
            case ast.BoolOp(op, values):
                return Junction(isinstance(op, ast.And), tuple(self.condition(v, depth + 1) for v in values))
            case ast.UnaryOp(ast.Not(), operand):
                return Negation(self.condition(operand, depth + 1))
            case ast.Compare(left, operators, rights):
                return self.comparison(left, operators, rights, depth + 1)
            case ast.BinOp(_, _, _) if isinstance(node.op, ast.BitAnd | ast.BitOr):
                raise self.error("write `and` for & and `or` for |", node)
        raise self._not_a_condition(node, depth)

    def _not_a_condition(self, node: ast.expr, depth: int) -> ExpressionError:
        term = self.term(node, depth)
        if isinstance(term, Read) and term.trait.kind == "text":
            return self.error(
                f'`{term.trait.name}` is a text, not a condition: write `{term.trait.name} == "..."`', node
            )
        written = ast.get_source_segment(self.text, node) or "this"
        return self.error(f"`{written}` is a value, not a condition: compare it, such as `{written} > 0`", node)

    def _check_depth(self, node: ast.expr, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self.error(f"the condition is nested more than {MAX_DEPTH} deep: split the segment", node)

    def comparison(self, left: ast.expr, operators: list[ast.cmpop], rights: list[ast.expr], depth: int) -> Condition:
        """A chain `a < b < c` is `a < b and b < c`."""
        operands = [left, *rights]
        parts = tuple(
            self.pair(first, operator, second, depth)
            for first, operator, second in zip(operands, operators, rights, strict=False)
        )
        return parts[0] if len(parts) == 1 else Junction(all=True, items=parts)

    def pair(self, left: ast.expr, operator: ast.cmpop, right: ast.expr, depth: int) -> Condition:
        if isinstance(operator, ast.In | ast.NotIn):
            found = self.membership(left, right, depth)
            return found if isinstance(operator, ast.In) else Negation(found)
        if type(operator) not in _OPERATORS:
            raise self.error("`is` compares nothing here: write ==", left)
        first, second, sign = self.term(left, depth), self.term(right, depth), _OPERATORS[type(operator)]
        self._check_kinds(first, second, sign, right)
        self._check_known(first, second, right)
        self._check_known(second, first, left)
        return Comparison(first, sign, second)

    def _check_kinds(self, first: Term, second: Term, sign: Operator, node: ast.expr) -> None:
        if isinstance(first, Literally) and isinstance(second, Literally):
            raise self.error("this compares two literals: one side must name a trait", node)
        if _is_text(first) != _is_text(second):
            raise self.error(f"{_described(first)} cannot be compared with {_described(second)}", node)
        if _is_text(first) and sign not in ("==", "!="):
            raise self.error(f"texts have no order: {sign} needs numbers, use ==, != or in", node)

    def _check_known(self, term: Term, other: Term, node: ast.expr) -> None:
        if not (isinstance(term, Read) and isinstance(other, Literally)) or term.trait.name not in CLOSED:
            return
        known = CLOSED[term.trait.name]
        if other.value not in known:
            close = _suggestion(str(other.value), known) or f" (it is one of {', '.join(repr(k) for k in known)})"
            raise self.error(f"`{term.trait.name}` is never {other.value!r}{close}", node)

    def membership(self, left: ast.expr, right: ast.expr, depth: int) -> Membership:
        if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
            raise self.error('`in` needs a list of literals: write ("a", "b"), or == for a single value', right)
        term, values = self.term(left, depth), []
        for element in right.elts:
            value = self.term(element, depth)
            if not isinstance(value, Literally):
                raise self.error("the list after `in` may hold only literals", element)
            self._check_kinds(term, value, "==", element)
            self._check_known(term, value, element)
            values.append(value.value)
        return Membership(term, tuple(values))

    def term(self, node: ast.expr, depth: int) -> Term:
        self._check_depth(node, depth)
        match node:
            case ast.Name(name):
                return self.read_trait(name, node)
            case ast.Constant(value):
                return self.literal(value, node)
            case ast.UnaryOp(ast.USub() | ast.UAdd(), operand):
                sign = -1 if isinstance(node.op, ast.USub) else 1
                return self.arithmetic("*", Literally(sign), self.number(operand, depth + 1), node)
            case ast.BinOp(left, operator, right) if type(operator) in _ARITHMETIC:
                first, second = self.number(left, depth + 1), self.number(right, depth + 1)
                return self.arithmetic(_ARITHMETIC[type(operator)], first, second, node)
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(ast.Not()):
                raise self.error("a condition stands where a value belongs: join conditions with and, or, not", node)
        what = _REFUSED.get(type(node), "this")
        raise self.error(f"{what} is not allowed in a condition: only traits, literals, comparisons, and/or/not", node)

    def read_trait(self, name: str, node: ast.expr) -> Read:
        if name not in TRAITS:
            raise self.error(f"there is no trait `{name}`{_suggestion(name, tuple(TRAITS))}", node)
        return Read(TRAITS[name])

    def literal(self, value: object, node: ast.expr) -> Literally:
        if isinstance(value, str):
            return Literally(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{value!r} is neither a number nor a text", node)
        return self.in_range(value, node)

    def in_range(self, value: float, node: ast.expr) -> Literally:
        if not math.isfinite(value) or abs(value) > MAX_NUMBER:
            raise self.error("the number is out of range: at most 2^53 either side of 0", node)
        return Literally(value)

    def number(self, node: ast.expr, depth: int) -> Term:
        term = self.term(node, depth)
        if _is_text(term):
            raise self.error(f"{_described(term)} cannot be calculated with", node)
        return term

    def arithmetic(self, sign: Literal["+", "-", "*", "/"], left: Term, right: Term, node: ast.expr) -> Term:
        """Folds literals, so that `500 * 100` is a threshold. Nothing that could fail at run time is let through."""
        if sign == "/" and not isinstance(right, Literally):
            raise self.error("divide only by a number: a trait may be 0, so compare products (`a >= 2 * b`)", node)
        if sign == "/" and right == Literally(0):
            raise self.error("this divides by 0", node)
        if isinstance(left, Literally) and isinstance(right, Literally):
            return self.in_range(_calculated(sign, left.value, right.value), node)
        if sign == "*" and not isinstance(left, Literally) and not isinstance(right, Literally):
            raise self.error("multiply only by a number, not one trait by another", node)
        return Arithmetic(sign, left, right)


def _calculated(sign: str, left: float | str, right: float | str) -> float:
    assert not isinstance(left, str)
    assert not isinstance(right, str)
    match sign:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return left / right


def _is_text(term: Term) -> bool:
    match term:
        case Read(trait):
            return trait.kind == "text"
        case Literally(value):
            return isinstance(value, str)
    return False


def _described(term: Term) -> str:
    kind = "a text" if _is_text(term) else "a number"
    match term:
        case Read(trait):
            return f"`{trait.name}` ({kind})"
        case Literally(value):
            return f"{value!r} ({kind})"
    return "a calculation (a number)"


def _suggestion(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f": did you mean `{close[0]}`?" if close else ""
