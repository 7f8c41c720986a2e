from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from schemas.codec import schema_of
from schemas.evolution import current, history
from schemas.reading import reading_plan
from schemas.topics import CHANNELS, INPUT_TOPICS, OUTPUT_TOPICS

ALL = pytest.mark.parametrize("topic", INPUT_TOPICS + OUTPUT_TOPICS)
INPUTS = pytest.mark.parametrize("topic", INPUT_TOPICS)


def types(schema: Any) -> Iterator[Any]:
    if isinstance(schema, list):
        for branch in schema:
            yield from types(branch)
        return
    yield schema
    if isinstance(schema, dict):
        for inner in [
            *(field["type"] for field in schema.get("fields", ())),
            schema.get("items"),
            schema.get("values"),
        ]:
            if inner is not None:
                yield from types(inner)


@ALL
def test_every_field_and_named_type_is_documented(topic: str) -> None:
    for node in types(current(topic)):
        if isinstance(node, dict) and "name" in node:
            assert node["doc"]
            assert all(field["doc"].endswith(".") for field in node.get("fields", ()))


@ALL
def test_a_field_that_may_be_null_is_null_when_it_is_missing(topic: str) -> None:
    for node in types(current(topic)):
        for field in node.get("fields", ()) if isinstance(node, dict) else ():
            if isinstance(field["type"], list):
                assert field["type"][0] == "null"
                assert field["default"] is None


@ALL
def test_the_current_schema_is_the_newest_of_its_history_or_a_new_version(topic: str) -> None:
    versions = history(topic)
    assert versions
    assert current(topic) not in versions[:-1]


@INPUTS
def test_inputs_begin_with_the_two_times_that_the_checksum_skips(topic: str) -> None:
    fields = schema_of(topic).plain["fields"]
    assert [(field["name"], field["type"]) for field in fields[:2]] == [
        ("event_time", "long"),
        ("received_time", "long"),
    ]
    assert [field["name"] for field in fields[2:11]] == [
        "event_id", "customer_id", "anonymous_id", "name", "session_id", "source", "channel", "campaign", "properties",
    ]  # fmt: skip


@INPUTS
def test_inputs_hold_only_types_the_columnar_path_reads_right(topic: str) -> None:
    kinds = {node["type"] if isinstance(node, dict) else node for node in types(schema_of(topic).plain)}
    assert kinds <= {"record", "array", "map", "enum", "string", "long", "double", "null"}
    plan = reading_plan(topic, schema_of(topic))
    assert not isinstance(plan, str)
    assert plan.columnar


def test_the_channels_are_those_of_the_contract() -> None:
    for topic in INPUT_TOPICS:
        (channel,) = [field["type"] for field in current(topic)["fields"] if field["name"] == "channel"]
        assert tuple(channel["symbols"]) == CHANNELS
        assert channel["default"] == "other"
