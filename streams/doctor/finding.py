"""What a check found: a value, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]
Row = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report. `rows` are the figures behind it, for whoever asks."""

    check: str
    status: Status
    text: str
    remedy: str = ""
    """What to do; empty when all is well."""
    rows: tuple[Row, ...] = ()


class NotCheckedError(Exception):
    """What a check needs is not there, which is the finding of another check."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at. `examine` may raise a FootfallError: the finding says so.

    With `relies_on` (what has checks of its own) a server's silence is no finding of this check.
    """

    name: str
    examine: Callable[[], Sequence[Finding]]
    relies_on: str = ""


def listed(names: Sequence[object], most: int = 4) -> str:
    """The first few of many, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
