from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest

from schemas.evolution import LEVEL_OF, LEVELS, check, check_all, current, history, incompatibilities
from schemas.topics import INPUT_TOPICS, OUTPUT_TOPICS

Schema = dict[str, Any]


def rec(*fields: Schema, name: str = "R", **extra: Any) -> Schema:
    return {"type": "record", "name": name, "namespace": "n", "fields": list(fields), **extra}


def fld(name: str, kind: Any, **extra: Any) -> Schema:
    return {"name": name, "type": kind, **extra}


def enum(*symbols: str, **extra: Any) -> Schema:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **extra}


def array(items: Any) -> Schema:
    return {"type": "array", "items": items}


def mapping(values: Any) -> Schema:
    return {"type": "map", "values": values}


A = fld("a", "long")
PAIRS: list[tuple[str, Any, Any, bool]] = [
    ("same", rec(A), rec(A), True),
    ("int to long", rec(A), rec(fld("a", "int")), True),
    ("long to int", rec(fld("a", "int")), rec(A), False),
    ("long to double", rec(fld("a", "double")), rec(A), True),
    ("double to long", rec(A), rec(fld("a", "double")), False),
    ("float to double", rec(fld("a", "double")), rec(fld("a", "float")), True),
    ("string to bytes", rec(fld("a", "bytes")), rec(fld("a", "string")), True),
    ("bytes to string", rec(fld("a", "string")), rec(fld("a", "bytes")), True),
    ("string to long", rec(A), rec(fld("a", "string")), False),
    ("field added with default", rec(A, fld("b", "string", default="")), rec(A), True),
    ("field added without default", rec(A, fld("b", "string")), rec(A), False),
    ("nullable field added without default", rec(A, fld("b", ["null", "string"])), rec(A), False),
    ("field removed", rec(A), rec(A, fld("b", "string")), True),
    ("field renamed with alias", rec(fld("z", "long", aliases=["a"])), rec(A), True),
    ("field renamed without alias", rec(fld("z", "long")), rec(A), False),
    ("record renamed", rec(A, name="S"), rec(A), False),
    ("record renamed with alias", rec(A, name="S", aliases=["n.R"]), rec(A), True),
    ("made nullable", rec(fld("a", ["null", "long"])), rec(A), True),
    ("no longer nullable", rec(A), rec(fld("a", ["null", "long"])), False),
    ("union branch added", rec(fld("a", ["null", "long", "string"])), rec(fld("a", ["null", "long"])), True),
    ("union branch removed", rec(fld("a", ["null", "long"])), rec(fld("a", ["null", "long", "string"])), False),
    ("union order changed", rec(fld("a", ["long", "null"])), rec(fld("a", ["null", "long"])), True),
    ("union branch promoted", rec(fld("a", ["null", "double"])), rec(fld("a", ["null", "long"])), True),
    ("enum symbol added", rec(fld("a", enum("x", "y"))), rec(fld("a", enum("x"))), True),
    ("enum symbol removed", rec(fld("a", enum("x"))), rec(fld("a", enum("x", "y"))), False),
    ("enum symbol removed, default", rec(fld("a", enum("x", default="x"))), rec(fld("a", enum("x", "y"))), True),
    ("enum to string", rec(fld("a", "string")), rec(fld("a", enum("x"))), False),
    ("array items promoted", rec(fld("a", array("double"))), rec(fld("a", array("int"))), True),
    ("array items narrowed", rec(fld("a", array("int"))), rec(fld("a", array("long"))), False),
    ("map values promoted", rec(fld("a", mapping("long"))), rec(fld("a", mapping("int"))), True),
    ("map values changed", rec(fld("a", mapping("long"))), rec(fld("a", mapping("string"))), False),
    ("map to array", rec(fld("a", array("long"))), rec(fld("a", mapping("long"))), False),
    ("nested field added", rec(fld("a", rec(A, fld("b", "int"), name="I"))), rec(fld("a", rec(A, name="I"))), False),
    (
        "nested field added with default, in an array of a union",
        rec(fld("a", ["null", array(rec(A, fld("b", "int", default=1), name="I"))])),
        rec(fld("a", ["null", array(rec(A, name="I"))])),
        True,
    ),
    (
        "recursive, field added without default",
        rec(fld("next", ["null", "n.R"]), fld("b", "int")),
        rec(fld("next", ["null", "n.R"])),
        False,
    ),
    ("recursive", rec(fld("next", ["null", "n.R"])), rec(fld("next", ["null", "n.R"])), True),
]


