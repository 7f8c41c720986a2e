r"""The filter language of `footfall dead-letters`: which letters are meant.

    EXPR  = TERM { "," TERM }           all of them hold
    TERM  = FIELD OP VALUE
    OP    = "=" | "!=" | "~" (contains) | "<" | "<=" | ">" | ">="
    VALUE = anything up to the next comma, or "quoted" with \" and \\ inside

    topic=purchase,partition=3,offset>=100          since=2026-01-01T00:00,detail~"XAU, no rate"

Text fields take = != ~, numbers = != < <= > >=, `since` and `until` only =. An error names the column it is at.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final, NoReturn

from schemas.errors import ConfigurationError
from streams.letters.shelf import Entry

TEXTS: Final = ("id", "topic", "reason", "customer", "detail")
NUMBERS: Final = ("partition", "offset", "bytes")
TIMES: Final = ("since", "until")
FIELDS: Final = (*TEXTS, *NUMBERS, *TIMES)
_ATTRIBUTES: Final = {"id": "letter_id", "bytes": "size", "since": "refused", "until": "refused"}
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "~": operator.contains,
}  # fmt: skip
_ALLOWED: Final = {
    **dict.fromkeys(TEXTS, ("=", "!=", "~")),
    **dict.fromkeys(NUMBERS, ("=", "!=", "<", "<=", ">", ">=")),
    **dict.fromkeys(TIMES, ("=",)),
}
_NAME: Final = re.compile(r"\s*([^\s,=!<>~\"]*)")
_OPERATOR: Final = re.compile(r"\s*(!=|<=|>=|=|<|>|~)\s*")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_BARE: Final = re.compile(r"[^,\"]*")
_LONGEST: Final = 2_000


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison."""

    field: str
    operator: str
    value: str | int

    def holds(self, entry: Entry) -> bool:
        """Whether a letter fulfils it; a letter without a customer equals none."""
        found = getattr(entry, _ATTRIBUTES.get(self.field, self.field))
        return _OPERATORS[self.operator](found if found is not None else "", self.value)


def parse_where(texts: Iterable[str], zone: tzinfo) -> list[Term]:
    """The terms of some expressions; times without an offset are those of `zone`.

    Raises:
        ConfigurationError: with the expression, the column, and what may stand there.

    """
    return [term for text in texts for term in _Parser(text, zone).terms()]


class _Parser:
    def __init__(self, text: str, zone: tzinfo) -> None:
        self._text = text
        self._zone = zone
        self._at = 0

    def terms(self) -> Iterator[Term]:
        if len(self._text) > _LONGEST:
            self._fail(_LONGEST, f"an expression has {_LONGEST} characters at most")
        while True:
            yield self._term()
            if self._at >= len(self._text):
                return
            self._at += 1  # the comma

    def _term(self) -> Term:
        name = self._name()
        op, place = self._operator(name)
        value, at = self._value()
        if op not in _ALLOWED[name]:
            self._fail(place, f"{name} takes {' '.join(_ALLOWED[name])}, not {op}")
        return self._typed(name, op, value, at)

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        assert match is not None
        name, begin = match[1], match.start(1)
        if name not in FIELDS:
            close = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(FIELDS)}"
            self._fail(begin, f"there is no field {name!r}; {hint}" if name else f"a field is missing; {hint}")
        self._at = match.end()
        return name

    def _operator(self, name: str) -> tuple[str, int]:
        match = _OPERATOR.match(self._text, self._at)
        if match is None:
            self._fail(self._at, f"after {name} comes one of {' '.join(_ALLOWED[name])}")
        self._at = match.end()
        return match[1], match.start(1)

    def _value(self) -> tuple[str, int]:
        begin = self._at
        quoted = _QUOTED.match(self._text, begin)
        match = quoted or _BARE.match(self._text, begin)
        assert match is not None
        self._at = match.end()
        value = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else match[0].strip()
        rest = self._text[self._at :].lstrip()
        if rest and not rest.startswith(","):
            self._fail(self._at, 'a comma is missing, or quotes around the whole value: detail~"a, b"')
        self._at = len(self._text) - len(rest)
        if not value and not quoted:
            self._fail(begin, "a value is missing")
        return value, begin

    def _typed(self, name: str, op: str, value: str, at: int) -> Term:
        if name in NUMBERS:
            if not re.fullmatch(r"\d{1,18}", value):
                self._fail(at, f"{name} is compared with a whole number, not with {value!r}")
            return Term(name, op, int(value))
        if name in TIMES:
            return Term(name, ">=" if name == "since" else "<", self._instant(value, at))
        return Term(name, op, value)

    def _instant(self, value: str, at: int) -> int:
        try:
            instant = datetime.fromisoformat(value)
            return int((instant if instant.tzinfo else instant.replace(tzinfo=self._zone)).timestamp() * 1000)
        except (ValueError, OverflowError):
            self._fail(at, f"{value!r} is no time; write it as 2026-01-31, 2026-01-31T14:30 or 2026-01-31T14:30+01:00")

    def _fail(self, at: int, why: str) -> NoReturn:
        raise ConfigurationError(f"--where {self._text[:200]!r}, column {at + 1}: {why}.")
