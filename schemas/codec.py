"""The Confluent wire format (0x00, schema id as int32 big endian, Avro body) and the schemas it frames.

Times cross as plain longs: turning them into datetimes costs as much as the rest of a record. Logical types are
therefore dropped from the parsed form; the registered definition keeps them.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, TypeVar

import fastavro
import msgspec

from schemas.results import DeadLetter, ModelSnapshot, ProfileUpdate, SegmentChange, TrainingExample
from schemas.topics import DEAD_LETTERS, MODELS, PROFILES, SEGMENT_CHANGES, TRAINING_EXAMPLES
from schemas.writing import change_record, example_record, update_record

HEADER_BYTES: Final = 5
_HEADER: Final = struct.Struct(">bI")
_IGNORED: Final = frozenset({"doc", "logicalType"})
_T = TypeVar("_T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, eq=False)
class ParsedSchema:
    """One Avro schema in the forms decoding needs; equal only to itself, so it can be a cache's key."""

    definition: dict[str, Any]
    """As registered."""
    plain: dict[str, Any]
    """Without documentation and logical types."""
    text: str
    """`plain` as JSON: the columnar decoder's form."""
    parsed: Any
    """`plain` as fastavro parsed it."""

    @property
    def fullname(self) -> str:
        """Namespace and name, e.g. `footfall.events.PurchaseEvent`."""
        return str(self.parsed["name"])


def framed(schema_id: int, body: bytes) -> bytes:
    """An Avro body under its Confluent header."""
    return _HEADER.pack(0, schema_id) + body


def schema_id_of(value: bytes) -> int | None:
    """The schema id of a framed value; None when it is not Confluent-framed."""
    if len(value) < HEADER_BYTES or value[0] != 0:
        return None
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def parse(definition: str | Mapping[str, Any]) -> ParsedSchema:
    """Parse a record schema. Raises ValueError when it is not one."""
    document = json.loads(definition) if isinstance(definition, str) else dict(definition)
    if not isinstance(document, dict) or document.get("type") != "record" or "fields" not in document:
        raise ValueError("the schema is not an Avro record")
    plain = _plain(document)
    try:
        parsed = fastavro.parse_schema(plain, named_schemas={})
    except Exception as error:
        raise ValueError(f"the schema is not valid Avro: {error}") from error
    return ParsedSchema(document, plain, json.dumps(plain), parsed)


@cache
def schema_of(topic: str) -> ParsedSchema:
    """The schema this release writes to a topic, and reads it with. Raises KeyError for an unknown topic."""
    file = resources.files("schemas") / "avro" / f"{topic}.avsc"
    if not file.is_file():
        raise KeyError(f"no schema for topic {topic!r}")
    return parse(file.read_text(encoding="utf-8"))


