from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Encoder, OutputCodec, decode_one, parse, schema_id_of, schema_of
from schemas.results import DeadLetter, ModelSnapshot, ProfileUpdate, SegmentChange, TrainingExample
from schemas.topics import OUTPUT_TOPICS
from tests.schemas.records import IDS, NOW, REGISTRY, encoded, event

OUTPUT_IDS = {topic: number for number, topic in enumerate(OUTPUT_TOPICS, start=300)}
CODEC = OutputCodec(OUTPUT_IDS)
LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200)


def test_a_framed_record_begins_with_zero_and_its_schema_id() -> None:
    value = encoded("purchase", event("purchase"))
    assert value[:5] == b"\0\0\0\0" + bytes([IDS["purchase"]])
    assert schema_id_of(value) == IDS["purchase"]


def test_schema_ids_above_two_to_the_31_are_read_unsigned() -> None:
    assert schema_id_of(Encoder("profiles", 2**32 - 1).encode(_update_fields(_update()))) == 2**32 - 1


@pytest.mark.parametrize("value", [b"", b"\0\0\0\1", b"\1\0\0\0\1x", b'{"a":1}'])
def test_other_bytes_are_not_framed(value: bytes) -> None:
    assert schema_id_of(value) is None
    with pytest.raises(ValueError, match="not Confluent-framed"):
        decode_one(value, REGISTRY.get, schema_of("purchase"))


def test_an_unknown_schema_id_is_named() -> None:
    with pytest.raises(ValueError, match="schema id 9 is unknown"):
        decode_one(b"\0\0\0\0\x09", REGISTRY.get, schema_of("purchase"))


@pytest.mark.parametrize("definition", ["[]", '"string"', "{", '{"type":"record","name":"R"}', '{"type":"enum"}'])
def test_what_is_no_record_schema_is_refused(definition: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own error is a ValueError too
        parse(definition)


def test_a_topic_without_a_schema_is_named() -> None:
    with pytest.raises(KeyError, match="clicks"):
        schema_of("clicks")


def _update(version: int = 300, as_of: int = NOW, customer: str = "客户-1", traits: str = '{"a":1}') -> ProfileUpdate:
    return ProfileUpdate(customer, version, as_of, traits.encode())


def _update_fields(update: ProfileUpdate) -> dict[str, object]:
    return {
        "customer_id": update.customer_id,
        "version": update.version,
        "as_of": update.as_of,
        "traits": update.traits.decode(),
    }


@given(st.builds(_update, LONGS, LONGS, st.text(), st.text() | st.text(min_size=70, max_size=300)))
def test_the_hand_framed_profile_update_equals_fastavros(update: ProfileUpdate) -> None:
    framed = CODEC.encode_profile_update(update)
    assert framed == Encoder("profiles", OUTPUT_IDS["profiles"]).encode(_update_fields(update))
    assert CODEC.decode_profile_update(framed) == update


def test_a_segment_change_round_trips() -> None:
    change = SegmentChange(
        "c-1", "customer-17", 2, "rule", "active", "activity", "dormant", "active", "entered", NOW, "event e-1",
        {"last_seen_days": "0"}, 0.25, None, "v1",
    )  # fmt: skip
    assert CODEC.decode_change(CODEC.encode_change(change)) == change


_TEXT = st.text(max_size=90)
_MAYBE = st.none() | _TEXT
CHANGES = st.builds(
    SegmentChange, _TEXT, _TEXT, LONGS, st.sampled_from(["rule", "model"]), _TEXT, _MAYBE, _MAYBE, _MAYBE,
    st.sampled_from(["entered", "exited"]), LONGS, _TEXT, st.dictionaries(_TEXT, _TEXT, max_size=3),
    st.none() | st.floats(0, 1), _MAYBE, _TEXT,
)  # fmt: skip


@given(CHANGES)
def test_the_hand_framed_change_equals_fastavros(change: SegmentChange) -> None:
    framed = CODEC.encode_change(change)
    wanted = Encoder("segment-changes", OUTPUT_IDS["segment-changes"]).encode(msgspec.structs.asdict(change))
    assert framed == wanted
    assert CODEC.decode_change(framed) == change


def test_a_training_example_round_trips() -> None:
    example = TrainingExample("x-1", "customer-17", NOW, NOW + 1, 1, {"recency": 1.5}, None, None, 0.5)
    assert CODEC.decode_training_example(CODEC.encode_training_example(example)) == example


def test_a_model_round_trips() -> None:
    snapshot = ModelSnapshot(2_300, NOW, 2_300, "0.26.1", b'{"bias":0.1}', "00ff")
    assert CODEC.decode_model(CODEC.encode_model(snapshot)) == snapshot


def test_a_dead_letter_keeps_its_original_bytes() -> None:
    letter = DeadLetter(
        "d-1", "purchase", 3, 77, NOW, "undecodable", "value", None, b"\xff\x00", [("k", b"\xfe"), ("k", b"")]
    )
    assert CODEC.decode_dead_letter(CODEC.encode_dead_letter(letter)) == letter
