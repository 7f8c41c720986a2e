from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from confluent_kafka import Producer

from schemas.codec import OutputCodec, framed
from schemas.errors import PoisonLimitError, RetryableError, UnreachableError
from schemas.results import DeadLetter, ProfileUpdate, SegmentChange
from schemas.topics import CLOCK_HEADER, PROFILES, SEGMENT_CHANGES
from schemas.validation import ContractRules
from sinks.rows import CHANGES, EVENTS, PROFILE_VERSIONS
from sinks.warehouse import Block, Refused
from streams.blocks import PollReader
from streams.embedded.broker import Broker
from streams.embedded.clickhouse import ClickHouse
from streams.embedded.ports import choose_port
from streams.embedded.registry import Registry as RegistryServer
from streams.kafka.config import kafka_config
from streams.kafka.registry import Registry
from streams.kafka.topics import Topics, topic_specs
from streams.metrics import Health
from streams.roles.sink import SinkLimits, WarehouseSink
from streams.settings import EMBEDDED_KAFKA, load_settings
from tests.sinks.records import IDS, NOON, Record, chunk, event, lookup

CODEC = OutputCodec(IDS, lookup)
ROLE = """
import json, os, sys
from streams.roles.sink import run
from streams.settings import load_settings
sys.exit(run(load_settings(**json.loads(os.environ["OVERRIDES"]))))
"""
QUICK = SinkLimits(block_rows=100, block_seconds=0.01, first_retry=0.001, longest_retry=0.002)


class Table:
    """A warehouse that keeps blocks; each call first raises the next of `errors`, if any."""

    def __init__(self, errors: Sequence[Exception] = (), refused: Sequence[Refused] = ()) -> None:
        self.errors = list(errors)
        self.refused = list(refused)
        self.seen: list[Block] = []
        self.blocks: list[Block] = []

    def insert(self, block: Block) -> list[Refused]:
        self.seen.append(block)
        if self.errors:
            raise self.errors.pop(0)
        self.blocks.append(block)
        return self.refused if block.table == EVENTS else []


