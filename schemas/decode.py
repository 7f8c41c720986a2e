"""From the records of a chunk to columns: decode, judge, and put every record into exactly one place.

The hot path is columnar (Avro to Arrow in one call). Where that call refuses a chunk, the chunk is halved until the
bad record's neighbourhood is small, and fastavro reads those few row by row and finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, cast

import numpy as np

from schemas.bodies import checksums, decode_bodies
from schemas.codec import HEADER_BYTES, ParsedSchema
from schemas.columns import Columns
from schemas.events import Chunk, DecodedChunk, EventBatch, Marker, RawRecord, Rejected
from schemas.reading import ReadingPlan, reading_plan
from schemas.reasons import Reason
from schemas.topics import CLOCK_HEADER, MAX_RECORD_BYTES
from schemas.validation import ContractRules, clamp, faults_of, shortened

SchemaLookup = Callable[[int], ParsedSchema | None]
"""Schema id -> schema; None when the registry does not know it. Raises UnreachableError when the registry is down."""


TOGETHER: Final = 5_000
"""Records of one topic that are worth decoding together; beyond that a bad record would make too much be read twice."""


@dataclass(frozen=True, slots=True)
class _Framed:
    """Records of one schema id, with their values and keys."""

    records: Sequence[RawRecord]
    values: Sequence[bytes]
    keys: Sequence[bytes]


def decode_chunk(chunk: Chunk, lookup: SchemaLookup, rules: ContractRules) -> DecodedChunk:
    """All records of a chunk, each once: in a batch (one per schema id), rejected, or as a clock marker.

    Raises UnreachableError when the registry is down: that is transient, not the record's fault.
    """
    groups, markers, rejected = _sorted_out(chunk.records)
    batches: list[EventBatch] = []
    for head, framed in groups.items():
        plan = _plan(chunk.topic, int.from_bytes(head[1:], "big"), lookup)
        if isinstance(plan, str):
            rejected += [_rejected(record, "unknown_schema", plan) for record in framed.records]
            continue
        batch, refused = _batch(chunk, framed, plan, rules)
        rejected += refused
        if batch is not None and len(batch):
            batches.append(batch)
    rejected.sort(key=lambda bad: bad.offset)
    return DecodedChunk(chunk.topic, chunk.partition, batches, rejected, markers, len(chunk.records))


def decode_chunks(chunks: Sequence[Chunk], lookup: SchemaLookup, rules: ContractRules) -> list[DecodedChunk]:
    """Each chunk as `decode_chunk` has it; chunks of one topic are decoded together, which costs as much as one.

    A poll that finds little everywhere brings many small chunks, and most of a small chunk's cost is beginning it.
    """
    by_topic: dict[str, list[int]] = {}
    for place, chunk in enumerate(chunks):
        by_topic.setdefault(chunk.topic, []).append(place)
    decoded: dict[int, DecodedChunk] = {}
    for places in by_topic.values():
        some = [chunks[place] for place in places]
        small = len(some) > 1 and sum(len(chunk.records) for chunk in some) <= TOGETHER
        together = _decode_together(some, lookup, rules) if small else None
        decoded.update(zip(places, together or [decode_chunk(c, lookup, rules) for c in some], strict=True))
    return [decoded[place] for place in range(len(chunks))]


def _decode_together(chunks: Sequence[Chunk], lookup: SchemaLookup, rules: ContractRules) -> list[DecodedChunk] | None:
    """Chunks of one topic in one go; null where their events are not of one schema, or one of them is refused."""
    parts = [_sorted_out(chunk.records) for chunk in chunks]
    heads = {head for groups, _, _ in parts for head in groups}
    plan = _plan(chunks[0].topic, int.from_bytes(min(heads)[1:], "big"), lookup) if len(heads) == 1 else ""
    if isinstance(plan, str):
        return None
    framed = [one for groups, _, _ in parts for one in groups.values()]
    whole = _Framed(*(list(chain.from_iterable(column)) for column in zip(*map(_columns_of, framed), strict=True)))
    batch, refused = _batch(chunks[0], whole, plan, rules)
    if batch is None or refused:
        return None
    sizes = [sum(len(one.records) for one in groups.values()) for groups, _, _ in parts]
    batches = batch.split(sizes, [chunk.partition for chunk in chunks])
    return [
        DecodedChunk(chunk.topic, chunk.partition, [part] if len(part) else [], rejected, markers, len(chunk.records))
        for chunk, part, (_, markers, rejected) in zip(chunks, batches, parts, strict=True)
    ]


def _columns_of(framed: _Framed) -> tuple[Sequence[RawRecord], Sequence[bytes], Sequence[bytes]]:
    return framed.records, framed.values, framed.keys


def _plan(topic: str, schema_id: int, lookup: SchemaLookup) -> ReadingPlan | str:
    schema = lookup(schema_id)
    if schema is None:
        return f"schema id {schema_id}: the registry does not know it"
    plan = reading_plan(topic, schema)
    return f"schema id {schema_id}: {plan}" if isinstance(plan, str) else plan


def _sorted_out(records: Sequence[RawRecord]) -> tuple[dict[bytes, _Framed], list[Marker], list[Rejected]]:
    """Records by their five header bytes; what is no framed event is a marker or rejected."""
    values = [record.value for record in records]
    keys = [record.key for record in records]
    if None in values or None in keys:  # clock markers: all others are looked at together all the same
        odd = [record for record in records if record.value is None or record.key is None]
        groups, markers, rejected = _sorted_out([r for r in records if r.value is not None and r.key is not None])
        _, further, bad = _sorted_one_by_one(odd)
        return groups, markers + further, sorted(rejected + bad, key=lambda one: one.offset)
    if records:
        whole = _Framed(records, cast("list[bytes]", values), cast("list[bytes]", keys))
        heads = {value[:HEADER_BYTES] for value in whole.values}
        if len(heads) == 1 and _is_framed(whole.values[0]) and max(map(len, whole.values)) <= MAX_RECORD_BYTES:
            return {heads.pop(): whole}, [], []
    return _sorted_one_by_one(records)


def _sorted_one_by_one(records: Sequence[RawRecord]) -> tuple[dict[bytes, _Framed], list[Marker], list[Rejected]]:
    groups: dict[bytes, list[tuple[RawRecord, bytes, bytes]]] = {}
    markers: list[Marker] = []
    rejected: list[Rejected] = []
    for record in records:
        value, key = record.value, record.key
        if value is not None and key is not None and len(value) <= MAX_RECORD_BYTES and _is_framed(value):
            groups.setdefault(value[:HEADER_BYTES], []).append((record, value, key))
            continue
        odd = _odd(record)
        if isinstance(odd, Marker):
            markers.append(odd)
        else:
            rejected.append(odd)
    return {head: _Framed(*zip(*group, strict=True)) for head, group in groups.items()}, markers, rejected


def _is_framed(value: bytes) -> bool:
    return len(value) >= HEADER_BYTES and value[0] == 0


def _odd(record: RawRecord) -> Marker | Rejected:
    value = record.value
    if value is None:
        instant = next((text for name, text in record.headers if name == CLOCK_HEADER), None)
        if instant is None:
            missing: Reason = "null_key" if record.key is None else "undecodable"
            return _rejected(record, missing, f"value: null, and no header {CLOCK_HEADER}")
        if not (instant.isdigit() and len(instant) <= 15):  # 15 digits of ms reach beyond the year 30000
            return _rejected(record, "undecodable", f"header {CLOCK_HEADER}: {shortened(instant)} is not ms in digits")
        return Marker(record.offset, int(instant))
    if record.key is None:
        return _rejected(record, "null_key", "key: null, but records are keyed by customer_id")
    if len(value) > MAX_RECORD_BYTES:
        return _rejected(record, "oversize", f"value: {len(value)} bytes are more than {MAX_RECORD_BYTES}")
    begin = shortened(value[:HEADER_BYTES])
    return _rejected(record, "undecodable", f"value: {begin} is not the Confluent header, byte 0 and a schema id")


def _rejected(record: RawRecord, reason: Reason, detail: str) -> Rejected:
    return Rejected(record.offset, reason, detail, record)


def _batch(
    chunk: Chunk, framed: _Framed, plan: ReadingPlan, rules: ContractRules
) -> tuple[EventBatch | None, list[Rejected]]:
    bodies = [value[HEADER_BYTES:] for value in framed.values]
    decoded = decode_bodies(plan, bodies, columnar=rules.columnar)
    records, keys = framed.records, framed.keys
    rejected = [_rejected(records[i], "undecodable", detail) for i, detail in decoded.failures.items()]
    if rejected:
        good = [i for i in range(len(records)) if i not in decoded.failures]
        records, keys, bodies = [records[i] for i in good], [keys[i] for i in good], [bodies[i] for i in good]
    if not records:
        return None, rejected
    columns = Columns(decoded.parts, plan.defaults)
    batch, refused = _judged(chunk, _Framed(records, decoded.canonical or bodies, keys), columns, rules)
    return batch, rejected + refused


def _judged(chunk: Chunk, framed: _Framed, columns: Columns, rules: ContractRules) -> tuple[EventBatch, list[Rejected]]:
    """Columns of decoded bodies, without the rows that break the contract."""
    records = framed.records
    event, received = columns.integers("event_time"), columns.integers("received_time")
    payloads = checksums(framed.values, event, received)
    append_times = [record.timestamp for record in records]
    times = clamp(event, received, np.array(append_times, np.int64) if rules.clamp_to_append else None)
    faults = faults_of(chunk.topic, columns, times, framed.keys, rules)
    offsets = [record.offset for record in records]
    refused = [_rejected(records[i], *fault) for i, fault in faults.items()]
    if faults:
        good = [i for i in range(len(records)) if i not in faults]
        columns.keep(good)
        times = times.keep(good)
        offsets, append_times, payloads = ([column[i] for i in good] for column in (offsets, append_times, payloads))
    batch = EventBatch(
        topic=chunk.topic,
        partition=chunk.partition,
        offsets=offsets,
        append_times=append_times,
        event_id=columns.values("event_id"),
        customer_id=columns.values("customer_id"),
        event_time=times.event.tolist(),
        received_time=times.received.tolist(),
        name=columns.values("name"),
        checksums=payloads,
        misdated=times.misdated,
        load=columns.values,
        arrow=columns.array,
    )
    return batch, refused
