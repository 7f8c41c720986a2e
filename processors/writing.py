"""Numbers as JSON and as MessagePack, written straight into a buffer.

Compiled, a number costs a few nanoseconds and no object: the encoders of a library take Python's objects, which must
be made of the plain numbers of a profile first. Everything is written from tables of short texts, which is also what
Python's interpreter does fastest.
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, write_f64_be, write_i64_be
from librt.vecs import vec
from mypy_extensions import i64

_BYTE: Final[list[bytes]] = [bytes((n,)) for n in range(256)]
_DECIMAL: Final[list[bytes]] = [str(n).encode() for n in range(1_000)]
_THOUSANDTHS: Final[list[bytes]] = [f"{n:03}".encode() for n in range(1_000)]


def write_decimal(out: BytesWriter, n: i64) -> None:
    """A number as JSON has it."""
    if n < 0:
        out.write(b"-")
        n = -n
    if n < 1_000:
        out.write(_DECIMAL[n])
        return
    write_decimal(out, n // 1_000)
    out.write(_THOUSANDTHS[n % 1_000])


def pack_integer(out: BytesWriter, n: i64) -> None:
    """An integer as MessagePack has it, in its shortest form."""
    if 0 <= n < 128:
        out.write(_BYTE[n])
    elif 0 <= n < 256:
        out.write(b"\xcc")
        out.write(_BYTE[n])
    elif 0 <= n < 65_536:
        out.write(b"\xcd")
        out.write(_BYTE[n >> 8])
        out.write(_BYTE[n & 255])
    elif 0 <= n < 1 << 32:
        out.write(b"\xce")
        _write_32(out, n)
    elif -32 <= n < 0:
        out.write(_BYTE[n & 255])
    elif -128 <= n < 0:
        out.write(b"\xd0")
        out.write(_BYTE[n & 255])
    elif -32_768 <= n < 0:
        out.write(b"\xd1")
        out.write(_BYTE[n >> 8 & 255])
        out.write(_BYTE[n & 255])
    elif -(1 << 31) <= n < 0:
        out.write(b"\xd2")
        _write_32(out, n)
    else:
        out.write(b"\xd3" if n < 0 else b"\xcf")
        write_i64_be(out, n)


def _write_32(out: BytesWriter, n: i64) -> None:
    """The last four bytes of a number."""
    out.write(_BYTE[n >> 24 & 255])
    out.write(_BYTE[n >> 16 & 255])
    out.write(_BYTE[n >> 8 & 255])
    out.write(_BYTE[n & 255])


def pack_float(out: BytesWriter, x: float) -> None:
    """A float as MessagePack has it: 8 bytes."""
    out.write(b"\xcb")
    write_f64_be(out, x)


def pack_length(out: BytesWriter, length: i64) -> None:
    """The header of an array of so many items."""
    if length < 16:
        out.write(_BYTE[0x90 | length])
    elif length < 65_536:
        out.write(b"\xdc")
        out.write(_BYTE[length >> 8])
        out.write(_BYTE[length & 255])
    else:
        out.write(b"\xdd")
        _write_32(out, length)


def pack_part(out: BytesWriter, numbers: vec[i64], first: i64, after: i64) -> None:
    """Some of the numbers, one after the other."""
    i = first
    while i < after:
        pack_integer(out, numbers[i])
        i += 1


def pack_steps(out: BytesWriter, numbers: vec[i64], first: i64, after: i64) -> None:
    """The same, each as its distance to the one before (the very first: to 0): sorted ones become short."""
    before: i64 = numbers[first - 1] if first > 0 else 0
    i = first
    while i < after:
        number = numbers[i]
        pack_integer(out, number - before)
        before = number
        i += 1
