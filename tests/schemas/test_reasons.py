"""The list of reasons is closed, and the page for operators says of each what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.reasons import MEANINGS, REASONS

PAGE = (Path(__file__).parents[2] / "docs" / "dead-letters.md").read_text(encoding="utf-8")


def test_every_reason_has_a_meaning_and_nothing_else_has() -> None:
    assert tuple(MEANINGS) == REASONS


@pytest.mark.parametrize("reason", REASONS)
def test_a_meaning_and_a_remedy_are_sentences(reason: str) -> None:
    meaning = MEANINGS[reason]  # type: ignore[index]
    assert re.fullmatch(r"[A-Z].{20,}\.", meaning.text)
    assert re.fullmatch(r"[A-Z].{20,}\.", meaning.remedy)
    assert meaning.redrive == ("redrive" in meaning.remedy)


def test_the_page_for_operators_shows_the_same_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (yes|no) \|$", PAGE, re.MULTILINE)
    assert rows == [
        (reason, meaning.text, meaning.remedy, "yes" if meaning.redrive else "no")
        for reason, meaning in MEANINGS.items()
    ]
