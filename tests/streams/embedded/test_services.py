"""The embedded services with the clients of the real ones, unmodified."""

from __future__ import annotations

import datetime as dt
import json
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
import redis
from clickhouse_connect.driver.exceptions import DatabaseError
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from streams.embedded.broker import Broker
from streams.embedded.clickhouse import ClickHouse
from streams.embedded.ports import HOST, choose_port
from streams.embedded.redis import RedisServer
from streams.embedded.registry import Registry


def fetch(url: str, body: bytes | None = None) -> tuple[int, str, dict[str, str]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as response:
            return response.status, response.read().decode(), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


# -- broker ---------------------------------------------------------------------------------------------------


def test_the_broker_creates_takes_and_gives_back(broker: Broker, fresh_name: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(fresh_name, 2, 1)])[fresh_name].result(10)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "compression.type": "lz4"})
    for i in range(100):
        producer.produce(fresh_name, key=str(i), value=b"x" * 100, headers={"h": b"1"})
    assert producer.flush(10) == 0
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": fresh_name,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "max.poll.interval.ms": 10000,
        }
    )
    consumer.subscribe([fresh_name])
    got = 0
    deadline = time.monotonic() + 20
    while got < 100 and time.monotonic() < deadline:
        got += len(consumer.consume(100, timeout=0.5))
    consumer.close()
    assert got == 100


# -- redis ----------------------------------------------------------------------------------------------------


def test_redis_is_durable_before_it_answers_and_never_evicts(valkey: RedisServer) -> None:
    client = redis.Redis.from_url(valkey.url, decode_responses=True)
    settings: Any = client.config_get("append*") | client.config_get("maxmemory-policy")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"


def test_redis_keeps_what_it_confirmed_through_a_kill(tmp_path: Path) -> None:
    port = choose_port()
    with RedisServer(port, tmp_path / "data", tmp_path / "redis.log") as server:
        redis.Redis.from_url(server.url).set("k", "v")
        server.signal(signal.SIGKILL)
        assert server.wait(5)
    with RedisServer(port, tmp_path / "data", tmp_path / "redis.log") as server:
        assert redis.Redis.from_url(server.url).get("k") == b"v"


# -- clickhouse -----------------------------------------------------------------------------------------------


@pytest.fixture
def warehouse(clickhouse: ClickHouse, fresh_database: str) -> Iterator[Any]:
    client = clickhouse_connect.get_client(host=HOST, port=clickhouse.launch.port, database=fresh_database)
    client.command(
        "CREATE TABLE t (id UInt64, name LowCardinality(String), at DateTime64(3, 'UTC'), tags Map(String, String), "
        "n Nullable(Int64)) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100"
    )
    yield client
    client.close()