@pytest.mark.parametrize(("reader", "writer", "compatible"), [pair[1:] for pair in PAIRS], ids=[p[0] for p in PAIRS])
def test_a_reader_reads_a_writer_by_avros_rules(reader: Schema, writer: Schema, *, compatible: bool) -> None:
    faults = incompatibilities(reader, writer)
    assert (not faults) is compatible
    assert all("(at /" in fault for fault in faults)


@pytest.mark.parametrize(
    ("reader", "writer", "datum", "wanted"),
    [
        (rec(fld("a", "double")), rec(A), {"a": 3}, {"a": 3.0}),
        (rec(A, fld("b", "string", default="x")), rec(A), {"a": 3}, {"a": 3, "b": "x"}),
        (rec(fld("a", enum("x", default="x"))), rec(fld("a", enum("x", "y"))), {"a": "y"}, {"a": "x"}),
        (rec(fld("z", "long", aliases=["a"])), rec(A), {"a": 3}, {"z": 3}),
        (rec(fld("a", ["null", "long"])), rec(A), {"a": 3}, {"a": 3}),
    ],
)
def test_what_is_called_compatible_is_read_by_fastavro(reader: Schema, writer: Schema, datum: Any, wanted: Any) -> None:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, writer, datum)
    buffer.seek(0)
    assert fastavro.schemaless_reader(buffer, writer, reader) == wanted
    assert incompatibilities(reader, writer) == []


V1, V2, V3 = rec(A), rec(A, fld("b", "int", default=0)), rec(A, fld("b", "int"))


@pytest.mark.parametrize(
    ("new", "earlier", "level", "allowed"),
    [
        (V3, [V1, V2], "BACKWARD", True),
        (V3, [V1, V2], "BACKWARD_TRANSITIVE", False),
        (V1, [V3, V2], "FORWARD", True),
        (V1, [V3, V2], "FORWARD_TRANSITIVE", False),
        (V2, [V1], "FULL", True),
        (V3, [V1, V2], "FULL", True),
        (V3, [V1, V2], "FULL_TRANSITIVE", False),
        (V2, [V1, V3], "FULL_TRANSITIVE", True),
        (rec(fld("a", "string")), [V1], "NONE", True),
        (V3, [], "FULL_TRANSITIVE", True),
    ],
)
def test_levels_say_which_versions_must_be_readable(
    new: Schema, earlier: list[Schema], level: str, *, allowed: bool
) -> None:
    assert (not check(new, earlier, level)) is allowed


def test_a_fault_names_version_and_direction() -> None:
    (fault,) = check(V3, [V1, V2], "BACKWARD_TRANSITIVE")
    assert fault.startswith("cannot read version 1: b")
    (fault,) = check(V1, [V3], "FORWARD")
    assert fault.startswith("version 1 cannot read it: b")


def test_an_unknown_level_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="FULL_TRANSITIVE"):
        check(V1, [], "SIDEWAYS")


@pytest.mark.parametrize("bad", ["{", "{}", '{"type":"record"}', rec(fld("a", "text")), '"nonsense"', "null"])
@pytest.mark.parametrize("level", LEVELS)
def test_what_is_not_avro_is_a_value_error_at_every_level(bad: Any, level: str) -> None:
    with pytest.raises(ValueError, match="not valid Avro"):
        check(bad, [V1], level)


def test_schemas_may_be_text() -> None:
    assert incompatibilities(json.dumps(V2), json.dumps(V1)) == []


def test_every_current_schema_follows_its_whole_history() -> None:
    assert check_all() == []
    assert {topic: LEVEL_OF[topic] for topic in INPUT_TOPICS} == dict.fromkeys(INPUT_TOPICS, "BACKWARD_TRANSITIVE")
    assert {topic: LEVEL_OF[topic] for topic in OUTPUT_TOPICS} == dict.fromkeys(OUTPUT_TOPICS, "FULL_TRANSITIVE")


@pytest.mark.parametrize("topic", INPUT_TOPICS + OUTPUT_TOPICS)
def test_an_incompatible_edit_of_any_schema_would_be_refused(topic: str) -> None:
    edited = current(topic)
    edited["fields"].append({"name": "new_field", "type": "string", "doc": "No default."})
    assert check(edited, history(topic), LEVEL_OF[topic])
