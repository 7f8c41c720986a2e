"""Which letters an expression means, and where it says that it is wrong."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigurationError
from streams.letters.where import FIELDS, Term, parse_where
from tests.streams.letters.shelves import NOW, entry

HOUR = 3_600_000


def holds(text: str, **fields: Any) -> bool:
    return all(term.holds(entry(7, **fields)) for term in parse_where([text], UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("topic=purchase", True),
        ("topic=app", False),
        ("topic!=app", True),
        ("topic=purchase,partition=1,offset>=7", True),
        ("topic = purchase , offset >= 8", False),
        ("offset<8,offset<=7,offset>6,offset!=6", True),
        ("offset=70", False),
        ("bytes>4", True),
        ("id~er-7", True),
        ("reason~currency", True),
        ("customer=anna", True),
        ("customer~nn,customer!=bert", True),
        ("detail~\"'XAU' has\"", True),
        ("detail~XAU has", False),
        ("since=2026-01-01", True),
        ("since=2026-01-01T00:00:01", False),
        ("until=2026-01-01", False),
        ("until=2026-01-01T00:00:01", True),
        ("since=2026-01-01T01:00+01:00,until=2026-01-01T01:01+01:00", True),
    ],
)
def test_a_letter_is_meant_when_all_of_it_holds(text: str, expected: bool) -> None:  # noqa: FBT001
    assert holds(text) is expected


def test_several_expressions_all_hold() -> None:
    terms = parse_where(["topic=purchase", "offset>3"], UTC)
    assert [term.field for term in terms] == ["topic", "offset"]


def test_a_time_without_an_offset_is_the_installation_s() -> None:
    (term,) = parse_where(["since=2026-01-01"], ZoneInfo("Europe/Berlin"))
    assert term == Term("since", ">=", NOW - HOUR)


def test_a_letter_without_a_key_has_no_customer() -> None:
    assert not holds("customer=anna", key=None)
    assert holds("customer!=anna", key=None)
    assert holds('customer=""', key=None)


@given(st.text(min_size=1, max_size=50))
def test_any_text_can_be_asked_for_in_quotes(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_where([f'detail="{quoted}"'], UTC) == [Term("detail", "=", text)]


@pytest.mark.parametrize(
    ("text", "column", "why"),
    [
        ("", 1, "a field is missing; the fields are id, topic"),
        ("topic=purchase,", 16, "a field is missing"),
        ("topic=purchase,ofset>=100", 16, "there is no field 'ofset'; did you mean offset?"),
        ("topic", 6, "after topic comes one of = != ~"),
        ("topic>=purchase", 6, "topic takes = != ~, not >="),
        ("offset~1", 7, "offset takes = != < <= > >=, not ~"),
        ("since>2026-01-01", 6, "since takes =, not >"),
        ("offset=", 8, "a value is missing"),
        ("offset=,topic=app", 8, "a value is missing"),
        ("offset=ten", 8, "compared with a whole number, not with 'ten'"),
        ("offset=-1", 8, "a whole number"),
        ("offset=1.5", 8, "a whole number"),
        ("offset=" + "9" * 40, 8, "a whole number"),
        ("topic=app, since=yesterday", 18, "'yesterday' is no time; write it as 2026-01-31"),
        ("since=2026-13-01", 7, "is no time"),
        ('detail="open', 8, "a comma is missing, or quotes"),
        ('detail~"a" b', 11, "a comma is missing, or quotes"),
        ('detail~a "b"', 10, "a comma is missing, or quotes"),
        ("detail~" + "x" * 3_000, 2_001, "2000 characters at most"),
    ],
)
def test_a_mistake_is_shown_with_its_column(text: str, column: int, why: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_where([text], UTC)
    said = str(refused.value)
    assert said.startswith("--where ")
    assert f"column {column}: " in said
    assert why in said


@given(st.text(alphabet='topic=,~"\\<>! 09-:T', max_size=40) | st.text(max_size=20))
def test_any_text_is_understood_or_refused(text: str) -> None:
    with suppress(ConfigurationError):
        assert all(term.field in FIELDS for term in parse_where([text], UTC))
