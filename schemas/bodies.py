"""Avro bodies of one schema to Arrow record batches: columnar where it can be, row by row around a bad record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyruhvro

from schemas.codec import HEADER_BYTES, ParsedSchema, decode_body, encode_body, schema_id_of, schema_of
from schemas.reading import ReadingPlan
from schemas.validation import Longs, shortened
from schemas.wire import WireError, walk

_NEIGHBOURHOOD: Final = 8
"""A refused run this short is read row by row: below it, the fixed cost of a columnar call is the larger."""

_VARINT_LIMITS: Final = np.array([1 << (7 * size) for size in range(1, 10)], np.uint64)


@dataclass(slots=True)
class DecodedBodies:
    """Record batches in the order of the bodies, without those that failed."""

    parts: list[Any] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    """Position -> what is wrong."""
    canonical: list[bytes] = field(default_factory=list)
    """Bodies written again in the reader's shape; only where the writer's does not start with the two times."""


def decode_bodies(plan: ReadingPlan, bodies: list[bytes], *, columnar: bool) -> DecodedBodies:
    """Decode the bodies; trailing bytes after a record are ignored, as Confluent's deserializers do."""
    out = DecodedBodies()
    if columnar and plan.columnar:
        _columnar(plan, bodies, 0, out)
    else:
        _rows(plan, bodies, 0, out)
    return out


def record_batch(schema: str, bodies: list[bytes]) -> Any | None:
    """The bodies as one Arrow record batch, columns as in the schema (JSON); None where one of them does not fit."""
    try:
        batch = pyruhvro.deserialize_array(bodies, schema)
        batch.validate(full=True)  # it takes any bytes for text; Arrow's check finds what is not UTF-8
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # KeyboardInterrupt and its like; a panic of the Rust side is a BaseException too
        return None
    return batch


def result_batch(topic: str, values: Sequence[bytes], lookup: Callable[[int], ParsedSchema | None]) -> Any | None:
    """Framed records of an output topic as one Arrow record batch; None where they have to be read one by one.

    That is: one does not decode, they are of several schemas, or of another than this release writes. Raises what
    `lookup` raises.
    """
    header = bytes(values[0][:HEADER_BYTES])
    schema_id = schema_id_of(header)
    if schema_id is None or not all(value.startswith(header) for value in values):
        return None
    writer, reader = lookup(schema_id), schema_of(topic)
    if writer is None or writer.text != reader.text:
        return None
    return record_batch(reader.text, [value[HEADER_BYTES:] for value in values])


def checksums(bodies: Sequence[bytes], event: Longs, received: Longs) -> list[int]:
    """crc32 of each body after its two leading times (as they stand in the body, not clamped)."""
    skips = _varint_sizes(event) + _varint_sizes(received)
    skip = int(skips[0])
    if skips.min() == skips.max():
        return [crc32(body[skip:]) for body in bodies]
    return [crc32(body[skip:]) for body, skip in zip(bodies, skips.tolist(), strict=True)]


def _columnar(plan: ReadingPlan, bodies: list[bytes], first: int, out: DecodedBodies) -> None:
    batch = record_batch(plan.writer.text, bodies)
    if batch is not None:
        out.parts.append(batch)
    elif len(bodies) <= _NEIGHBOURHOOD:
        _rows(plan, bodies, first, out)
    else:
        half = len(bodies) // 2
        _columnar(plan, bodies[:half], first, out)
        _columnar(plan, bodies[half:], first + half, out)


def _rows(plan: ReadingPlan, bodies: list[bytes], first: int, out: DecodedBodies) -> None:
    rows: list[dict[str, Any]] = []
    for position, body in enumerate(bodies, start=first):
        try:
            row = _row(plan, body)
        except Exception as error:  # noqa: BLE001 - whatever the decoder raises, the record does not fit its schema
            out.failures[position] = f"value: {_complaint(plan, body, error)}"
            continue
        rows.append(row)
        if not plan.leading_times:
            out.canonical.append(encode_body(plan.reader, row))
    if rows:
        out.parts.append(_as_batch(plan, rows))


def _row(plan: ReadingPlan, body: bytes) -> dict[str, Any]:
    row = decode_body(plan.writer, body, plan.resolved)
    if plan.resolved is not None or not body.startswith(encode_body(plan.writer, row)):
        walk(plan.writer.plain, body)
    return row


def _complaint(plan: ReadingPlan, body: bytes, error: Exception) -> str:
    """What is wrong with a body, naming the field where its bytes stop being Avro."""
    try:
        walk(plan.writer.plain, body)
    except WireError as fault:
        return str(fault)
    return f"{type(error).__name__}: {shortened(str(error))}"


def _as_batch(plan: ReadingPlan, rows: list[dict[str, Any]]) -> Any:
    for row in rows:
        row.update({name: list(row[name].items()) for name in plan.maps})
    return pa.RecordBatch.from_pylist(rows, schema=plan.arrow)


def _varint_sizes(numbers: Longs) -> Longs:
    zigzag = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    return np.searchsorted(_VARINT_LIMITS, zigzag, side="right") + 1
