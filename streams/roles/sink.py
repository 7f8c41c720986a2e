"""The sink role: what the log holds, into ClickHouse, in a consumer group of its own.

A poll becomes one frozen block a table; a block is repeated until it is in; then the poll is acknowledged. Polls
are spaced by `block_seconds` unless they are large, so that ClickHouse gets few large parts instead of many small.
A poll that is repeated after a crash has other edges and other blocks: the views show each row once all the same.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final, Protocol, TypeVar

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import Producer

from schemas.codec import OutputCodec
from schemas.errors import RetryableError, UnreachableError
from schemas.events import Chunk
from schemas.results import DeadLetter, OutgoingMessage
from schemas.topics import DEAD_LETTERS
from sinks.kafka import Publisher, build_producer_config
from sinks.migrations import apply_migrations, read_migrations
from sinks.warehouse import Block, Refused, Warehouse
from streams import metrics, restarts
from streams.blocks import TOPICS, PollReader, refusals
from streams.clients import warehouse_client
from streams.environment import contract_of, limits_of
from streams.kafka.app import build_app
from streams.kafka.chunks import TopicPartition
from streams.kafka.config import KafkaConfig, kafka_config
from streams.kafka.registry import Registry
from streams.kafka.topics import Topics, topic_specs
from streams.kafka.watchdog import Watchdog
from streams.kafka.worker import Handlers, Worker
from streams.probing import Prober, clickhouse_probe, kafka_probe
from streams.resources import resource
from streams.settings import Settings
from streams.vitals import STANDS_BY, Vitals

log = structlog.get_logger(__name__)

LARGE_SHARE: Final = 0.2
"""A poll of at least this share of a block is followed at once: there is more to read."""


_GC_THRESHOLD: Final = 100_000
"""A poll is tens of thousands of tuples in no cycle: looking for cycles every 700 objects finds none."""

_T = TypeVar("_T")
_R = TypeVar("_R")


class Writer(Protocol):
    """The part of `Warehouse` the sink uses."""

    def insert(self, block: Block) -> list[Refused]: ...


@dataclass(frozen=True, slots=True)
class SinkLimits:
    """How large and how frequent blocks are, and how failures are repeated. Times are seconds."""

    block_rows: int = 50_000
    block_seconds: float = 1.0
    first_retry: float = 0.2
    longest_retry: float = 15.0
    log_interval: float = 10.0


class WarehouseSink:
    """Handles polls: read, write, bury; returns when every row of the poll is in ClickHouse or in `dead-letters`."""

    def __init__(
        self,
        writer: Writer,
        reader: PollReader,
        bury: Callable[[Sequence[DeadLetter]], None],
        limits: SinkLimits,
        health: metrics.Health,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._bury = bury
        self._limits = limits
        self._health = health
        self._next_log = 0.0
        self.alive: Callable[[], None] = lambda: None
        """Called while a server keeps us waiting: the role is not hung."""

    async def on_assigned(self, tps: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Read on where the group left off: what is read twice is one row."""
        log.info("assigned", partitions=len(tps))
        self._health.ready("partitions", "" if tps else STANDS_BY)
        return {}

    async def on_revoked(self, tps: Collection[TopicPartition]) -> None:
        """Nothing is kept between polls."""
        log.info("revoked", partitions=len(tps))
        self._health.not_ready("partitions", "none are assigned")

    async def handle_poll(self, chunks: list[Chunk]) -> None:
        """Everything this poll asks for. Raises PoisonLimitError when too much of it is refused."""
        started = time.monotonic()
        contents = await self._repeated("the schema registry", self._reader.read, chunks)
        pending = sum(block.size for block in contents.blocks)
        metrics.SINK_PENDING_ROWS.set(pending)
        letters = [*contents.letters]
        for block in contents.blocks:
            letters += refusals(block, await self._write(block), chunks)
        if letters:
            await self._repeated("Kafka", self._bury, letters)
        metrics.SINK_PENDING_ROWS.set(0)
        self._observe_latency(chunks)
        if pending < self._limits.block_rows * LARGE_SHARE:
            await asyncio.sleep(max(0.0, started + self._limits.block_seconds - time.monotonic()))

    async def _write(self, block: Block) -> list[Refused]:
        began = time.perf_counter()
        refused = await self._repeated("ClickHouse", self._writer.insert, block)
        metrics.SINK_INSERT_SECONDS.labels(block.table).observe(time.perf_counter() - began)
        metrics.SINK_ROWS.labels(block.table).inc(block.size - len(refused))
        metrics.SINK_REFUSED.labels(block.table).inc(len(refused))
        metrics.SINK_BLOCKS.labels(block.table).inc()
        return refused

    async def _repeated(self, server: str, call: Callable[[_T], _R], argument: _T) -> _R:
        """The answer of a call in a thread, repeated for ever with the very same argument while the server is away."""
        wait = self._limits.first_retry
        while True:
            try:
                answer = await asyncio.to_thread(call, argument)
            except (RetryableError, UnreachableError) as error:
                self._note_failure(server, error)
                self.alive()
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  jitter
                wait = min(wait * 2, self._limits.longest_retry)
            else:
                self._health.ready(server)
                return answer

    def _note_failure(self, server: str, error: Exception) -> None:
        metrics.SINK_RETRIES.inc()
        self._health.not_ready(server, str(error))
        if time.monotonic() >= self._next_log:
            self._next_log = time.monotonic() + self._limits.log_interval
            log.warning("a server does not take our work; it is repeated until it does", server=server, why=str(error))

    def _observe_latency(self, chunks: Iterable[Chunk]) -> None:
        oldest = [chunk.records[0].timestamp for chunk in chunks if chunk.records]
        if oldest:
            metrics.SINK_LATENCY_SECONDS.observe(max(0.0, time.time() - min(oldest) / 1000))


