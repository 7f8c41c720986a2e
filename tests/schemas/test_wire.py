from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import encode_body, schema_of
from schemas.topics import INPUT_TOPICS
from schemas.wire import WireError, walk
from tests.schemas.strategies import anything

ENUM: dict[str, Any] = {"type": "enum", "name": "E", "symbols": ["a", "b"]}


@pytest.mark.parametrize("topic", INPUT_TOPICS)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), tail=st.binary(max_size=5))
def test_a_walk_ends_where_the_record_ends(topic: str, data: st.DataObject, tail: bytes) -> None:
    schema = schema_of(topic)
    body = encode_body(schema, data.draw(anything(schema.plain)))
    assert walk(schema.plain, body + tail) == len(body)


@pytest.mark.parametrize(
    ("schema", "body", "complaint"),
    [
        (["null", "string"], b"\x01", "union index -1 is not 0 to 1"),
        (["null", "string"], b"\x04", "union index 2"),
        (ENUM, b"\x01", "enum index -1"),
        ("boolean", b"\x07", "boolean is byte 0 or 1"),
        ("string", b"\x05ab", "-3 bytes wanted"),
        ("string", b"\x04\xff\xfe", "not UTF-8"),
        ("double", b"\0" * 7, "8 bytes wanted, 7 are left"),
        ("long", b"\x80" * 10, "10 bytes at most"),
        ("long", b"", "1 bytes wanted"),
    ],
)
def test_what_is_not_avro_is_named(schema: Any, body: bytes, complaint: str) -> None:
    record = {"type": "record", "name": "R", "fields": [{"name": "inner", "type": schema}]}
    with pytest.raises(WireError, match=f"inner: .*{complaint}"):
        walk(record, body)


def test_blocks_with_their_size_are_avro() -> None:
    array = {"type": "array", "items": "long"}
    assert walk(array, b"\x03\x04\x02\x04\x00") == 5


def test_a_recursive_schema_is_walked() -> None:
    chain = {"type": "record", "name": "N", "namespace": "x", "fields": [{"name": "next", "type": ["null", "x.N"]}]}
    assert walk(chain, b"\x02\x02\x00") == 3