def encode_body(schema: ParsedSchema, record: Mapping[str, Any]) -> bytes:
    """The Avro body of a record; absent fields get their defaults. Raises ValueError or TypeError on a misfit."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema.parsed, record)
    return buffer.getvalue()


def decode_body(schema: ParsedSchema, body: bytes, reader: ParsedSchema | None = None) -> dict[str, Any]:
    """One Avro body as a dict, resolved to `reader` where given. Raises what fastavro raises on bad bytes."""
    record: dict[str, Any] = fastavro.schemaless_reader(
        io.BytesIO(body), schema.parsed, reader.parsed if reader is not None else None
    )
    return record


class Encoder:
    """Frames records of one topic under its registered schema id."""

    def __init__(self, topic: str, schema_id: int) -> None:
        self.schema = schema_of(topic)
        self._header = _HEADER.pack(0, schema_id)

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """The framed record; absent fields get their defaults. Raises ValueError or TypeError when it does not fit."""
        return self._header + encode_body(self.schema, record)


def decode_one(value: bytes, lookup: Callable[[int], ParsedSchema | None], reader: ParsedSchema) -> dict[str, Any]:
    """One framed record as a dict in the reader's shape.

    Raises ValueError when the value is not Confluent-framed or its schema is unknown, and what fastavro raises
    when the body does not fit.
    """
    schema_id = schema_id_of(value)
    if schema_id is None:
        raise ValueError("not Confluent-framed: the first byte is not 0, or fewer than 5 bytes")
    writer = lookup(schema_id)
    if writer is None:
        raise ValueError(f"schema id {schema_id} is unknown to the registry")
    return decode_body(writer, value[HEADER_BYTES:], None if writer.text == reader.text else reader)


class OutputCodec:
    """Encodes and decodes the result types; `ids` maps output topics to their registered schema ids."""

    def __init__(self, ids: Mapping[str, int], lookup: Callable[[int], ParsedSchema | None] | None = None) -> None:
        self._headers = {topic: _HEADER.pack(0, schema_id) for topic, schema_id in ids.items()}
        own = {schema_id: schema_of(topic) for topic, schema_id in ids.items()}
        self._lookup = lookup or own.get

    def encode_change(self, change: SegmentChange) -> bytes:
        """The framed record of `segment-changes`."""
        return change_record(self._headers[SEGMENT_CHANGES], change)

    def encode_training_example(self, example: TrainingExample) -> bytes:
        """The framed record of `training-examples`."""
        return example_record(self._headers[TRAINING_EXAMPLES], example)

    def encode_profile_update(self, update: ProfileUpdate) -> bytes:
        """The framed record of `profiles`."""
        return update_record(self._headers[PROFILES], update)

    def encode_model(self, snapshot: ModelSnapshot) -> bytes:
        """The framed record of `models`."""
        record = msgspec.structs.asdict(snapshot) | {"payload": snapshot.payload.decode()}
        return self._headers[MODELS] + encode_body(schema_of(MODELS), record)

    def encode_dead_letter(self, letter: DeadLetter) -> bytes:
        """The framed record of `dead-letters`."""
        headers = [{"key": key, "value": value} for key, value in letter.headers]
        record = msgspec.structs.asdict(letter) | {"headers": headers}
        return self._headers[DEAD_LETTERS] + encode_body(schema_of(DEAD_LETTERS), record)

    def decode_change(self, value: bytes) -> SegmentChange:
        """A record of `segment-changes`. Raises ValueError and what fastavro raises on bad bytes."""
        return self._decode(SEGMENT_CHANGES, value, SegmentChange)

    def decode_training_example(self, value: bytes) -> TrainingExample:
        """A record of `training-examples`. Raises ValueError and what fastavro raises on bad bytes."""
        return self._decode(TRAINING_EXAMPLES, value, TrainingExample)

    def decode_profile_update(self, value: bytes) -> ProfileUpdate:
        """A record of `profiles`. Raises ValueError and what fastavro raises on bad bytes."""
        record = self._record(PROFILES, value)
        return ProfileUpdate(**(record | {"traits": record["traits"].encode()}))

    def decode_model(self, value: bytes) -> ModelSnapshot:
        """A record of `models`. Raises ValueError and what fastavro raises on bad bytes."""
        record = self._record(MODELS, value)
        return ModelSnapshot(**(record | {"payload": record["payload"].encode()}))

    def decode_dead_letter(self, value: bytes) -> DeadLetter:
        """A record of `dead-letters`. Raises ValueError and what fastavro raises on bad bytes."""
        record = self._record(DEAD_LETTERS, value)
        headers = [(header["key"], header["value"]) for header in record["headers"]]
        return DeadLetter(**(record | {"headers": headers}))

    def _decode(self, topic: str, value: bytes, result: type[_T]) -> _T:
        return result(**self._record(topic, value))

    def _record(self, topic: str, value: bytes) -> dict[str, Any]:
        return decode_one(value, self._lookup, schema_of(topic))


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value if key == "default" else _plain(value) for key, value in node.items() if key not in _IGNORED}
    simple = set(kept) == {"type"} and isinstance(kept["type"], str)
    return kept["type"] if simple else kept
