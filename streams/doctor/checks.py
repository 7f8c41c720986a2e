"""Every check of an installation, from its settings. Clients are made within the checks: each has its own patience."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis

from schemas.errors import ConfigurationError
from schemas.evolution import LEVEL_OF
from schemas.partitioning import BUCKETS
from schemas.topics import INPUT_TOPICS
from sinks.installation import live_generation
from sinks.migrations import read_migrations
from sinks.profiles import ProfileStore
from streams.blocks import TOPICS as SINK_TOPICS
from streams.clients import redis_client, warehouse_client
from streams.conservation import Place
from streams.doctor import clickhouse, clocks, kafka, positions, registry
from streams.doctor import redis as redis_checks
from streams.doctor.finding import Check, Finding, NotCheckedError
from streams.doctor.standing import foreign_fences, standings
from streams.kafka.clock import end_offsets
from streams.kafka.config import kafka_config
from streams.kafka.registry import Registry
from streams.kafka.topics import Topics, topic_specs
from streams.resources import resource
from streams.segments_file import rule_set
from streams.settings import Settings

_ANSWER_SECONDS: Final = 4.0
"""What one answer may take; a check asks a few times and is bounded as a whole."""


def checks_of(settings: Settings) -> list[Check]:
    """All checks, in the order of the report."""
    of = _Checks(settings)
    return [
        Check("segments", of.segments),
        Check("kafka", of.kafka),
        Check("topics", of.topics, "kafka"),
        Check("registry", of.registry),
        Check("redis", of.redis),
        Check("clickhouse", of.clickhouse),
        Check("redis clock", of.redis_clock, "redis"),
        Check("clickhouse clock", of.clickhouse_clock, "clickhouse"),
        Check("kafka clock", of.kafka_clock, "kafka and its topics"),
        Check("lag of process", of.process, "kafka, its topics and redis"),
        Check("lag of sink", of.sink, "kafka and its topics"),
    ]


@dataclass(frozen=True, slots=True)
class _Checks:
    settings: Settings

    def segments(self) -> list[Finding]:
        rules = rule_set(self.settings)
        return [Finding("segments", "ok", f"version {rules.version}, {len(rules.units)} groups and single segments")]

    def kafka(self) -> list[Finding]:
        return kafka.check_kafka(self._topics(), self.settings.kafka.bootstrap)

    def topics(self) -> list[Finding]:
        return kafka.check_topics(self._topics(), topic_specs(self.settings.kafka.partitions))

    def registry(self) -> list[Finding]:
        with closing(Registry.of(self.settings.registry)) as client:
            return registry.check_registry(client.client, self.settings.registry.url, LEVEL_OF)

    def redis(self) -> list[Finding]:
        settings = self.settings.redis
        with self._redis() as client:
            return redis_checks.check_redis(client, settings.prefix, self.settings.installation, settings.address)

    def clickhouse(self) -> list[Finding]:
        settings = self.settings.warehouse
        migrations = read_migrations(resource("clickhouse"))
        with self._warehouse() as client:
            address = f"{settings.host}:{settings.port}"
            return clickhouse.check_clickhouse(client, address, settings.database, migrations)

    def redis_clock(self) -> list[Finding]:
        with self._redis() as client:
            return [clocks.check_clock("Redis", clocks.redis_clock(client))]

    def clickhouse_clock(self) -> list[Finding]:
        with self._warehouse() as client:
            return [clocks.check_clock("ClickHouse", clocks.clickhouse_clock(client))]

    def kafka_clock(self) -> list[Finding]:
        self._require_topics()
        config = kafka_config(self.settings, "doctor")
        ends = asyncio.run(end_offsets(config, [(topic, 0) for topic in INPUT_TOPICS]))
        return [clocks.check_brokers(clocks.newest_append_time(config, ends))]

    def process(self) -> list[Finding]:
        """Redis first: what is appended or applied meanwhile is in flight, never too much."""
        self._require_topics()
        partitions, limit = self.settings.kafka.partitions, self.settings.health.max_lag_records
        topics, tps = self._topics(), self._places(INPUT_TOPICS)
        with self._redis() as client:
            prefix = self.settings.redis.prefix
            claims = ProfileStore(client, prefix, live_generation(client, prefix)).peek(range(BUCKETS))
        ids = topics.identities(INPUT_TOPICS)
        committed = topics.committed(self.settings.group("process"))
        found = standings(claims, ids, partitions, topics.first_offsets(tps), self._ends(tps))
        return [
            positions.judge_claims(claims, foreign_fences(claims, ids, partitions), committed),
            positions.judge_process(found, limit),
            positions.judge_conservation(found),
        ]

    def sink(self) -> list[Finding]:
        self._require_topics()
        topics, tps = self._topics(), self._places(SINK_TOPICS)
        committed = topics.committed(self.settings.group("sink"))
        firsts, ends = topics.first_offsets(tps), self._ends(tps)
        held = {tp: (firsts.get(tp, 0), ends.get(tp, 0)) for tp in tps}
        return [positions.judge_group("sink", held, committed, self.settings.health.max_lag_records)]

    def _topics(self) -> Topics:
        return Topics(kafka_config(self.settings, "doctor"))

    def _require_topics(self) -> None:
        """Ask for no topic that is not there: the embedded broker would make it."""
        try:
            self._topics().check(topic_specs(self.settings.kafka.partitions))
        except ConfigurationError as error:
            raise NotCheckedError(str(error)) from None

    def _places(self, topics: Sequence[str]) -> list[Place]:
        specs = {spec.name: spec.partitions for spec in topic_specs(self.settings.kafka.partitions)}
        return [(topic, number) for topic in topics for number in range(specs[topic])]

    def _ends(self, tps: Sequence[Place]) -> dict[Place, int]:
        return asyncio.run(end_offsets(kafka_config(self.settings, "doctor"), tps))

    @contextmanager
    def _redis(self) -> Iterator[Redis]:
        with closing(redis_client(self.settings, _ANSWER_SECONDS)) as client:
            yield client

    @contextmanager
    def _warehouse(self) -> Iterator[Any]:
        with closing(warehouse_client(self.settings, timeout=_ANSWER_SECONDS)) as client:
            yield client
