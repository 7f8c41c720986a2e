"""How every Python peer decodes an event: fastavro, as its users would, and nothing of Footfall."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from fastavro import parse_schema, schemaless_reader

HEADER_BYTES: Final = 5
"""One zero byte and four of the schema's id: a topic has one schema, so nobody asks for it by its id."""

Decode = Callable[[str, bytes], dict[str, Any]]
"""Topic and value -> the event."""


def plain(schema: Any) -> Any:
    """A schema without logical types: a time stays the long that the job calculates with, not a datetime."""
    if isinstance(schema, list):
        return [plain(branch) for branch in schema]
    if isinstance(schema, dict):
        return {name: plain(part) for name, part in schema.items() if name != "logicalType"}
    return schema


def decoder(schemas: Mapping[str, str]) -> Decode:
    """The decoder of all topics; `schemas`: topic -> path of its .avsc."""
    parsed = {topic: _parsed(Path(path)) for topic, path in schemas.items()}

    def decode(topic: str, value: bytes) -> dict[str, Any]:
        event: Any = schemaless_reader(BytesIO(value[HEADER_BYTES:]), parsed[topic])
        return event  # type: ignore[no-any-return]

    return decode


def _parsed(path: Path) -> Any:
    return parse_schema(plain(json.loads(path.read_text(encoding="utf-8"))))
