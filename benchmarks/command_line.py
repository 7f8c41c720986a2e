"""A dataclass of options as a command line: each option with a meaning can be given, and has the default told."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def given(arguments: Sequence[str], defaults: T, meanings: Mapping[str, str], **told: Any) -> T:
    """`defaults` with what the command line says. `told`: the name of the program and its description."""
    parser = ArgumentParser(**told)
    for name, meaning in meanings.items():
        default = getattr(defaults, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, help=meaning)
    return replace(defaults, **vars(parser.parse_args(arguments)))
