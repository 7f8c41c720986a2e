from __future__ import annotations

from copy import deepcopy
from typing import Any
from zlib import crc32

import pytest

from schemas.codec import ParsedSchema, decode_body, parse, schema_of
from schemas.decode import decode_chunk, decode_chunks
from schemas.errors import UnreachableError
from schemas.events import Chunk, DecodedChunk, Marker
from schemas.topics import CLOCK_HEADER, MAX_RECORD_BYTES
from schemas.validation import ContractRules
from tests.schemas.records import (
    IDS,
    NOW,
    REGISTRY,
    ROWS,
    RULES,
    Record,
    chunk,
    decoded,
    event,
    picture,
    record,
    under,
)

BOTH = pytest.mark.parametrize("rules", [RULES, ROWS], ids=["columnar", "rows"])
CLICKS = schema_of("clickstream").definition


def reasons(result: DecodedChunk) -> list[tuple[int, str]]:
    return [(bad.offset, bad.reason) for bad in result.rejected]


def marker(offset: int, instant: bytes) -> Record:
    return Record(offset=offset, key=b"any", headers=[("trace", b"x"), (CLOCK_HEADER, instant)])


def changed(**changes: Any) -> dict[str, Any]:
    """Our clickstream schema as another writer has it: fields added, replaced, or dropped (None)."""
    definition = deepcopy(CLICKS)
    kept = [field for field in definition["fields"] if field["name"] not in changes]
    definition["fields"] = kept + [{"name": name, **field} for name, field in changes.items() if field is not None]
    return definition


def decoded_under(definition: dict[str, Any], rules: ContractRules, **fields: Any) -> DecodedChunk:
    value = under(50, definition, event(**fields))
    return decode_chunk(chunk([Record(value=value)]), {50: parse(definition)}.get, rules)


def test_a_chunk_becomes_columns_in_log_order() -> None:
    result = decoded([record(offset=offset, event_id=f"e-{offset}", url=f"/{offset}") for offset in (4, 5, 9)])
    (batch,) = result.batches
    assert (batch.topic, batch.partition, result.received, len(batch)) == ("clickstream", 3, 3, 3)
    assert batch.offsets == [4, 5, 9]
    assert batch.append_times == [NOW] * 3
    assert batch.event_id == ["e-4", "e-5", "e-9"]
    assert batch.customer_id == ["customer-17"] * 3
    assert batch.column("url") == ["/4", "/5", "/9"]


def test_an_empty_chunk_holds_nothing() -> None:
    assert decoded([]) == DecodedChunk("clickstream", 3, [], [], [], 0)


def test_chunks_of_several_topics_and_partitions_decode_together_as_each_alone() -> None:
    plain = [record("purchase", offset=n, event_id=f"p-{n}", revenue=n) for n in range(4)]
    late = record(offset=1, event_id="late", event_time=NOW + 600_000, received_time=NOW)
    new = under(50, changed(colour={"type": ["null", "string"], "default": None}), event(event_id="new"))
    chunks = [
        Chunk("clickstream", 0, 0, 4, 1, [record(offset=0), late, marker(2, b"17"), Record(offset=3, key=b"x")]),
        Chunk("purchase", 0, 0, 2, 1, plain[:2]),
        Chunk("clickstream", 1, 0, 0, 1, []),
        Chunk("purchase", 5, 7, 9, 1, plain[2:]),
        Chunk("clickstream", 2, 0, 2, 1, [record(offset=0, event_id="e-9", category="hats"), record(offset=1)]),
        Chunk("app", 0, 0, 1, 1, [record("app")]),
        Chunk("app", 1, 0, 2, 1, [record("app", event_id="a-2"), record("app", offset=1, name="no_such_name")]),
        Chunk("social", 0, 0, 1, 1, [record("social")]),
        Chunk("social", 1, 0, 1, 1, [Record(value=new)]),
        Chunk("feedback", 0, 0, 1, 1, [marker(0, b"5")]),
        Chunk("feedback", 1, 0, 1, 1, [marker(0, b"6")]),
    ]
    registry = {**REGISTRY, 50: parse(changed(colour={"type": ["null", "string"], "default": None}))}
    together = decode_chunks(chunks, registry.get, RULES)
    alone = [decode_chunk(one, registry.get, RULES) for one in chunks]
    assert [(r.topic, r.partition) for r in together] == [(one.topic, one.partition) for one in chunks]
    assert [picture(r, r.topic) for r in together] == [picture(r, r.topic) for r in alone]
    (arrow,) = (batch.arrow for batch in together[4].batches)
    assert arrow is not None
    assert arrow("category").to_pylist() == ["hats", None]


