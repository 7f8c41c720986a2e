from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.bodies import decode_bodies
from schemas.codec import encode_body, schema_of
from schemas.columns import Columns
from schemas.reading import ReadingPlan, reading_plan
from schemas.topics import INPUT_TOPICS
from tests.schemas.records import IDS, REGISTRY, ROWS, Record, decoded, encoded, event, picture, record
from tests.schemas.strategies import anything, valid_events

LAW = settings(max_examples=25, deadline=None)
topics = pytest.mark.parametrize("topic", INPUT_TOPICS)


def plan_of(topic: str) -> ReadingPlan:
    plan = reading_plan(topic, REGISTRY[IDS[topic]])
    assert isinstance(plan, ReadingPlan)
    return plan


def comparable(value: Any) -> Any:
    """The value with NaN as text, because NaN differs from itself, and -0.0 told from 0.0."""
    if isinstance(value, dict):
        return {name: comparable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    return repr(value) if isinstance(value, float) else value


def columns_of(topic: str, bodies: list[bytes], *, columnar: bool) -> tuple[dict[str, list[Any]], set[int]]:
    plan = plan_of(topic)
    out = decode_bodies(plan, bodies, columnar=columnar)
    columns = Columns(out.parts, plan.defaults)
    names = [field["name"] for field in plan.reader.plain["fields"]] if out.parts else []
    return {name: columns.values(name) for name in names}, set(out.failures)


@topics
@LAW
@given(data=st.data())
def test_both_paths_read_what_was_written(topic: str, data: st.DataObject) -> None:
    written = data.draw(st.lists(anything(schema_of(topic).plain), min_size=1, max_size=4))
    bodies = [encode_body(schema_of(topic), row) for row in written]
    wanted = {name: [row[name] for row in written] for name in written[0]}
    for columnar in (True, False):
        columns, failures = columns_of(topic, bodies, columnar=columnar)
        assert comparable(columns) == comparable(wanted)
        assert not failures


@topics
@LAW
@given(data=st.data())
def test_valid_events_are_all_accepted_and_both_paths_agree(topic: str, data: st.DataObject) -> None:
    events = data.draw(st.lists(valid_events(topic), min_size=1, max_size=6))
    records = [
        Record(offset=i, key=event["customer_id"].encode(), value=encoded(topic, event))
        for i, event in enumerate(events)
    ]
    columnar, rows = decoded(records, topic), decoded(records, topic, ROWS)
    assert columnar.rejected == []
    assert columnar.batches[0].column("properties") == [event["properties"] for event in events]
    assert picture(columnar, topic) == picture(rows, topic)


@st.composite
def mutations(draw: st.DrawFn) -> tuple[int, bytes, int]:
    """Where to cut, what to put there, how much to drop."""
    return draw(st.integers(0, 120)), draw(st.binary(max_size=6)), draw(st.integers(0, 12))


@topics
@settings(max_examples=60, deadline=None)
@given(changes=st.lists(mutations(), min_size=1, max_size=20))
@example(changes=[(8, b"\xff" * 6, 6)] * 20)
def test_both_paths_agree_on_damaged_bytes_and_keep_every_record_once(
    topic: str, changes: list[tuple[int, bytes, int]]
) -> None:
    records: list[Record] = []
    for i, (at, inserted, dropped) in enumerate(changes):
        whole = record(topic, offset=2 * i, properties={"a": "b"}, campaign={"source": "x"})
        value = whole.value or b""
        records += [whole, Record(offset=2 * i + 1, value=value[:at] + inserted + value[at + dropped :])]
    columnar, rows = decoded(records, topic), decoded(records, topic, ROWS)
    assert picture(columnar, topic) == picture(rows, topic)
    seen = [offset for batch in columnar.batches for offset in batch.offsets]
    seen += [bad.offset for bad in columnar.rejected] + [marker.offset for marker in columnar.markers]
    assert sorted(seen) == [record.offset for record in records]
    assert set(range(0, 2 * len(changes), 2)) <= set(seen) - {bad.offset for bad in columnar.rejected}


@topics
def test_every_truncation_of_a_record_is_undecodable_on_both_paths(topic: str) -> None:
    whole = encoded(topic, event(topic, properties={"a": "b"}, campaign={"source": "x"}))
    records = [Record(offset=size, value=whole[:size]) for size in range(5, len(whole))]
    for rules in (ROWS, None):
        result = decoded(records, topic, rules) if rules else decoded(records, topic)
        assert {bad.reason for bad in result.rejected} == {"undecodable"}
        assert len(result.rejected) == len(records)


@topics
@LAW
@given(tail=st.binary(min_size=1, max_size=30))
def test_trailing_bytes_are_ignored_on_both_paths(topic: str, tail: bytes) -> None:
    value = encoded(topic, event(topic)) + tail
    for rules in (ROWS, None):
        records = [Record(value=value)]
        result = decoded(records, topic, rules) if rules else decoded(records, topic)
        assert result.batches[0].event_id == ["e-1"]


@pytest.mark.parametrize("bomb", [2**40, 2**60, 2**62, -(2**40)])
def test_absurd_lengths_end_at_once_on_both_paths(bomb: int) -> None:
    body = encode_body(schema_of("clickstream"), event())
    at = body.index(b"\x06e-1")
    schema = {"type": "record", "name": "N", "fields": [{"name": "n", "type": "long"}]}
    value = b"\0\0\0\0\x01" + body[:at] + _long(schema, bomb) + body[at + 1 :]
    items = encoded("purchase", event("purchase"))[:-1] + _long(schema, bomb) + b"\x02a\0\x02\x02"
    for rules in (ROWS, None):
        for topic, bad in (("clickstream", value), ("purchase", items)):
            records = [Record(value=bad)]
            result = decoded(records, topic, rules) if rules else decoded(records, topic)
            assert [rejected.reason for rejected in result.rejected] == ["undecodable"]


def _long(schema: dict[str, Any], number: int) -> bytes:
    from schemas.codec import parse  # noqa: PLC0415

    return encode_body(parse(schema), {"n": number})
