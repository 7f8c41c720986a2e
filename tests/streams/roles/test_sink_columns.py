"""Output topics are read in columns; row by row is what that must equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import HEADER_BYTES, OutputCodec, framed
from schemas.results import ProfileUpdate, SegmentChange
from schemas.topics import PROFILES, SEGMENT_CHANGES
from schemas.validation import ContractRules
from sinks.rows import change_rows, profile_rows
from sinks.warehouse import Block
from streams import blocks
from streams.blocks import Contents, PollReader
from tests.sinks.records import IDS, NOON, Record, chunk, lookup

CODEC = OutputCodec(IDS, lookup)
TEXT = st.text(max_size=8)
MAYBE = st.none() | TEXT
LONG = st.integers(0, 2**63 - 1)
TIME = st.integers(-(2**53), 2**53)

CHANGES_OF_ALL_KINDS = st.lists(
    st.builds(
        SegmentChange,
        change_id=TEXT, customer_id=TEXT, sequence=LONG, driver=st.sampled_from(["rule", "model"]), segment=TEXT,
        group=MAYBE, from_segment=MAYBE, to_segment=MAYBE, direction=st.sampled_from(["entered", "exited"]),
        effective_time=TIME, cause=TEXT, evidence=st.dictionaries(TEXT, TEXT, max_size=3),
        churn_probability=st.none() | st.floats(0, 1), suggested_action=MAYBE, rule_version=TEXT,
    ),
    min_size=1, max_size=6,
)  # fmt: skip
UPDATES = st.lists(
    st.builds(ProfileUpdate, customer_id=TEXT, version=LONG, as_of=TIME, traits=TEXT.map(str.encode)),
    min_size=1,
    max_size=6,
)


def read(topic: str, records: Sequence[Record]) -> Contents:
    return PollReader(lookup, ContractRules(), CODEC).read([chunk(topic, records, partition=3)])


def same_rows(block: Block, rows: Any) -> bool:
    found = block.rows
    return bool(found.select(rows.column_names).equals(rows)) and set(found.column_names) == set(rows.column_names)


@settings(deadline=None)  # the first example pays for the imports
@given(CHANGES_OF_ALL_KINDS)
def test_changes_in_columns_are_the_rows_of_the_reference(changes: list[SegmentChange]) -> None:
    contents = read(SEGMENT_CHANGES, [Record(n, b"k", CODEC.encode_change(change)) for n, change in enumerate(changes)])

    assert same_rows(contents.blocks[0], change_rows(changes, 3, range(len(changes))))


@settings(deadline=None)  # the first example pays for the imports
@given(UPDATES)
def test_profiles_in_columns_are_the_rows_of_the_reference(updates: list[ProfileUpdate]) -> None:
    values = [CODEC.encode_profile_update(update) for update in updates]
    contents = read(PROFILES, [Record(n, b"k", value) for n, value in enumerate(values)])

    assert same_rows(contents.blocks[0], profile_rows(updates, 3, range(len(updates))))


GOOD = CODEC.encode_profile_update(ProfileUpdate("ada", 1, NOON, b"{}"))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x01" + GOOD[1:],
        framed(99_999, GOOD[HEADER_BYTES:]),
        framed(IDS[SEGMENT_CHANGES], GOOD[HEADER_BYTES:]),
        GOOD[:-1],
        GOOD[:HEADER_BYTES] + b"\x06\xff\xfe\xfd" + GOOD[HEADER_BYTES + 4 :],
    ],
    ids=["empty", "unframed", "unknown schema", "another topic's schema", "cut short", "not UTF-8"],
)
def test_a_bad_record_is_buried_and_its_neighbours_are_written(bad: bytes) -> None:
    for order in ([GOOD, bad, GOOD], [bad, GOOD, GOOD]):
        contents = read(PROFILES, [Record(n, b"k", value) for n, value in enumerate(order)])

        buried = order.index(bad)
        assert [letter.offset for letter in contents.letters] == [buried]
        assert contents.blocks[0].rows["kafka_offset"].to_pylist() == [n for n in range(3) if n != buried]


def test_bytes_after_a_record_are_ignored_as_the_reference_ignores_them() -> None:
    assert read(PROFILES, [Record(0, b"k", GOOD + b"more")]).blocks[0].size == 1


def test_good_records_never_become_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_decoded", None)

    contents = read(PROFILES, [Record(0, b"k", None), Record(1, b"k", GOOD)])

    assert contents.blocks[0].rows["kafka_offset"].to_pylist() == [1]
