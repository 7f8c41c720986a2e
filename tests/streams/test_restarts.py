"""An end by watchdog is counted before the process ends, and shown by the next process of the same role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import SecretStr

from streams import metrics, restarts
from streams.embedded.broker import Broker
from streams.embedded.clickhouse import ClickHouse
from streams.embedded.ports import choose_port
from streams.embedded.redis import RedisServer
from streams.embedded.registry import Registry
from streams.kafka.config import kafka_config
from streams.kafka.standstill import KINDS
from streams.kafka.topics import Topics, topic_specs
from streams.kafka.watchdog import STOP, WORK, Watchdog
from streams.roles import sink, train
from streams.settings import (
    KafkaSettings,
    MetricsSettings,
    RedisSettings,
    RegistrySettings,
    Settings,
    WarehouseSettings,
)
from tests.streams.roles.test_process import role_in, world_of

NONE = dict.fromkeys(KINDS, 0.0)


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """The metric as a process that has just started has it."""
    metrics.WATCHDOG_RESTARTS.clear()
    yield
    metrics.WATCHDOG_RESTARTS.clear()


@pytest.fixture
def redis_settings(valkey: RedisServer, fresh_name: str) -> RedisSettings:
    return RedisSettings(url=SecretStr(valkey.url), prefix=fresh_name)


def shown() -> dict[str, float]:
    [family] = metrics.WATCHDOG_RESTARTS.collect()
    return {sample.labels["kind"]: sample.value for sample in family.samples if sample.name.endswith("_total")}


def test_what_ended_a_worker_is_shown_by_the_next_one_however_often_it_begins_anew(
    redis_settings: RedisSettings,
) -> None:
    settings = Settings(installation="test", redis=redis_settings)
    restarts.show(settings, "process")
    assert shown() == NONE
    role, _ = role_in(world_of(), redis_settings)
    for kind in ("standstill", "hung work", "standstill"):
        role.stalled(kind)
    assert shown() == NONE, "this process does not live to show it"
    for _ in range(2):
        restarts.show(settings, "process")
    assert shown() == {**NONE, "standstill": 2, "hung work": 1}


def test_each_role_shows_its_own(redis_settings: RedisSettings) -> None:
    settings = Settings(installation="test", redis=redis_settings)
    restarts.noter(settings, "sink")("hung stop")
    restarts.show(settings, "process")
    assert shown() == NONE
    restarts.show(settings, "sink")
    assert shown() == {**NONE, "hung stop": 1}


def test_without_redis_an_end_is_an_end_and_the_metric_is_absent() -> None:
    nobody = RedisSettings(url=SecretStr(f"redis://127.0.0.1:{choose_port()}/0"))
    settings = Settings(installation="test", redis=nobody)
    restarts.noter(settings, "sink")("standstill")
    restarts.show(settings, "sink")
    assert shown() == {}


class Stalling:
    """A worker of the sink in which nothing moves."""

    def __init__(self, _app: Any, handlers: Any, **_: Any) -> None:
        self._handlers = handlers
        self.alive = lambda: None
        self.handed_out = 0

    def lag(self) -> dict[Any, int]:
        return {}

    async def run(self) -> None:
        self._handlers.on_stalled("standstill")


@pytest.fixture
def all_servers(
    redis_settings: RedisSettings,
    registry_server: Registry,
    clickhouse: ClickHouse,
    fresh_database: str,
    tmp_path: Path,
) -> Iterator[Settings]:
    """What a sink and a trainer start against. Topics have fixed names, so it gets a broker of its own."""
    with Broker(choose_port(), tmp_path / "broker.log") as broker:
        settings = Settings(
            installation="test",
            kafka=KafkaSettings(bootstrap=broker.bootstrap, partitions=1),
            registry=RegistrySettings(url=registry_server.url),
            redis=redis_settings,
            warehouse=WarehouseSettings(port=clickhouse.launch.port, database=fresh_database),
            metrics=MetricsSettings(sink=choose_port(), train=choose_port()),
        )
        Topics(kafka_config(settings, "test")).create(topic_specs(1), 1)
        yield settings


def test_the_sink_counts_its_own(all_servers: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "Worker", Stalling)
    monkeypatch.setattr(sink, "gc", Mock())  # this process goes on
    for ends in range(2):
        assert sink.run(all_servers) == 0
        assert shown() == {**NONE, "standstill": ends}


def test_the_trainer_counts_its_own_and_no_stop_that_was_asked_for_twice(
    all_servers: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdogs: list[Watchdog] = []

    def kept(**options: Any) -> Watchdog:
        watchdogs.append(Watchdog(**options))
        return watchdogs[-1]

    def stalling(_trainer: train.Trainer) -> None:
        for what in (WORK, STOP, "a stop asked for twice"):
            watchdogs[-1].tell(what)

    monkeypatch.setattr(train, "Watchdog", kept)
    monkeypatch.setattr(train.Trainer, "run", stalling)
    for ends in range(2):
        assert train.run(all_servers, Event()) == 0
        assert shown() == {**NONE, "hung work": ends, "hung stop": ends}
