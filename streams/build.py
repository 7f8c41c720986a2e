"""How this installation was built."""

from __future__ import annotations

from importlib.util import find_spec


def fold_is_compiled() -> bool:
    """Whether the fold runs compiled by mypyc: the same answers, about twice as fast (docs/decisions/0012)."""
    spec = find_spec("processors.fold")
    return spec is not None and not str(spec.origin).endswith(".py")
