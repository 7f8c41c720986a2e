from __future__ import annotations

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.codec import schema_of
from schemas.errors import ConfigurationError, UnreachableError
from schemas.topics import INPUT_TOPICS, OUTPUT_TOPICS
from streams.embedded.registry import Registry as RegistryServer
from streams.kafka.registry import UNKNOWN_FOR_SECONDS, Registry


class FailingClient:
    """A registry's client that fails in one way, and counts how often it was asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    def get_schema(self, *_: object) -> None:
        self.calls += 1
        raise self.error

    def set_config(self, *_: object) -> None:
        raise self.error

    def get_subjects(self) -> None:
        raise self.error


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_topic_is_registered_and_found_again() -> None:
    registry = Registry.at("mock://found")
    ids = registry.register()
    assert set(ids) == {*INPUT_TOPICS, *OUTPUT_TOPICS}
    assert registry.register() == ids
    for topic, schema_id in ids.items():
        schema = registry.lookup(schema_id)
        assert schema is not None
        assert schema.definition == schema_of(topic).definition


def test_a_found_schema_is_the_same_object_the_next_time() -> None:
    registry = Registry.at("mock://same")
    schema_id = registry.register(["purchase"])["purchase"]
    assert registry.lookup(schema_id) is registry.lookup(schema_id)


def test_an_unknown_id_is_asked_for_again_only_after_a_minute() -> None:
    client, clock = FailingClient(SchemaRegistryError(404, 40403, "Schema not found")), Clock()
    registry = Registry(client, "somewhere", clock)
    assert [registry.lookup(7), registry.lookup(7)] == [None, None]
    clock.now += UNKNOWN_FOR_SECONDS - 1
    assert (registry.lookup(7), client.calls) == (None, 1)
    clock.now += 1
    assert (registry.lookup(7), client.calls) == (None, 2)


@pytest.mark.parametrize(
    "error",
    [OSError("refused"), SchemaRegistryError(500, 50001, "store"), SchemaRegistryError(503, -1, "starting")],
)
def test_a_registry_that_is_down_is_asked_again_each_time(error: Exception) -> None:
    client = FailingClient(error)
    registry = Registry(client, "registry.example")
    for _ in range(2):
        with pytest.raises(UnreachableError, match=r"registry\.example"):
            registry.lookup(7)
    with pytest.raises(UnreachableError):
        registry.register(["purchase"])
    assert client.calls == 2


def test_a_refused_login_is_the_users_to_fix() -> None:
    registry = Registry(FailingClient(SchemaRegistryError(401, 40101, "Unauthorized")), "registry.example")
    for attempt in (lambda: registry.lookup(7), lambda: registry.register(["purchase"]), registry.ping):
        with pytest.raises(ConfigurationError, match=r"refuses this user \(HTTP 401\): .*PASSWORD"):
            attempt()


def test_a_refused_schema_is_named_with_its_subject() -> None:
    registry = Registry(FailingClient(SchemaRegistryError(409, 409, "incompatible")), "registry.example")
    with pytest.raises(ConfigurationError, match="refuses purchase-value: incompatible"):
        registry.register(["purchase"])


def test_a_schema_that_is_no_avro_record_is_unknown() -> None:
    client = SchemaRegistryClient.new_client({"url": "mock://other"})
    registry = Registry(client, "mock")
    kinds = [("s-value", Schema('{"type":"object"}', "JSON")), ("t-value", Schema('"string"', "AVRO"))]
    assert [registry.lookup(client.register_schema(*kind)) for kind in kinds] == [None, None]


def test_an_address_where_nobody_listens_is_named_without_the_password() -> None:
    registry = Registry.at("http://127.0.0.1:1", {"basic.auth.user.info": "user:hunter2"})
    with pytest.raises(UnreachableError) as caught:
        registry.lookup(1)
    assert "http://127.0.0.1:1" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_url_of_another_kind_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match="ftp"):
        Registry.at("ftp://registry.example")


def test_the_embedded_registry_keeps_our_schemas_and_their_levels(registry_server: RegistryServer) -> None:
    registry = Registry.at(registry_server.url)
    ids = registry.register()
    assert registry.register() == ids
    schema = Registry.at(registry_server.url).lookup(ids["profiles"])
    assert schema is not None
    assert schema.definition == schema_of("profiles").definition
    assert registry.lookup(999_999) is None
    client = SchemaRegistryClient({"url": registry_server.url})
    assert client.get_compatibility("profiles-value") == "FULL_TRANSITIVE"
    assert client.get_compatibility("purchase-value") == "BACKWARD_TRANSITIVE"
    registry.close()
