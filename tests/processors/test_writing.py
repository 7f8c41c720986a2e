"""Numbers are written as msgspec and orjson write them, to the byte."""

from __future__ import annotations

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter
from librt.vecs import vec
from mypy_extensions import i64

from processors.writing import pack_float, pack_integer, pack_length, pack_part, pack_steps, write_decimal

LIMITS = sorted({sign * (1 << bits) + near for bits in range(63) for sign in (1, -1) for near in (-1, 0, 1)})
numbers = st.sampled_from(LIMITS) | st.integers(-(1 << 62), (1 << 62) - 1)


@given(numbers)
def test_an_integer_is_what_the_libraries_write(n: int) -> None:
    packed, decimal = BytesWriter(), BytesWriter()
    pack_integer(packed, n)
    write_decimal(decimal, n)
    assert packed.getvalue() == msgspec.msgpack.encode(n)
    assert decimal.getvalue() == orjson.dumps(n)


@given(st.floats())
def test_a_float_too(x: float) -> None:
    out = BytesWriter()
    pack_float(out, x)
    assert out.getvalue() == msgspec.msgpack.encode(x)


@pytest.mark.parametrize("length", [0, 15, 16, 65_535, 65_536])
def test_a_header_and_its_items_are_a_list(length: int) -> None:
    out = BytesWriter()
    pack_length(out, length)
    pack_part(out, vec[i64]([7] * length), 0, length)
    assert out.getvalue() == msgspec.msgpack.encode([7] * length)


@given(st.lists(st.integers(0, 1 << 50), unique=True, max_size=20).map(sorted), st.integers(0, 20))
def test_steps_add_up_again(keys: list[int], cut: int) -> None:
    at, out = min(cut, len(keys)), BytesWriter()
    pack_length(out, len(keys))
    pack_steps(out, vec[i64](keys), 0, at)
    pack_steps(out, vec[i64](keys), at, len(keys))
    steps = msgspec.msgpack.decode(out.getvalue(), type=list[int])
    assert [sum(steps[: i + 1]) for i in range(len(steps))] == keys