def test_what_is_refused_stands_in_log_order_whatever_is_wrong_with_it() -> None:
    records = [
        Record(offset=3, key=None, value=b"x"),
        Record(offset=5, value=b"not Avro"),
        record(offset=6),
        Record(offset=7, key=None),
        Record(offset=9, value=b"\0"),
    ]
    other = Chunk("clickstream", 4, 0, 1, 1, [record()])
    for result in (decoded(records), decode_chunks([chunk(records), other], REGISTRY.get, RULES)[0]):
        assert [bad.offset for bad in result.rejected] == [3, 5, 7, 9]


def test_a_column_nobody_has_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        decoded([record()]).batches[0].column("colour")


def test_clock_markers_are_recognised_before_anything_is_judged() -> None:
    result = decoded([record(offset=0), marker(1, b"1717632000000"), record(offset=2)])
    assert result.markers == [Marker(1, 1_717_632_000_000)]
    assert result.batches[0].offsets == [0, 2]
    assert result.received == 3


@pytest.mark.parametrize("instant", [b"", b"soon", b"-5", b"1" * 40])
def test_a_marker_without_an_instant_is_rejected(instant: bytes) -> None:
    assert reasons(decoded([marker(0, instant)])) == [(0, "undecodable")]


def test_records_that_are_no_events_say_what_they_lack() -> None:
    value = record().value
    result = decoded([
        Record(0, key=None, value=value), Record(1, key=b"k", value=None), Record(2, key=None, value=None),
        Record(3, value=b""), Record(4, value=b"\0\0\0\0"), Record(5, value=b"\x01\0\0\0\x01" + b"x" * 30),
        Record(6, value=b"\0\0\0\0\x01" + bytes(MAX_RECORD_BYTES)), Record(7, value=b"\0\0\0\0\x63abc"),
        Record(8, value=b"\0\0\0\0\x01"),
    ])  # fmt: skip
    assert reasons(result) == [
        (0, "null_key"), (1, "undecodable"), (2, "null_key"), (3, "undecodable"), (4, "undecodable"),
        (5, "undecodable"), (6, "oversize"), (7, "unknown_schema"), (8, "undecodable"),
    ]  # fmt: skip
    assert all(bad.detail and bad.record.offset == bad.offset for bad in result.rejected)


def test_a_record_of_exactly_the_limit_is_accepted() -> None:
    spare = MAX_RECORD_BYTES - len(record(source="").value or b"")
    whole = record(source="x" * (spare - 2))
    assert len(whole.value or b"") == MAX_RECORD_BYTES
    assert decoded([whole]).rejected == []


def test_another_subjects_schema_is_unknown_here() -> None:
    result = decoded([record("purchase")], "clickstream")
    assert reasons(result) == [(0, "unknown_schema")]
    assert "footfall.events.PurchaseEvent" in result.rejected[0].detail


def test_a_registry_that_is_down_is_not_the_records_fault() -> None:
    def down(schema_id: int) -> ParsedSchema | None:
        raise UnreachableError(f"no answer about {schema_id}")

    with pytest.raises(UnreachableError):
        decode_chunk(chunk([record()]), down, RULES)


def test_each_schema_id_has_its_own_batch() -> None:
    newer = parse(changed(colour={"type": ["null", "string"], "default": None}))
    mixed = [record(offset=0), Record(1, value=under(50, newer.definition, event())), record(offset=2)]
    result = decode_chunk(chunk(mixed), {**REGISTRY, 50: newer}.get, RULES)
    assert [batch.offsets for batch in result.batches] == [[0, 2], [1]]


@BOTH
def test_one_bad_record_costs_only_itself(rules: ContractRules) -> None:
    records = [record(offset=offset) for offset in range(100)]
    records[61] = Record(61, value=(records[61].value or b"")[:30])
    result = decoded(records, rules=rules)
    assert reasons(result) == [(61, "undecodable")]
    assert result.batches[0].offsets == [*range(61), *range(62, 100)]


def test_only_the_neighbourhood_of_a_bad_record_is_read_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[bytes] = []

    def counted(schema: ParsedSchema, body: bytes, reader: ParsedSchema | None = None) -> dict[str, Any]:
        rows.append(body)
        return decode_body(schema, body, reader)

    monkeypatch.setattr("schemas.bodies.decode_body", counted)
    records = [record(offset=offset) for offset in range(500)]
    records[499] = Record(499, value=(records[499].value or b"")[:30])
    decoded(records)
    assert 0 < len(rows) <= 8


