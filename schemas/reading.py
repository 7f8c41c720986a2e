"""How records of one writer's schema are read into the columns of this release's schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyruhvro

from schemas.codec import ParsedSchema, schema_of
from schemas.evolution import incompatibilities

_COLUMNAR: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "string"})
_TIMES: Final = ("event_time", "received_time")


@dataclass(frozen=True, slots=True, eq=False)
class ReadingPlan:
    """What a chunk of one schema id needs to become columns."""

    writer: ParsedSchema
    reader: ParsedSchema
    arrow: Any
    """Arrow schema of the decoded columns: the reader's, less those in `defaults`."""
    columnar: bool
    """False: other shape than the reader's, so that only row by row resolution reads it right."""
    defaults: dict[str, Any]
    """Columns the writer's schema lacks, with what they stand for; empty where rows are resolved one by one."""
    leading_times: bool
    """The writer's first two fields are event_time and received_time."""
    maps: tuple[str, ...]

    @property
    def resolved(self) -> ParsedSchema | None:
        """The reader's schema for a row decoder; None when both are the same."""
        return None if self.writer.text == self.reader.text else self.reader


@lru_cache(maxsize=1024)
def reading_plan(topic: str, writer: ParsedSchema) -> ReadingPlan | str:
    """The plan for a writer's schema on an input topic; the reason as a sentence when it may not stand there."""
    reader = schema_of(topic)
    refusal = _refusal(reader, writer)
    if refusal:
        return refusal
    types = {field["name"]: field["type"] for field in writer.plain["fields"]}
    fields = reader.plain["fields"]
    leading_times = _starts_with_times(writer)
    columnar = leading_times and _same_shape(fields, types) and _supported(writer.plain)
    defaults = {field["name"]: field["default"] for field in fields if columnar and field["name"] not in types}
    arrow = pyruhvro.avro_to_arrow_schema(reader.text)
    return ReadingPlan(
        writer=writer,
        reader=reader,
        arrow=pa.schema([column for column in arrow if column.name not in defaults]),
        columnar=columnar,
        defaults=defaults,
        leading_times=leading_times,
        maps=tuple(field["name"] for field in fields if field["name"] not in defaults and _is_map(field["type"])),
    )


def _refusal(reader: ParsedSchema, writer: ParsedSchema) -> str | None:
    if writer.fullname != reader.fullname and writer.fullname not in reader.plain.get("aliases", ()):
        return f"the schema is {writer.fullname}, this topic carries {reader.fullname}"
    if any(_is_bomb(node) for node in _nodes(writer.plain)):
        return "the schema has an array whose items take no bytes: four bytes could ask for millions of items"
    if _is_recursive(writer.parsed, frozenset()):
        return (
            "the schema is recursive: a deeply nested record would overflow the row decoder's stack and kill the worker"
        )
    faults = incompatibilities(reader.plain, writer.plain)
    return f"this release cannot read the schema: {faults[0]}" if faults else None


def _same_shape(fields: list[dict[str, Any]], types: dict[str, Any]) -> bool:
    """Every reader field is in the writer's schema with the very type, or has a default and no alias to look under."""
    return all(
        types[field["name"]] == field["type"] if field["name"] in types else not field.get("aliases")
        for field in fields
    )


def _starts_with_times(writer: ParsedSchema) -> bool:
    leading = writer.plain["fields"][: len(_TIMES)]
    return tuple(field["name"] for field in leading) == _TIMES and all(field["type"] == "long" for field in leading)


def _supported(schema: dict[str, Any]) -> bool:
    """Without bytes, fixed, decimal, uuid and recursive types: on those the columnar decoder panics."""
    named = {node["type"] for node in _nodes(schema) if isinstance(node, dict)}
    primitive = {node for node in _nodes(schema) if isinstance(node, str)}
    return primitive <= _COLUMNAR and "fixed" not in named


def _nodes(schema: Any) -> Iterator[Any]:
    """Every type inside a schema: primitive or referred names as strings, the others as dicts."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _nodes(branch)
        return
    yield schema
    if not isinstance(schema, dict):
        return
    for field in schema.get("fields", ()):
        yield from _nodes(field["type"])
    for inner in ("items", "values"):
        if inner in schema:
            yield from _nodes(schema[inner])
    if isinstance(schema["type"], dict | list):
        yield from _nodes(schema["type"])


def _is_bomb(node: Any) -> bool:
    if not isinstance(node, dict) or node.get("type") != "array":
        return False
    items = node["items"]
    return items == "null" or (isinstance(items, dict) and _takes_no_bytes(items))


def _is_recursive(node: Any, enclosing: frozenset[str]) -> bool:
    """Whether a type stands inside itself; names are full, as fastavro's parser leaves them."""
    if isinstance(node, list):
        return any(_is_recursive(branch, enclosing) for branch in node)
    if not isinstance(node, dict):
        return node in enclosing
    inside = enclosing | {node["name"]} if "name" in node else enclosing
    inner = [field["type"] for field in node.get("fields", ())]
    inner += [node[key] for key in ("items", "values") if key in node]
    return any(_is_recursive(child, inside) for child in inner)


def _takes_no_bytes(node: Any) -> bool:
    if node == "null":
        return True
    if not isinstance(node, dict):
        return False
    if node.get("type") == "fixed":
        return bool(node.get("size") == 0)
    return node.get("type") == "record" and all(_takes_no_bytes(field["type"]) for field in node["fields"])


def _is_map(node: Any) -> bool:
    return isinstance(node, dict) and node.get("type") == "map"
