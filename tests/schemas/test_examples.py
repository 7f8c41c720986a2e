from __future__ import annotations

import json
import math
from importlib import resources
from typing import Any

import pytest

from schemas.codec import decode_body, encode_body, schema_of
from schemas.topics import DEAD_LETTERS, EVENT_NAMES, INPUT_TOPICS, OUTPUT_TOPICS
from tests.schemas.records import ROWS, RULES, Record, decoded, encoded

Example = dict[str, Any]
BOTH = (RULES, ROWS)
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf}


def examples(kind: str, topics: tuple[str, ...]) -> list[Any]:
    found = []
    for topic in topics:
        files = sorted((resources.files("schemas") / "examples" / topic).iterdir(), key=lambda file: file.name)
        chosen = [file for file in files if file.name.startswith(kind)]
        assert chosen, f"no {kind} example of {topic}"
        found += [
            pytest.param(topic, json.loads(file.read_text("utf-8")), id=f"{topic}/{file.name}") for file in chosen
        ]
    return found


def record_of(topic: str, example: Example) -> Record:
    fields = {name: _NUMBERS.get(str(value), value) for name, value in example["record"].items()}
    key = example.get("key", fields["customer_id"])
    return Record(key=None if key is None else key.encode(), value=encoded(topic, fields))


@pytest.mark.parametrize(("topic", "example"), examples("good", INPUT_TOPICS))
def test_a_good_event_is_accepted_with_its_values_on_both_paths(topic: str, example: Example) -> None:
    for rules in BOTH:
        result = decoded([record_of(topic, example)], topic, rules)
        assert result.rejected == []
        batch = result.batches[0]
        for name, value in example["record"].items():
            assert batch.column(name) == [value]
        assert batch.name[0] in EVENT_NAMES[topic]


@pytest.mark.parametrize(("topic", "example"), examples("bad", INPUT_TOPICS))
def test_a_bad_event_is_rejected_for_the_stated_reason_on_both_paths(topic: str, example: Example) -> None:
    for rules in BOTH:
        result = decoded([record_of(topic, example)], topic, rules)
        assert [(bad.reason, bool(bad.detail)) for bad in result.rejected] == [(example["reason"], True)]
        assert result.batches == []


def output_record(topic: str, example: Example) -> Example:
    record: Example = dict(example["record"])
    if topic == DEAD_LETTERS:
        record |= {name: record[name].encode() for name in ("key", "value") if record[name] is not None}
        record["headers"] = [header | {"value": header["value"].encode()} for header in record["headers"]]
    return record


@pytest.mark.parametrize(("topic", "example"), examples("good", OUTPUT_TOPICS))
def test_a_good_output_round_trips(topic: str, example: Example) -> None:
    record = output_record(topic, example)
    assert decode_body(schema_of(topic), encode_body(schema_of(topic), record)) == record


@pytest.mark.parametrize(("topic", "example"), examples("bad", OUTPUT_TOPICS))
def test_a_bad_output_is_not_encoded(topic: str, example: Example) -> None:
    assert example["reason"] == "unencodable"
    with pytest.raises((ValueError, TypeError, AttributeError)):
        encode_body(schema_of(topic), output_record(topic, example))
