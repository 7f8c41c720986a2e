"""What a letter keeps of a record: everything, or beginnings that always fit into a message."""

from __future__ import annotations

from hashlib import sha256

import pytest

from schemas.codec import OutputCodec
from schemas.events import Rejected
from schemas.excerpt import EXCERPT_BYTES, HEADER_BYTES, KEY_BYTES, keep
from schemas.results import DeadLetter
from schemas.topics import DEAD_LETTERS, MAX_RECORD_BYTES
from streams.kafka.topics import MAX_MESSAGE_BYTES
from tests.schemas.records import Record

CODEC = OutputCodec({DEAD_LETTERS: 7})


def letter_of(record: Record) -> DeadLetter:
    letter = DeadLetter.of("id", "app", 3, Rejected(record.offset, "oversize", "too large", record))
    assert CODEC.decode_dead_letter(CODEC.encode_dead_letter(letter)) == letter
    return letter


@pytest.mark.parametrize("value", [None, b"", b"x", b"x" * MAX_RECORD_BYTES])
def test_what_fits_is_whole(value: bytes | None) -> None:
    headers = [("a", b"1"), ("a", b"2"), ("none", None)]
    kept = keep(b"key", value, headers)
    assert (kept.key, kept.value, kept.headers, kept.cut) == (b"key", value, headers, [])
    assert (kept.value_bytes, kept.value_sha256) == (None if value is None else len(value), None)


def test_a_value_that_is_too_large_is_known_by_its_beginning_length_and_hash() -> None:
    value = b"begin" + b"y" * MAX_RECORD_BYTES
    letter = letter_of(Record(1, key=b"anna", value=value, headers=[("trace", b"t")]))
    assert letter.value == value[:EXCERPT_BYTES]
    assert letter.cut == ["value"]
    assert (letter.value_bytes, letter.value_sha256) == (len(value), sha256(value).hexdigest())
    assert (letter.key, letter.headers) == (b"anna", [("trace", b"t")])


def test_the_largest_letter_fits_into_a_message() -> None:
    headers = [(f"h{n}", b"z" * 1_000) for n in range(5_000)]
    record = Record(1, key=b"k" * 3_000_000, value=b"v" * MAX_RECORD_BYTES, headers=headers)
    letter = letter_of(record)
    assert letter.cut == ["key", "headers"]
    assert len(letter.key or b"") == KEY_BYTES
    assert letter.headers == headers[: len(letter.headers)]
    assert 0.99 * HEADER_BYTES < sum(len(name) + len(value or b"") for name, value in letter.headers) <= HEADER_BYTES
    assert len(CODEC.encode_dead_letter(letter)) < MAX_MESSAGE_BYTES


def test_a_detail_that_quotes_a_whole_value_is_cut() -> None:
    bad = Rejected(1, "undecodable", "x" * 1_000_000, Record(1))
    assert len(DeadLetter.of("id", "app", 3, bad).detail) == 1_000
