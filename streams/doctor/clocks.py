"""Clocks: how far this machine's and each server's are apart. Ticks and latencies are only as true as they agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import redis
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, TopicPartition

from sinks.redis_calls import failures_of
from streams.doctor.finding import Finding
from streams.kafka.config import KafkaConfig

WARN_MS: Final = 1_000
PROBLEM_MS: Final = 5_000
"""A customer leaves a segment within 5 s of the exact instant: with clocks further apart that cannot hold."""
_READ_SECONDS: Final = 3.0
_SAMPLED: Final = 16

Clock = Callable[[], int]
"""Tells an instant, ms since the epoch."""


def here() -> int:
    """The time of this machine."""
    return time.time_ns() // 1_000_000


def check_clock(server: str, there: Clock, now: Clock = here) -> Finding:
    """How far a server's clock is from ours. What the round trip took is not held against it."""
    before = now()
    instant = there()
    after = now()
    apart = instant - (before + after) // 2
    beyond = max(0, abs(apart) - (after - before + 1) // 2)
    return judge_skew(server, apart, beyond)


def judge_skew(server: str, apart: int, beyond: int) -> Finding:
    """`apart` ms, of which so many are more than the measurement's own doubt."""
    name = f"{server.lower()} clock"
    if beyond <= WARN_MS:
        return Finding(name, "ok", f"{apart:+d} ms from this machine's")
    way = "ahead of" if apart > 0 else "behind"
    text = f"{abs(apart) / 1000:.1f} s {way} this machine's"
    return Finding(name, "problem" if beyond > PROBLEM_MS else "warning", text, "let NTP set both clocks")


def redis_clock(client: redis.Redis) -> Clock:
    """Redis TIME."""

    def tell() -> int:
        with failures_of(client):
            seconds, micros = client.time()
        return seconds * 1000 + micros // 1000

    return tell


def clickhouse_clock(client: Any) -> Clock:
    """ClickHouse now64."""
    return lambda: int(client.query("SELECT toUnixTimestamp64Milli(now64(3))").result_rows[0][0])


def check_brokers(newest: int | None, now: Clock = here) -> Finding:
    """Kafka tells no time; but a record appended in our future betrays a broker whose clock is ahead."""
    if newest is None:
        return Finding("kafka clock", "ok", "not told: the newest records do not carry the broker's time")
    ahead = newest - now()
    if ahead <= WARN_MS:
        return Finding("kafka clock", "ok", "no record was appended later than now")
    return judge_skew("Kafka", ahead, ahead)


def newest_append_time(config: KafkaConfig, ends: Mapping[tuple[str, int], int]) -> int | None:
    """The latest append time (ms) among the last records of some topic-partitions; null where none carries one."""
    last = [TopicPartition(*tp, end - 1) for tp, end in ends.items() if end > 0][:_SAMPLED]
    if not last:
        return None
    options = {**config.librdkafka(), "group.id": f"{config.client_id}-doctor", "log_level": 0}
    consumer = Consumer({**options, "enable.auto.commit": False})
    consumer.assign(last)
    try:
        times: dict[tuple[str | None, int | None], int] = {}
        deadline = time.monotonic() + _READ_SECONDS
        while len(times) < len(last) and time.monotonic() < deadline:
            for message in consumer.consume(len(last), 0.2):
                kind, instant = message.timestamp()
                if message.error() is None:
                    times[message.topic(), message.partition()] = instant * (kind == TIMESTAMP_LOG_APPEND_TIME)
    finally:
        consumer.close()
    return max(times.values(), default=0) or None
