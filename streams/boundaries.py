"""The steps of the journey, after each of which a process may die and nothing may be lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

BOUNDARIES: Final = (
    "claim", "resend", "decode", "load", "fold", "wake", "score", "encode",
    "bury", "part", "commit", "publish", "ack", "offsets",
)  # fmt: skip
"""In their order; `part` is each of the transactions that a commit is made of."""

Hook = Callable[[str], None]
"""Called with each of BOUNDARIES when that step is through: where a test kills the process."""


def no_hook(_stage: str) -> None:
    """What production passes."""