NOON = dt.datetime(2024, 6, 29, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize("compress", [True, False, "gzip", "lz4", "zstd"])
def test_rows_survive_the_way_there_and_back_in_any_compression(
    clickhouse: ClickHouse, warehouse: Any, compress: Any
) -> None:
    client = clickhouse_connect.get_client(
        host=HOST, port=clickhouse.launch.port, database=warehouse.database, compress=compress, tz_mode="aware"
    )
    rows = [(i, f"n{i % 3}", NOON, {"k": "ä"}, None) for i in range(2_000)]
    summary = client.insert("t", rows, column_names=["id", "name", "at", "tags", "n"])
    assert summary.written_rows == 2_000
    assert [tuple(row) for row in client.query("SELECT * FROM t ORDER BY id").result_rows] == rows


def test_an_arrow_table_is_inserted_and_read(warehouse: Any) -> None:
    warehouse.insert_arrow("t", pa.table({"id": pa.array([1, 2], pa.uint64()), "name": ["a", "b"]}))
    assert warehouse.query_arrow("SELECT id, name FROM t ORDER BY id").to_pydict() == {"id": [1, 2], "name": ["a", "b"]}


def test_parameters_are_bound_by_the_server(warehouse: Any) -> None:
    warehouse.insert("t", [(1, "'); DROP TABLE t --"), (2, "b")], column_names=["id", "name"])
    query = "SELECT id FROM t WHERE name = {name:String} AND id IN {ids:Array(UInt64)}"
    parameters = {"name": "'); DROP TABLE t --", "ids": [1, 2, 3]}
    assert warehouse.query(query, parameters=parameters).result_rows == [(1,)]


def test_a_repeated_block_with_the_same_token_is_inserted_once(warehouse: Any) -> None:
    settings = {"insert_deduplication_token": "block-1", "async_insert": 0}
    for _ in range(2):
        warehouse.insert("t", [(7, "x")], column_names=["id", "name"], settings=settings)
    assert warehouse.command("SELECT count() FROM t") == 1


def test_settings_of_one_request_do_not_show_in_the_next(warehouse: Any) -> None:
    query = "SELECT getSetting('max_block_size')"
    assert warehouse.command(query, settings={"max_block_size": 17}) == 17
    assert warehouse.command(query) != 17
    warehouse.command("SET max_block_size = 23")
    assert warehouse.command(query) != 23


def test_errors_carry_clickhouse_code_and_text(warehouse: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        warehouse.query("SELECT * FROM nowhere")
    assert caught.value.code == 60
    assert "UNKNOWN_TABLE" in str(caught.value)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("SELECT * FROM nowhere", 404, "60"),
        ("SELEC 1", 400, "62"),
        ("SELECT toUInt8('x')", 400, "6"),
        ("SELECT 1 SETTINGS no_such_setting = 1", 404, "115"),
        ("SELECT sleep(2) SETTINGS max_execution_time = 1", 408, "159"),
    ],
)
def test_http_status_and_exception_code_are_those_of_a_server(
    clickhouse: ClickHouse, query: str, status: int, code: str
) -> None:
    found, text, headers = fetch(clickhouse.url, query.encode())
    assert (found, headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert text.startswith(f"Code: {code}. DB::Exception")


def test_curl_finds_the_interface_it_knows(clickhouse: ClickHouse, warehouse: Any) -> None:
    base = f"{clickhouse.url}/?database={warehouse.database}"
    insert = urllib.parse.quote("INSERT INTO t (id, name) FORMAT CSV")
    assert fetch(f"{base}&query={insert}", b'1,"a,b"\n2,c\n')[0] == 200
    assert fetch(base, b"INSERT INTO t (id, name) VALUES (3, 'it''s (;'), (4, 'FORMAT CSV')")[0] == 200
    select = urllib.parse.quote("SELECT id, name FROM t ORDER BY id")
    status, text, headers = fetch(f"{base}&query={select}")
    assert (status, text) == (200, "1\ta,b\n2\tc\n3\tit\\'s (;\n4\tFORMAT CSV\n")
    assert headers["X-ClickHouse-Format"] == "TabSeparated"
    status, text, _ = fetch(
        f"{base}&param_id=2&default_format=JSONEachRow", b"SELECT name FROM t WHERE id = {id:UInt64}"
    )
    assert json.loads(text) == {"name": "c"}
    assert fetch(f"{clickhouse.url}/ping")[:2] == (200, "Ok.\n")


def test_a_get_request_changes_nothing(clickhouse: ClickHouse, warehouse: Any) -> None:
    drop = urllib.parse.quote("DROP TABLE t")
    status, text, _ = fetch(f"{clickhouse.url}/?database={warehouse.database}&query={drop}")
    assert status == 500
    assert "READONLY" in text
    assert warehouse.command("EXISTS TABLE t") == 1


def test_tables_survive_a_restart_and_a_kill(tmp_path: Path) -> None:
    port = choose_port()
    with ClickHouse(port, tmp_path / "data", tmp_path / "c.log") as server:
        fetch(server.url, b"CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")
        fetch(server.url, b"INSERT INTO kept VALUES (1)")
    with ClickHouse(port, tmp_path / "data", tmp_path / "c.log") as server:
        fetch(server.url, b"INSERT INTO kept VALUES (2)")
        server.signal(signal.SIGKILL)
        server.wait(5)
    with ClickHouse(port, tmp_path / "data", tmp_path / "c.log") as server:
        assert fetch(server.url, b"SELECT count() FROM kept")[1] == "2\n"


# -- schema registry ------------------------------------------------------------------------------------------


def record(*fields: dict[str, Any]) -> Schema:
    return Schema(json.dumps({"type": "record", "name": "E", "fields": list(fields)}), "AVRO")


A = {"name": "a", "type": "string"}
B_OPTIONAL = {"name": "b", "type": ["null", "int"], "default": None}
V1, V2, BREAKING = record(A), record(A, B_OPTIONAL), record({"name": "z", "type": "string"})


@pytest.fixture
def registry(registry_server: Registry) -> Any:
    return SchemaRegistryClient({"url": registry_server.url})


def refusal(call: Any, *arguments: Any) -> tuple[int, int]:
    with pytest.raises(SchemaRegistryError) as caught:
        call(*arguments)
    return caught.value.http_status_code, caught.value.error_code


def test_a_schema_is_registered_once_and_found_by_id_subject_and_text(registry: Any, fresh_name: str) -> None:
    first = registry.register_schema(fresh_name, V1)
    second = registry.register_schema(fresh_name, V2)
    assert registry.register_schema(fresh_name, V1) == first != second
    assert json.loads(registry.get_schema(first).schema_str) == json.loads(V1.schema_str)
    assert registry.get_versions(fresh_name) == [1, 2]
    assert registry.get_latest_version(fresh_name).schema_id == second
    assert registry.lookup_schema(fresh_name, V2).version == 2
    assert fresh_name in registry.get_subjects()


def test_equal_schemas_share_an_id_across_subjects(registry: Any, fresh_name: str) -> None:
    assert registry.register_schema(f"{fresh_name}-1", V1) == registry.register_schema(f"{fresh_name}-2", V1)


def test_an_incompatible_schema_is_refused_at_the_subject_level(registry: Any, fresh_name: str) -> None:
    registry.register_schema(fresh_name, V1)
    assert registry.test_compatibility(fresh_name, V2)
    assert not registry.test_compatibility(fresh_name, BREAKING)
    assert refusal(registry.register_schema, fresh_name, BREAKING) == (409, 409)
    registry.set_compatibility(fresh_name, "NONE")
    assert registry.get_compatibility(fresh_name) == "NONE"
    assert registry.register_schema(fresh_name, BREAKING) > 0


def test_what_is_missing_or_malformed_has_confluents_error_codes(registry: Any, fresh_name: str) -> None:
    registry.register_schema(fresh_name, V1)
    assert refusal(registry.get_schema, 987_654) == (404, 40403)
    assert refusal(registry.get_versions, f"{fresh_name}-no") == (404, 40401)
    assert refusal(registry.get_version, fresh_name, 9) == (404, 40402)
    assert refusal(registry.lookup_schema, fresh_name, V2) == (404, 40403)
    assert refusal(registry.register_schema, fresh_name, Schema('{"type":"recor"}', "AVRO")) == (422, 42201)
    assert refusal(registry.set_compatibility, fresh_name, "SIDEWAYS") == (422, 42203)
    assert refusal(registry.get_compatibility, fresh_name) == (404, 40408)


def test_a_subject_is_deleted_softly_then_for_good(registry: Any, fresh_name: str) -> None:
    registry.register_schema(fresh_name, V1)
    registry.register_schema(fresh_name, V2)
    assert registry.delete_version(fresh_name, 1) == 1
    assert registry.delete_subject(fresh_name) == [2]
    assert refusal(registry.get_versions, fresh_name) == (404, 40401)
    assert registry.delete_subject(fresh_name, permanent=True) == [1, 2]


def test_the_registry_remembers_through_a_kill(tmp_path: Path) -> None:
    port = choose_port()
    with Registry(port, tmp_path / "r.json", tmp_path / "r.log") as server:
        id_ = SchemaRegistryClient({"url": server.url}).register_schema("s", V1)
        server.signal(signal.SIGKILL)
        server.wait(5)
    with Registry(port, tmp_path / "r.json", tmp_path / "r.log") as server:
        client = SchemaRegistryClient({"url": server.url})
        assert client.get_subjects() == ["s"]
        assert json.loads(client.get_schema(id_).schema_str) == json.loads(V1.schema_str)
