"""More workers than partitions: those without are ready, and take over from one that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

from streams.kafka.app import build_app
from streams.kafka.config import KafkaConfig
from streams.kafka.worker import Handlers, Worker
from streams.metrics import Health
from streams.roles.sink import SinkLimits, WarehouseSink
from streams.vitals import STANDS_BY
from tests.streams.kafka.harness import Log, Recorder, until

NewLog = Callable[..., Log]
State = tuple[dict[str, str], dict[str, str]]
"""Why it is not ready, and what is to be known of it."""
READY: State = ({}, {})
IDLE: State = ({}, {"partitions": STANDS_BY})


class Member:
    """A worker with the readiness of the sink."""

    def __init__(self) -> None:
        self.health = Health("partitions")
        self.role = Recorder()

    @property
    def state(self) -> State:
        return self.health.reasons, self.health.notes

    @asynccontextmanager
    async def running(self, config: KafkaConfig, group: str, log: Log) -> AsyncIterator[None]:
        unused = cast("Any", None)
        sink = WarehouseSink(unused, unused, unused, SinkLimits(), self.health)
        handlers = Handlers(self.role.handle_poll, sink.on_assigned, sink.on_revoked)
        worker = Worker(build_app(config, group, log.topics), handlers)
        task = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await task


async def test_of_two_workers_and_one_partition_one_works_and_the_other_is_ready_for_it(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, one, two = new_log(1, 1), Member(), Member()
    log.append(100)
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        await first.enter_async_context(one.running(config, fresh_name, log))
        await until(lambda: one.state == READY)
        await second.enter_async_context(two.running(config, fresh_name, log))
        await until(lambda: sorted([one.state, two.state], key=str) == sorted([READY, IDLE], key=str))
        await until(lambda: one.role.received + two.role.received >= log.size)
        idle, leaving = (one, second) if one.state == IDLE else (two, first)
        before = idle.role.received
        await leaving.aclose()
        await until(lambda: idle.state == READY)
        log.append(50)
        await until(lambda: idle.role.received >= before + 50)