class PanicException(BaseException):
    """Stands for a panic of the columnar decoder."""


def test_a_panic_of_the_columnar_decoder_falls_back_to_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(*_: object) -> None:
        raise PanicException

    monkeypatch.setattr("schemas.bodies.pyruhvro.deserialize_array", panics)
    assert decoded([record(offset=offset) for offset in range(20)]).batches[0].offsets == list(range(20))


def test_an_interrupt_is_no_bad_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("schemas.bodies.pyruhvro.deserialize_array", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decoded([record()])


@BOTH
def test_the_checksum_is_equal_for_a_retry_and_not_for_another_payload(rules: ContractRules) -> None:
    records = [record(), record(event_time=5, received_time=NOW + 9), record(url="/other")]
    first, retry, other = decoded(records, rules=rules).batches[0].checksums
    assert first == retry != other


def test_the_checksum_is_the_crc_of_the_body_behind_the_times() -> None:
    whole = record()
    assert decoded([whole]).batches[0].checksums == [crc32((whole.value or b"")[5 + 6 + 6 :])]


@BOTH
def test_a_column_the_writer_lacks_holds_its_default(rules: ContractRules) -> None:
    older = changed(url=None, properties=None, channel=None)
    (batch,) = decoded_under(older, rules, query="shoes").batches
    assert (batch.column("url"), batch.column("properties"), batch.column("channel")) == ([None], [{}], ["other"])
    assert batch.column("query") == ["shoes"]


@BOTH
def test_a_column_only_the_writer_has_is_not_read(rules: ContractRules) -> None:
    newer = changed(blob={"type": "bytes", "default": ""}, count={"type": "int", "default": 0})
    (batch,) = decoded_under(newer, rules, blob=b"\xff", url="/").batches
    assert batch.column("url") == ["/"]


@BOTH
def test_other_field_orders_are_read_and_checked_in_ours(rules: ContractRules) -> None:
    reordered = deepcopy(CLICKS)
    reordered["fields"] = reordered["fields"][::-1]
    (batch,) = decoded_under(reordered, rules, url="/", properties={"a": "b"}).batches
    assert batch.column("url") == ["/"]
    assert batch.checksums == decoded([record(url="/", properties={"a": "b"})], rules=rules).batches[0].checksums


@BOTH
def test_a_narrower_number_is_widened_and_an_unknown_symbol_is_the_default(rules: ContractRules) -> None:
    channel = {"type": {"type": "enum", "name": "Channel", "symbols": ["kiosk", "web"], "default": "web"}}
    other = changed(price={"type": "int"}, channel=channel)
    (batch,) = decoded_under(other, rules, price=7, channel="kiosk").batches
    assert (batch.column("price"), batch.column("channel")) == ([7], ["other"])


@pytest.mark.parametrize(
    "definition",
    [
        changed(customer_id=None),
        changed(price={"type": "string"}),
        changed(nothing={"type": {"type": "array", "items": "null"}, "default": []}),
        changed(
            void={"type": {"type": "array", "items": {"type": "record", "name": "V", "fields": []}}, "default": []}
        ),
        {**CLICKS, "name": "Click"},
        changed(inner={"type": ["null", "ClickstreamEvent"], "default": None}),
    ],
    ids=[
        "lacks customer_id",
        "text for a number",
        "bomb of nulls",
        "bomb of empty records",
        "another name",
        "recursive",
    ],
)
def test_a_schema_this_release_cannot_read_is_unknown(definition: dict[str, Any]) -> None:
    schema = parse(definition)
    result = decode_chunk(chunk([Record(value=b"\0\0\0\0\x32any")]), {50: schema}.get, RULES)
    assert reasons(result) == [(0, "unknown_schema")]


@BOTH
def test_values_fastavro_takes_leniently_are_undecodable(rules: ContractRules) -> None:
    body = record().value or b""
    at = body.index(b"\x16customer-17") + 12  # anonymous_id's branch: index -1 would read as the last one
    assert body[at] == 0
    assert reasons(decoded([Record(value=body[:at] + b"\x01" + body[at + 1 :])], rules=rules)) == [(0, "undecodable")]


@BOTH
def test_an_undecodable_record_names_the_field(rules: ContractRules) -> None:
    whole = record(url="/a-long-address").value or b""
    (bad,) = decoded([Record(value=whole[: whole.index(b"/a-long") + 3])], rules=rules).rejected
    assert bad.detail == "value: url: 15 bytes wanted, 3 are left"


def test_ids_of_the_tests_registry_are_the_input_topics() -> None:
    assert set(IDS.values()) == set(REGISTRY)