def run(settings: Settings) -> int:
    """Run the role until SIGTERM or SIGINT; returns the exit code 0.

    Raises:
        ConfigurationError: a setting, a topic, or a migration that was changed after it was applied.
        UnreachableError: a server does not answer at the start.

    """
    health = metrics.Health("partitions", "ClickHouse", stalled_seconds=settings.health.stalled_seconds)
    server = metrics.MetricsServer(settings.metrics.sink, health, settings.metrics.host).start()
    try:
        with closing(warehouse_client(settings)) as client:
            migrate(client, settings.warehouse.database)
            health.ready("ClickHouse")
            restarts.show(settings, "sink")
            gc.freeze()
            gc.set_threshold(_GC_THRESHOLD)
            with closing(Watchdog()) as watchdog:  # asyncio.run waits for every thread, as one with an insert
                asyncio.run(_consume(settings, client, health, watchdog))
    finally:
        server.stop()
    return 0


def migrate(client: Any, database: str) -> None:
    """Bring the warehouse to this release's tables and views. Raises ConfigurationError and UnreachableError."""
    try:
        applied = apply_migrations(client, database, read_migrations(resource("clickhouse")))
    except ClickHouseError as error:
        raise UnreachableError(
            f"ClickHouse refuses the migrations of database {database} ({' '.join(str(error).split())[:300]}): "
            "the user of FOOTFALL_WAREHOUSE__USER needs CREATE, DROP VIEW, SELECT and INSERT there."
        ) from error
    if applied:
        log.info("migrations applied", database=database, names=applied)


async def _consume(settings: Settings, client: Any, health: metrics.Health, watchdog: Watchdog) -> None:
    limits = SinkLimits(settings.warehouse.block_rows, settings.warehouse.block_seconds)
    kafka = sink_kafka(settings, limits)
    await asyncio.to_thread(Topics(kafka).check, topic_specs(settings.kafka.partitions))
    with closing(Registry.of(settings.registry)) as registry:
        codec = OutputCodec(await asyncio.to_thread(registry.register), registry.lookup)
        publisher = Publisher(Producer(build_producer_config(kafka.librdkafka())))
        reader = PollReader(registry.lookup, contract_of(settings), codec, limits_of(settings))
        warehouse = Warehouse(client, settings.warehouse.database)
        sink = WarehouseSink(warehouse, reader, burier(publisher, codec), limits, health)
        app = build_app(kafka, settings.group("sink"), TOPICS)
        noted = restarts.noter(settings, "sink")
        handlers = Handlers(sink.handle_poll, sink.on_assigned, sink.on_revoked, on_stalled=noted)
        worker = Worker(app, handlers, watchdog=watchdog)
        sink.alive = worker.alive
        address = f"{settings.warehouse.host}:{settings.warehouse.port}"
        probes = {"Kafka": kafka_probe(kafka), "ClickHouse": clickhouse_probe(client, address)}
        asking = Prober(probes, health, settings.health.probe_seconds).asking()
        with asking, Vitals(worker, health, settings.health).watched():
            await worker.run()


def sink_kafka(settings: Settings, limits: SinkLimits) -> KafkaConfig:
    """The Kafka connection of the sink: a poll is a block, and what waits during an outage stays small."""
    return replace(
        kafka_config(settings, "sink"),
        max_poll_records=limits.block_rows,
        poll_seconds=inf,  # a slow ClickHouse wants large blocks more than ever
        # Every fetch costs the broker; one that outlives the request timeout costs the connection.
        fetch_wait=max(settings.kafka.fetch_wait, min(limits.block_seconds / 2, settings.kafka.request_timeout / 3)),
        polls_ahead=1,  # one read ahead would hold only what came in the first instant, and be a block of its own
        fetch_bytes=16 << 20,
        partition_fetch_bytes=1 << 20,
    )


def burier(publisher: Publisher, codec: OutputCodec) -> Callable[[Sequence[DeadLetter]], None]:
    """Publishes dead letters and returns when Kafka has confirmed them."""

    def bury(letters: Sequence[DeadLetter]) -> None:
        publisher.publish([
            OutgoingMessage(DEAD_LETTERS, letter.letter_id.encode(), codec.encode_dead_letter(letter))
            for letter in letters
        ])  # fmt: skip

    return bury
