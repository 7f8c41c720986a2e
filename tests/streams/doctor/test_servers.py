"""What each server must be, and what the doctor says when it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.errors import UnreachableError
from schemas.evolution import LEVEL_OF
from schemas.topics import INPUT_TOPICS
from sinks.installation import ServerReport
from sinks.migrations import Migration
from streams.doctor.clickhouse import check_clickhouse
from streams.doctor.clocks import check_brokers, check_clock
from streams.doctor.finding import Finding, Status
from streams.doctor.kafka import judge_counts, judge_options
from streams.doctor.redis import judge_durability, judge_memory, judge_server
from streams.doctor.registry import check_registry
from streams.kafka.topics import topic_specs

SPECS = topic_specs(4)
COUNTS = {spec.name: spec.partitions for spec in SPECS}
OPTIONS = {spec.name: dict(spec.options) for spec in SPECS}


def redis(**changes: Any) -> ServerReport:
    return ServerReport("7.2.4", "noeviction", 50 << 20, 0, "always")._replace(**changes)


# -- Kafka -----------------------------------------------------------------------------------------------------------


def test_topics_as_they_are_created_are_well() -> None:
    assert judge_counts(COUNTS, SPECS).status == judge_options(OPTIONS, SPECS).status == "ok"


def test_missing_topics_and_other_partition_counts_are_named() -> None:
    finding = judge_counts({name: n for name, n in COUNTS.items() if name not in {"app", "models"}}, SPECS)
    assert finding == Finding("topics", "problem", "missing: app, models", "run `footfall topics create`")
    finding = judge_counts(COUNTS | {"purchase": 3}, SPECS)
    assert (finding.status, finding.text) == ("problem", "partitions: purchase has 3 instead of 4")


@pytest.mark.parametrize(
    ("topic", "option", "value", "status", "text"),
    [
        ("purchase", "message.timestamp.type", "CreateTime", "warning", "purchase has message.timestamp.type=CreateT"),
        ("purchase", "message.timestamp.type", None, "warning", "the broker does not tell those of purchase"),
        ("purchase", "cleanup.policy", "compact", "problem", "compacted: purchase"),
        ("purchase", "cleanup.policy", "delete", "ok", ""),
        ("profiles", "cleanup.policy", "delete", "warning", "profiles has cleanup.policy=delete instead of compact"),
        ("profiles", "cleanup.policy", "compact,delete", "ok", ""),
        ("dead-letters", "max.message.bytes", "1048588", "warning", "dead-letters has max.message.bytes=1048588"),
        ("dead-letters", "max.message.bytes", "9000000", "ok", ""),
        ("dead-letters", "retention.ms", "1", "ok", ""),
        ("models", "max.message.bytes", None, "ok", ""),
    ],
)
def test_options_that_differ_are_named(topic: str, option: str, value: str | None, status: Status, text: str) -> None:
    told = OPTIONS[topic] | {option: value} if value else {k: v for k, v in OPTIONS[topic].items() if k != option}
    finding = judge_options(OPTIONS | {topic: told}, SPECS)
    assert (finding.status, text in finding.text, finding.remedy == "") == (status, True, status == "ok"), finding


# -- the registry ----------------------------------------------------------------------------------------------------


@dataclass
class FakeRegistry:
    """What a registry answers about every subject; `fails` is raised by whatever is asked."""

    registered: bool = True
    compatible: bool | None = True
    """Null: the subject is unknown."""
    levels: Mapping[str, str] = field(default_factory=lambda: LEVEL_OF)
    fails: Exception | None = None

    def get_subjects(self) -> list[str]:
        if self.fails is not None:
            raise self.fails
        return ["purchase-value"]

    def lookup_schema(self, *_: object) -> None:
        if not self.registered:
            raise SchemaRegistryError(404, 40403, "Schema not found")

    def test_compatibility(self, *_: object) -> bool:
        if self.compatible is None:
            raise SchemaRegistryError(404, 40401, "Subject not found")
        return self.compatible

    def get_compatibility(self, subject: str) -> str:
        level = self.levels.get(subject.removesuffix("-value"))
        if level is None:
            raise SchemaRegistryError(404, 40408, "Subject has no level of its own")
        return level


@pytest.mark.parametrize(
    ("client", "status", "text", "remedy"),
    [
        (FakeRegistry(), "ok", "all 11 are registered", ""),
        (FakeRegistry(registered=False), "warning", "not registered yet: clickstream", "footfall schemas register"),
        (FakeRegistry(registered=False, compatible=None), "warning", "and 7 more", "footfall schemas register"),
        (FakeRegistry(registered=False, compatible=False), "problem", "incompatible with what is", "schemas check"),
        (FakeRegistry(levels={**LEVEL_OF, "app": "NONE"}), "warning", "app is NONE", "footfall schemas register"),
        (FakeRegistry(levels={}), "warning", "app is the registry's default", "footfall schemas register"),
    ],
)
def test_schemas_are_registered_or_may_be(client: FakeRegistry, status: Status, text: str, remedy: str) -> None:
    [server, schemas] = check_registry(client, "here", LEVEL_OF)
    assert server == Finding("registry", "ok", "answers at here, 1 subjects")
    assert (schemas.check, schemas.status) == ("schemas", status)
    assert text in schemas.text
    assert remedy in schemas.remedy


def test_a_registry_that_does_not_answer_or_refuses_the_user() -> None:
    for error in (OSError("refused"), SchemaRegistryError(503, -1, "starting")):
        with pytest.raises(UnreachableError, match="does not answer at here"):
            check_registry(FakeRegistry(fails=error), "here", LEVEL_OF)
    [finding] = check_registry(FakeRegistry(fails=SchemaRegistryError(401, 40101, "Unauthorized")), "here", LEVEL_OF)
    assert (finding.status, "PASSWORD" in finding.remedy) == ("problem", True)


# -- Redis -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "status", "text"),
    [
        (redis(), "ok", "noeviction, 50 MiB used without a limit"),
        (redis(max_memory=1 << 30), "ok", "noeviction, 50 MiB used of 1024 MiB"),
        (redis(max_memory=52 << 20), "warning", "50 MiB used of 52 MiB: soon it refuses commits"),
        (redis(memory_policy="allkeys-lru"), "problem", "maxmemory-policy is allkeys-lru"),
        (redis(memory_policy="unknown"), "problem", "maxmemory-policy is unknown"),
    ],
)
def test_a_redis_that_is_full_or_evicts(report: ServerReport, status: Status, text: str) -> None:
    finding = judge_memory(report)
    assert (finding.status, text in finding.text) == (status, True), finding


@pytest.mark.parametrize("policy", ["everysec", "no", "off", "unknown"])
def test_a_redis_that_may_forget_what_it_confirmed_is_a_warning(policy: str) -> None:
    finding = judge_durability(redis(appendfsync=policy))
    assert (finding.status, policy in finding.text, "appendfsync always" in finding.remedy) == ("warning", True, True)
    assert judge_durability(redis()).status == "ok"


def test_a_redis_that_is_old_or_another_installation_s() -> None:
    assert judge_server(redis(), None, "shop", "h:1").status == judge_server(redis(), "shop", "shop", "h:1").status
    assert judge_server(redis(version="6.2.1"), None, "shop", "h:1").status == "problem"
    finding = judge_server(redis(), "other", "shop", "h:1")
    assert (finding.status, "installation other, this is shop" in finding.text) == ("problem", True)


# -- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "took", "status", "text"),
    [
        (10_050, 100, "ok", "+0 ms"),
        (11_050, 100, "ok", "+1000 ms"),
        (11_700, 2_000, "ok", "+700 ms"),
        (13_000, 2_000, "ok", "+2000 ms"),
        (12_050, 100, "warning", "2.0 s ahead of this machine's"),
        (7_050, 100, "warning", "3.0 s behind this machine's"),
        (3_050, 100, "problem", "7.0 s behind this machine's"),
    ],
)
def test_clocks_are_compared_within_the_doubt_of_the_round_trip(there: int, took: int, status: str, text: str) -> None:
    instants = [10_000, 10_000 + took]
    finding = check_clock("Redis", lambda: there, lambda: instants.pop(0))
    assert (finding.check, finding.status, text in finding.text) == ("redis clock", status, True), finding


def test_a_record_from_the_future_betrays_the_broker_s_clock() -> None:
    assert check_brokers(None, lambda: 5_000).status == "ok"
    assert check_brokers(4_000, lambda: 5_000).status == "ok"
    assert check_brokers(8_000, lambda: 5_000).text == "3.0 s ahead of this machine's"
    assert check_brokers(60_000, lambda: 5_000).status == "problem"


# -- ClickHouse ------------------------------------------------------------------------------------------------------


class Tables:
    """A ClickHouse that knows these migrations; null: it has no database."""

    server_version = "26.5"

    def __init__(self, applied: dict[str, str] | None) -> None:
        self.applied = applied

    def query(self, text: str, parameters: Any = None) -> Any:
        rows: list[Any] = list((self.applied or {}).items())
        if "system.tables" in text:
            assert parameters == {"name": "shop"}
            rows = [(int(self.applied is not None),)]
        return type("Answer", (), {"result_rows": rows})


def test_migrations_that_are_not_applied_are_named() -> None:
    files = [Migration("001_a.sql", "SELECT 1"), Migration("002_b.sql", "SELECT 2")]
    applied = {file.name: file.checksum for file in files}
    assert check_clickhouse(Tables(applied), "h", "shop", files)[1].status == "ok"
    unknown: list[dict[str, str] | None] = [None, {}]
    for known in unknown:
        finding = check_clickhouse(Tables(known), "h", "shop", files)[1]
        assert (finding.status, finding.text) == ("problem", "database shop lacks 001_a.sql, 002_b.sql")
    finding = check_clickhouse(Tables({"001_a.sql": files[0].checksum}), "h", "shop", files)[1]
    assert (finding.text, "footfall sink" in finding.remedy) == ("database shop lacks 002_b.sql", True)


def test_the_specs_cover_every_input_topic() -> None:
    assert {spec.name for spec in SPECS if "message.timestamp.type" in spec.options} == set(INPUT_TOPICS)
