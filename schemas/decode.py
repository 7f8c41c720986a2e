"""From the records of a chunk to columns: decode, judge, and put every record into exactly one place.

The hot path is columnar (Avro to Arrow in one call). Where that call refuses a chunk, the chunk is halved until the
bad record's neighbourhood is small, and fastavro reads those few row by row and finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from schemas.bodies import checksums, decode_bodies
from schemas.codec import HEADER_BYTES, ParsedSchema
from schemas.columns import Columns
from schemas.events import Chunk, DecodedChunk, EventBatch, Marker, RawRecord, Reason, Rejected
from schemas.reading import ReadingPlan, reading_plan
from schemas.topics import CLOCK_HEADER, MAX_RECORD_BYTES
from schemas.validation import ContractRules, clamp, faults_of, shortened

SchemaLookup = Callable[[int], ParsedSchema | None]
"""Schema id -> schema; None when the registry does not know it. Raises UnreachableError when the registry is down."""


def decode_chunk(chunk: Chunk, lookup: SchemaLookup, rules: ContractRules) -> DecodedChunk:
    """All records of a chunk, each once: in a batch (one per schema id), rejected, or as a clock marker.

    Raises UnreachableError when the registry is down: that is transient, not the record's fault.
    """
    groups, markers, rejected = _sorted_out(chunk.records)
    batches: list[EventBatch] = []
    for head, records in groups.items():
        schema_id = int.from_bytes(head[1:], "big")
        schema = lookup(schema_id)
        if schema is None:
            plan: ReadingPlan | str = f"the registry does not know schema id {schema_id}"
        else:
            plan = reading_plan(chunk.topic, schema)
        if isinstance(plan, str):
            rejected += [_rejected(record, "unknown_schema", f"schema id {schema_id}: {plan}") for record in records]
            continue
        batch = _batch(chunk, records, plan, rules, rejected)
        if batch is not None and len(batch):
            batches.append(batch)
    rejected.sort(key=lambda bad: bad.offset)
    return DecodedChunk(chunk.topic, chunk.partition, batches, rejected, markers, len(chunk.records))


def _sorted_out(
    records: Sequence[RawRecord],
) -> tuple[dict[bytes, Sequence[RawRecord]], list[Marker], list[Rejected]]:
    """Records by their five header bytes; what is no framed event is a marker or rejected."""
    heads = [_head(record) for record in records]
    if len(set(heads)) == 1 and heads[0]:
        return {heads[0]: records}, [], []
    groups: dict[bytes, list[RawRecord]] = {}
    markers: list[Marker] = []
    rejected: list[Rejected] = []
    for head, record in zip(heads, records, strict=True):
        if head:
            groups.setdefault(head, []).append(record)
            continue
        odd = _odd(record)
        if isinstance(odd, Marker):
            markers.append(odd)
        else:
            rejected.append(odd)
    return dict(groups), markers, rejected


def _head(record: RawRecord) -> bytes:
    """The five header bytes of a framed event; empty for everything else."""
    value = record.value
    if value is None or record.key is None or not HEADER_BYTES <= len(value) <= MAX_RECORD_BYTES or value[0]:
        return b""
    return value[:HEADER_BYTES]


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
    chunk: Chunk, records: Sequence[RawRecord], plan: ReadingPlan, rules: ContractRules, rejected: list[Rejected]
) -> EventBatch | None:
    bodies = [record.value[HEADER_BYTES:] for record in records if record.value is not None]
    decoded = decode_bodies(plan, bodies, columnar=rules.columnar)
    if decoded.failures:
        rejected += [_rejected(records[i], "undecodable", detail) for i, detail in decoded.failures.items()]
        good = [i for i in range(len(records)) if i not in decoded.failures]
        records, bodies = [records[i] for i in good], [bodies[i] for i in good]
    if not records:
        return None
    columns = Columns(decoded.parts, plan.defaults)
    batch, refused = _judged(chunk, records, decoded.canonical or bodies, columns, rules)
    rejected += refused
    return batch


def _judged(
    chunk: Chunk,
    records: Sequence[RawRecord],
    bodies: list[bytes],
    columns: Columns,
    rules: ContractRules,
) -> tuple[EventBatch, list[Rejected]]:
    event, received = columns.integers("event_time"), columns.integers("received_time")
    payloads = checksums(bodies, event, received)
    append_times = [record.timestamp for record in records]
    times = clamp(event, received, np.array(append_times, np.int64) if rules.clamp_to_append else None)
    faults = faults_of(chunk.topic, columns, times, [record.key for record in records], rules)
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
        clamped=int(times.clamped.sum()),
        load=columns.values,
    )
    return batch, refused
