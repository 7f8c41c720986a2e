"""Records as Kafka brings them, for tests of the warehouse: only the field under test is spelled out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.codec import ParsedSchema, encode_body, framed, schema_of
from schemas.decode import decode_chunk
from schemas.events import Chunk, EventBatch
from schemas.topics import INPUT_TOPICS, OUTPUT_TOPICS
from schemas.validation import ContractRules

NOON = 1_714_564_800_000
"""2024-05-01 12:00 UTC."""
HOUR = 3_600_000
DAY = 24 * HOUR

IDS = {topic: number for number, topic in enumerate((*INPUT_TOPICS, *OUTPUT_TOPICS), start=1)}
_SCHEMAS = {number: schema_of(topic) for topic, number in IDS.items()}

_NAMES = {
    "clickstream": "page_viewed",
    "purchase": "order_completed",
    "app": "app_opened",
    "social": "liked",
    "feedback": "complaint_opened",
    "identity": "identified",
}


@dataclass(frozen=True, slots=True)
class Record:
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = NOON
    headers: Sequence[tuple[str, bytes]] = ()


def lookup(schema_id: int) -> ParsedSchema | None:
    return _SCHEMAS.get(schema_id)


def event(topic: str, offset: int, customer_id: str = "ada", /, **fields: Any) -> Record:
    """A valid event; its id is `<topic>-<offset>` unless given."""
    moment = fields.get("event_time", NOON)
    record = {
        "event_id": f"{topic}-{offset}",
        "customer_id": customer_id,
        "event_time": moment,
        "received_time": moment,
        "name": _NAMES[topic],
        "source": "test",
        "channel": "web",
    } | fields
    if topic == "purchase":
        record = {"order_id": f"o{offset}", "currency": "USD", "revenue": 1_250} | record
    value = framed(IDS[topic], encode_body(schema_of(topic), record))
    return Record(offset, str(record["customer_id"]).encode(), value)


def chunk(topic: str, records: Sequence[Any], partition: int = 0, poll: int = 1) -> Chunk:
    return Chunk(topic, partition, records[0].offset, records[-1].offset + 1, 1, records, poll)


def batch(topic: str, records: Sequence[Record], partition: int = 0) -> EventBatch:
    """The one batch that valid records of one topic-partition become."""
    decoded = decode_chunk(chunk(topic, records, partition), lookup, ContractRules())
    assert not decoded.rejected, decoded.rejected
    return decoded.batches[0]
