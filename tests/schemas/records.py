"""Builders of this package's tests: records, chunks and a registry in a dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.codec import Encoder, ParsedSchema, encode_body, framed, parse, schema_of
from schemas.decode import decode_chunk
from schemas.events import Chunk, DecodedChunk
from schemas.topics import EVENT_NAMES, INPUT_TOPICS
from schemas.validation import ContractRules

NOW: Final = 1_717_632_000_000
IDS: Final = {topic: number for number, topic in enumerate(INPUT_TOPICS, start=1)}
REGISTRY: Final[dict[int, ParsedSchema]] = {number: parse(schema_of(topic).definition) for topic, number in IDS.items()}
RULES: Final = ContractRules()
ROWS: Final = ContractRules(columnar=False)


@dataclass(frozen=True, slots=True)
class Record:
    offset: int = 0
    timestamp: int = NOW
    key: bytes | None = b"customer-17"
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


def event(topic: str = "clickstream", **fields: Any) -> dict[str, Any]:
    envelope = {
        "event_time": NOW - 1_500,
        "received_time": NOW,
        "event_id": "e-1",
        "customer_id": "customer-17",
        "name": EVENT_NAMES[topic][0],
        "source": "test",
    }
    own: dict[str, Any] = {"order_id": "o-1", "currency": "USD", "revenue": 100} if topic == "purchase" else {}
    if topic == "feedback":
        own = {"survey": "nps", "score": 9}
    return envelope | own | fields


def encoded(topic: str, fields: Mapping[str, Any]) -> bytes:
    return Encoder(topic, IDS[topic]).encode(fields)


def record(topic: str = "clickstream", offset: int = 0, **fields: Any) -> Record:
    filled = event(topic, **fields)
    return Record(offset=offset, key=filled["customer_id"].encode(), value=encoded(topic, filled))


def chunk(records: Sequence[Record], topic: str = "clickstream") -> Chunk:
    return Chunk(topic, 3, 0, len(records), 1, records)


def decoded(records: Sequence[Record], topic: str = "clickstream", rules: ContractRules = RULES) -> DecodedChunk:
    return decode_chunk(chunk(records, topic), REGISTRY.get, rules)


def under(schema_id: int, definition: Mapping[str, Any], fields: Mapping[str, Any]) -> bytes:
    """A record framed under another schema than ours."""
    return framed(schema_id, encode_body(parse(definition), fields))


def picture(result: DecodedChunk, topic: str) -> Any:
    """Everything a decoded chunk says, comparable."""
    names = [field["name"] for field in schema_of(topic).plain["fields"]]
    batches = [
        (
            batch.offsets,
            batch.append_times,
            batch.event_time,
            batch.received_time,
            batch.checksums,
            batch.misdated,
            {name: batch.column(name) for name in names},
        )
        for batch in result.batches
    ]
    rejected = [(bad.offset, bad.reason, bad.detail) for bad in result.rejected]
    return batches, rejected, result.markers, result.received