class Graveyard:
    """Where dead letters go."""

    def __init__(self, errors: Sequence[Exception] = ()) -> None:
        self.errors = list(errors)
        self.letters: list[DeadLetter] = []

    def __call__(self, letters: Sequence[DeadLetter]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.letters += letters


def sink_of(
    table: Table,
    graveyard: Graveyard | None = None,
    schemas: Callable[[int], Any] = lookup,
    health: Health | None = None,
    limits: SinkLimits = QUICK,
) -> WarehouseSink:
    reader = PollReader(schemas, ContractRules(), CODEC)
    return WarehouseSink(table, reader, graveyard or Graveyard(), limits, health or Health())


def change(number: int) -> Record:
    value = CODEC.encode_change(SegmentChange(
        change_id=f"c{number}", customer_id="ada", sequence=number, driver="rule", segment="active", group="activity",
        from_segment=None, to_segment="active", direction="entered", effective_time=NOON, cause="tick", evidence={},
        churn_probability=0.5, suggested_action=None, rule_version="1",
    ))  # fmt: skip
    return Record(number, b"ada", value)


def profile(number: int) -> Record:
    return Record(number, b"ada", CODEC.encode_profile_update(ProfileUpdate("ada", number + 1, NOON, b"{}")))


async def test_a_poll_is_one_block_a_table() -> None:
    table = Table()

    await sink_of(table).handle_poll([
        chunk("clickstream", [event("clickstream", n) for n in range(3)]),
        chunk("purchase", [event("purchase", n) for n in range(2)]),
        chunk(SEGMENT_CHANGES, [change(0)]),
        chunk(PROFILES, [profile(0), profile(1)]),
    ])  # fmt: skip

    assert {block.table: block.size for block in table.blocks} == {EVENTS: 5, CHANGES: 1, PROFILE_VERSIONS: 2}


async def test_during_an_outage_the_identical_block_is_repeated_and_nothing_is_lost_or_doubled() -> None:
    table = Table([RetryableError("away")] * 5)
    health, asked = Health(), []
    sink = sink_of(table, health=health)
    sink.alive = lambda: asked.append(dict(health.reasons))

    await sink.handle_poll([chunk("clickstream", [event("clickstream", n) for n in range(3)])])

    assert len(table.seen) == 6
    assert {(block.token, block.payload) for block in table.seen} == {(table.blocks[0].token, table.blocks[0].payload)}
    assert [block.size for block in table.blocks] == [3]
    assert asked == [{"ClickHouse": "away"}] * 5
    assert health.reasons == {}


async def test_the_event_loop_lives_while_clickhouse_hangs() -> None:
    class Hanging(Table):
        def insert(self, block: Block) -> list[Refused]:
            time.sleep(0.2)
            return super().insert(block)

    poll = asyncio.create_task(sink_of(Hanging()).handle_poll([chunk("app", [event("app", 0)])]))
    beats = 0
    while not poll.done():
        await asyncio.sleep(0.01)
        beats += 1

    assert beats >= 10


async def test_a_registry_that_is_down_is_waited_for() -> None:
    answers: list[Any] = [UnreachableError("registry"), None]

    def flaky(schema_id: int) -> Any:
        error = answers.pop(0) if answers else None
        if error:
            raise error
        return lookup(schema_id)

    table = Table()
    await sink_of(table, schemas=flaky).handle_poll([chunk("social", [event("social", 0)])])

    assert [block.size for block in table.blocks] == [1]


async def test_what_the_processor_buries_is_not_an_event_and_not_buried_again() -> None:
    table, graveyard = Table(), Graveyard()
    bad = [
        event("purchase", 0, revenue=-5),
        Record(1, b"ada", b"\x00garbage"),
        Record(2, None, event("purchase", 2).value),
        event("purchase", 3, name="page_viewed"),
        Record(4, b"k", None, headers=[(CLOCK_HEADER, b"1714564800000")]),
        event("purchase", 5),
    ]

    await sink_of(table, graveyard).handle_poll([chunk("purchase", bad)])

    assert [block.rows["kafka_offset"].to_pylist() for block in table.blocks] == [[5]]
    assert graveyard.letters == []


async def test_a_row_clickhouse_refuses_is_buried_with_its_record() -> None:
    table, graveyard = Table(refused=[Refused(3, "too long")]), Graveyard([RetryableError("Kafka")])
    records = [event("social", n) for n in range(10, 12)]
    poll = [chunk("app", [event("app", 0), event("app", 1)], partition=3), chunk("social", records, partition=3)]

    await sink_of(table, graveyard).handle_poll(poll)

    (letter,) = graveyard.letters
    assert (letter.topic, letter.partition, letter.offset) == ("social", 3, 11)
    assert (letter.reason, letter.detail, letter.value) == ("sink_rejected", "too long", records[1].value)


async def test_an_output_record_nobody_can_read_is_buried_and_a_tombstone_is_not() -> None:
    table, graveyard = Table(), Graveyard()
    records = [profile(0), Record(1, b"ada", b"\x00\x00"), Record(2, b"bob", None)]

    for _ in range(2):
        await sink_of(table, graveyard).handle_poll([chunk(PROFILES, records)])

    assert [block.size for block in table.blocks] == [1, 1]
    assert [(letter.offset, letter.reason) for letter in graveyard.letters] == [(1, "undecodable")] * 2
    assert len({letter.letter_id for letter in graveyard.letters}) == 1


async def test_a_topic_full_of_unreadable_output_stops_the_sink() -> None:
    records = [Record(n, b"ada", b"?") for n in range(1_000)]

    with pytest.raises(PoisonLimitError, match="are bad"):
        await sink_of(Table()).handle_poll([chunk(PROFILES, records)])


async def test_small_polls_are_spaced_and_large_ones_are_not() -> None:
    async def seconds(records: int) -> float:
        began = time.monotonic()
        limits = SinkLimits(block_rows=100, block_seconds=0.3)
        await sink_of(Table(), limits=limits).handle_poll([chunk("app", [event("app", n) for n in range(records)])])
        return time.monotonic() - began

    assert await seconds(5) >= 0.29
    assert await seconds(50) < 0.29


@pytest.fixture
def private_broker(tmp_path: Path) -> Iterator[Broker]:
    """The sink reads topics by their fixed names, so it gets a broker of its own."""
    with Broker(choose_port(), tmp_path / "broker.log") as service:
        yield service


def test_records_become_rows_while_the_role_runs_and_sigterm_ends_it(
    private_broker: Broker, clickhouse: ClickHouse, registry_server: RegistryServer, fresh_database: str, tmp_path: Path
) -> None:
    overrides: dict[str, Any] = {
        "kafka": {"bootstrap": private_broker.bootstrap, "partitions": 2, **EMBEDDED_KAFKA},
        "registry": {"url": registry_server.url},
        "warehouse": {"port": clickhouse.launch.port, "database": fresh_database, "block_seconds": 0.2},
        "metrics": {"sink": choose_port()},
    }
    settings = load_settings(**overrides)
    Topics(kafka_config(settings, "test")).create(topic_specs(2), 1)
    ids = Registry.at(registry_server.url).register()
    with (tmp_path / "sink.log").open("wb") as output:
        environment = {**os.environ, "OVERRIDES": json.dumps(overrides)}
        role = subprocess.Popen([sys.executable, "-c", ROLE], env=environment, stdout=output, stderr=output)
    try:
        produce(private_broker.bootstrap, ids)
        client = clickhouse_connect.get_client(port=clickhouse.launch.port, database=fresh_database)
        counts = wait_for_rows(client, role)
        role.send_signal(signal.SIGTERM)
        assert role.wait(15) == 0, (tmp_path / "sink.log").read_text()[-3000:]
    finally:
        role.kill()
        role.wait()
    assert counts == (200, 1, 1)


def produce(bootstrap: str, ids: dict[str, int]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    codec = OutputCodec(ids)
    for n in range(200):
        topic = ("clickstream", "purchase")[n % 2]
        body = event(topic, n, f"c{n % 9}").value
        assert body is not None
        producer.produce(topic, framed(ids[topic], body[5:]), f"c{n % 9}")
    change_value, profile_value = change(1).value, profile(1).value
    assert change_value is not None
    assert profile_value is not None
    producer.produce(SEGMENT_CHANGES, framed(ids[SEGMENT_CHANGES], change_value[5:]), "ada")
    producer.produce(PROFILES, codec.encode_profile_update(ProfileUpdate("ada", 1, NOON, b"{}")), "ada")
    assert producer.flush(10) == 0


def wait_for_rows(client: Any, role: subprocess.Popen[bytes]) -> tuple[int, ...]:
    counts: tuple[int, ...] = ()
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and role.poll() is None:
        try:
            counts = client.query(
                "SELECT (SELECT count() FROM events), (SELECT count() FROM profiles),"
                " (SELECT count() FROM segment_changes)"
            ).result_rows[0]
        except clickhouse_connect.driver.exceptions.DatabaseError:
            counts = ()  # the migrations are not through
        if counts == (200, 1, 1):
            break
        time.sleep(0.3)
    return counts
