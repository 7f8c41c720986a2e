"""Whether one schema version can read what another wrote, and the check of every current schema against its history.

The resolution rules themselves are Apache Avro's own (`avro.compatibility`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import Schema
from avro.schema import parse as parse_avro

from schemas.errors import ConfigurationError
from schemas.topics import INPUT_TOPICS, OUTPUT_TOPICS

LEVELS: Final = (
    "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE",
)  # fmt: skip
"""The registry's compatibility levels: BACKWARD = the new schema reads old data, FORWARD = the old one reads new."""

LEVEL_OF: Final[dict[str, str]] = {
    **dict.fromkeys(INPUT_TOPICS, "BACKWARD_TRANSITIVE"),
    **dict.fromkeys(OUTPUT_TOPICS, "FULL_TRANSITIVE"),
}
"""Inputs are read by us alone, so readers move first; outputs have readers we do not know."""

Definition = Mapping[str, Any] | str | Sequence[Any]


def incompatibilities(reader: Definition, writer: Definition) -> list[str]:
    """Why `reader` cannot read everything `writer` may write; empty when it can. Raises ValueError on a bad schema."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(_parsed(reader), _parsed(writer))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    places = ", ".join(sorted(place for place in result.locations if place != "/")) or "/"
    return [f"{message} (at {places})" for message in sorted(result.messages)]


def check(new: Definition, earlier: Sequence[Definition], level: str) -> list[str]:
    """Why `new` may not follow `earlier` (oldest first) under a compatibility level; empty when it may.

    Raises ValueError on an unknown level or a schema that is not Avro.
    """
    if level not in LEVELS:
        raise ValueError(f"compatibility level {level!r} is none of {', '.join(LEVELS)}")
    _parsed(new)
    direction, _, transitive = level.partition("_")
    against = earlier if transitive else earlier[-1:]
    first = 1 if transitive else len(earlier)
    faults: list[str] = []
    for version, old in enumerate(against, start=first):
        if direction in {"BACKWARD", "FULL"}:
            faults += [f"cannot read version {version}: {fault}" for fault in incompatibilities(new, old)]
        if direction in {"FORWARD", "FULL"}:
            faults += [f"version {version} cannot read it: {fault}" for fault in incompatibilities(old, new)]
    return faults


def current(topic: str) -> dict[str, Any]:
    """The definition this release writes to a topic."""
    return _read(resources.files("schemas") / "avro" / f"{topic}.avsc")


def history(topic: str) -> list[dict[str, Any]]:
    """Every published version of a topic's schema, oldest first."""
    folder = resources.files("schemas") / "avro" / "history" / topic
    versions = {int(file.name[1:].partition(".")[0]): file for file in folder.iterdir() if file.name.endswith(".avsc")}
    return [_read(versions[number]) for number in sorted(versions)]


def check_all() -> list[str]:
    """Every fault of a current schema against its whole history, `<topic>: <fault>`; empty when all may be released."""
    return [
        f"{topic}: {fault}"
        for topic, level in LEVEL_OF.items()
        for fault in check(current(topic), history(topic), level)
    ]


def _parsed(definition: Definition) -> Schema:
    text = definition if isinstance(definition, str) else json.dumps(definition)
    try:
        return parse_avro(text)
    except (AvroException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the schema is not valid Avro: {error}") from error


def _read(file: Any) -> dict[str, Any]:
    try:
        definition: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{file} is not JSON: {error}") from error
    return definition
