"""Customers' text is data: shown as text, never obeyed by the terminal or taken for markup."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control characters, invisible and direction-changing ones, lone surrogates, line and paragraph separators."""
_LONGEST = 120


def plain(text: str) -> str:
    """The text on one line without what a terminal would act on, cut at 120 characters. Markup is left as it is."""
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _HIDDEN else c for c in text[: _LONGEST + 1]
    )
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
