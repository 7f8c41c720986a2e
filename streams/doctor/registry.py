"""The schema registry: whether it answers, and whether it takes our schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka.schema_registry import Schema
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.errors import UnreachableError
from schemas.evolution import current
from streams.doctor.finding import Finding, listed

_NOT_FOUND: Final = 404
_SERVER_FAULT: Final = 500


def check_registry(client: Any, address: str, levels: Mapping[str, str]) -> list[Finding]:
    """Whether it answers, and for every topic whether our schema is registered or may be; registers nothing.

    Raises:
        UnreachableError: the registry does not answer.

    """
    try:
        return [Finding("registry", "ok", f"answers at {address}, {len(client.get_subjects())} subjects"),
                _judged(client, levels)]  # fmt: skip
    except SchemaRegistryError as error:
        if error.http_status_code >= _SERVER_FAULT:
            raise _unreachable(address, error) from error
        remedy = "check FOOTFALL_REGISTRY__USERNAME and FOOTFALL_REGISTRY__PASSWORD"
        return [Finding("registry", "problem", f"refuses at {address}: {error.error_message}", remedy)]
    except Exception as error:
        raise _unreachable(address, error) from error


def _judged(client: Any, levels: Mapping[str, str]) -> Finding:
    states = {topic: _state(client, topic) for topic in levels}
    refused = [topic for topic, state in states.items() if state == "incompatible"]
    if refused:
        remedy = "`footfall schemas check` compares them with their history; run the release that wrote the newest ones"
        return Finding("schemas", "problem", f"incompatible with what is registered: {listed(refused)}", remedy)
    loose = [f"{topic} is {level}" for topic, level in _other_levels(client, levels, states).items()]
    if loose:
        return Finding("schemas", "warning", f"compatibility: {listed(loose)}", "run `footfall schemas register`")
    new = [topic for topic, state in states.items() if state != "registered"]
    if new:
        return Finding("schemas", "warning", f"not registered yet: {listed(new)}", "run `footfall schemas register`")
    return Finding("schemas", "ok", f"all {len(levels)} are registered at their compatibility level")


def _state(client: Any, topic: str) -> str:
    subject, schema = f"{topic}-value", Schema(json.dumps(current(topic)), "AVRO")
    try:
        client.lookup_schema(subject, schema)
    except SchemaRegistryError as error:
        if error.http_status_code != _NOT_FOUND:
            raise
    else:
        return "registered"
    try:
        return "compatible" if client.test_compatibility(subject, schema) else "incompatible"
    except SchemaRegistryError as error:
        if error.http_status_code != _NOT_FOUND:
            raise
        return "unknown"


def _other_levels(client: Any, levels: Mapping[str, str], states: Mapping[str, str]) -> dict[str, str]:
    """Registered subjects whose compatibility level is not ours."""
    found = {topic: _level(client, topic) for topic, state in states.items() if state == "registered"}
    return {topic: level for topic, level in found.items() if level != levels[topic]}


def _level(client: Any, topic: str) -> str:
    try:
        return str(client.get_compatibility(f"{topic}-value"))
    except SchemaRegistryError as error:
        if error.http_status_code != _NOT_FOUND:
            raise
        return "the registry's default"


def _unreachable(address: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"The schema registry does not answer at {address} ({type(error).__name__}): check FOOTFALL_REGISTRY__URL."
    )
