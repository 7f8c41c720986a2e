"""A worker process dies after each step of the journey, on real services: the next one ends up where none had died."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.codec import OutputCodec, framed
from schemas.partitioning import BUCKETS
from schemas.results import SegmentChange
from schemas.topics import INPUT_TOPICS, PROFILES, PURCHASE, SEGMENT_CHANGES
from sinks.installation import live_generation
from sinks.profiles import ProfileStore
from streams.boundaries import BOUNDARIES
from streams.clients import redis_client
from streams.embedded.ports import choose_port
from streams.embedded.supervisor import EmbeddedStack, StackPlan, embedded_settings
from streams.provenance import to_environment
from streams.registration import register_schemas
from streams.settings import Settings, load_settings
from tests.end_to_end.conftest import wait_until
from tests.end_to_end.crashing_worker import EXIT_CODE
from tests.streams.killing import distinct
from tests.streams.test_journey import essence, orders
from tests.streams.worker import PARTITIONS, Log, World, history_log, worked

POLL_RECORDS = 60
IN_TAKEOVERS = {"claim", "resend"}
WHEN = {"part": (4, 2), "commit": (4, 2), "publish": (4, 2), "ack": (2, 0), "offsets": (1, 0)}
"""From which passage on, and with how many decisions on their way. The first ones are steps of a decision while
one more is stored, published or waits. What is acknowledged, or committed to Kafka, is through."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Services with one log, on which one installation after another is tried."""

    settings: Settings
    codec: OutputCodec
    expected: World
    directory: Path
    changes: Output
    updates: Output

    def installation(self, name: str) -> Settings:
        """Its own consumer group and keys, on the same log."""
        redis = self.settings.redis.model_copy(update={"prefix": name})
        return self.settings.model_copy(update={"installation": name, "redis": redis})


class Output:
    """What has come to an output topic since it was last asked; the embedded broker would answer wrong ends."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
        numbers = self._consumer.list_topics(topic, timeout=20).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, number, 0) for number in numbers])

    def some(self) -> list[bytes]:
        """What is there, perhaps nothing."""
        return [message.value() or b"" for message in self._consumer.consume(5_000, 0.3) if message.error() is None]

    def rest(self) -> list[bytes]:
        """All of it, if nobody writes any more."""
        found: list[bytes] = []
        while new := self.some():
            found += new
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    names = ("kafka", "redis", "registry", "clickhouse", "process", "train", "sink")
    settings = embedded_settings(load_settings(), {name: choose_port() for name in names})
    quick = {"session_timeout": 2.0, "heartbeat_interval": 0.5, "rebalance_timeout": 2.0}
    kafka = settings.kafka.model_copy(update={"partitions": PARTITIONS, **quick})
    settings = settings.model_copy(update={"kafka": kafka, "clock": "event"})
    directory = tmp_path_factory.mktemp("crashes")
    stack = EmbeddedStack(directory / "stack", StackPlan(roles=(), drain=False), settings)
    with asyncio.Runner() as runner:
        runner.run(stack.start())
        try:
            ids = register_schemas(stack.settings)
            log = history_log(orders()[:400])
            send(log, stack.settings.kafka.bootstrap, ids)
            expected = runner.run(worked(log, POLL_RECORDS))
            codec = OutputCodec({topic: number for topic, number in ids.items() if topic not in INPUT_TOPICS})
            outputs = (Output(stack.settings.kafka.bootstrap, topic) for topic in (SEGMENT_CHANGES, PROFILES))
            yield Scene(stack.settings, codec, expected, directory, *outputs)
        finally:
            runner.run(stack.stop())


def send(log: Log, bootstrap: str, ids: dict[str, int]) -> None:
    """The log of the test in memory, under the ids of a real registry."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for (topic, partition), records in log.records.items():
        for record in records:
            value = record.value and framed(ids[topic], record.value[5:])
            producer.produce(topic, value, record.key, partition, headers=list(record.headers) or None)
    assert producer.flush(30) == 0


@contextmanager
def worker(scene: Scene, settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process; its output is in `<installation>-<step>.log`."""
    port = settings.metrics.model_copy(update={"process": choose_port()})
    environment = to_environment(settings.model_copy(update={"metrics": port}))
    command = ["tests.end_to_end.crashing_worker", *arguments] if arguments else ["streams.cli.main", "process"]
    path = scene.directory / f"{settings.installation}-{arguments[0] if arguments else 'heir'}.log"
    with path.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def crash(scene: Scene, settings: Settings, step: str, passage: int, in_flight: int) -> None:
    """A worker that dies there."""
    batch = settings.batch.model_copy(update={"max_records": POLL_RECORDS})
    small = settings.model_copy(update={"batch": batch})
    with worker(scene, small, step, str(passage), str(in_flight)) as process:
        assert process.wait(60) == EXIT_CODE, f"it did not come to die; see {scene.directory}"


def portraits(store: ProfileStore, prefix: str) -> dict[str, Any]:
    """What `World.portraits` shows, as Redis holds it."""
    found = {}
    for key in store.client.scan_iter(match=f"{prefix}:*:p:*", count=10_000):
        traits = orjson.loads(store.client.hget(key, "traits") or b"{}")
        found[key.rpartition(b":p:")[2].decode()] = {k: v for k, v in traits.items() if k != "churn"}
    return found


@pytest.mark.crash
@pytest.mark.embedded
@pytest.mark.parametrize("step", BOUNDARIES)
def test_the_next_worker_ends_up_where_none_had_died(scene: Scene, step: str) -> None:
    settings = scene.installation(f"crash-{step}")
    scene.changes.rest(), scene.updates.rest()
    if step in IN_TAKEOVERS:  # whoever died before has left an outbox
        crash(scene, settings, "commit", 4, 1)
        crash(scene, settings, step, 1, 0)
    else:
        crash(scene, settings, step, *WHEN.get(step, (4, 1)))
    before = [scene.codec.decode_change(value) for value in scene.changes.rest()]
    client = redis_client(settings)
    store = ProfileStore(client, settings.redis.prefix, live_generation(client, settings.redis.prefix))
    with worker(scene, settings):
        wait_until(lambda: dict(store.tallies(range(BUCKETS))) == expected_tallies(scene), 60)
        wait_until(lambda: not any(claim.outbox or claim.dirty for claim in store.peek(range(BUCKETS))))
    later = [scene.codec.decode_change(value) for value in scene.changes.rest()]
    assert any(change.cause == "tick" for change in later), "time had still to pass"
    assert without_ids(distinct([*before, *later])) == without_ids(scene.expected.changes())
    assert portraits(store, settings.redis.prefix) == scene.expected.portraits()
    updates = [scene.codec.decode_profile_update(value) for value in scene.updates.rest()]
    newest = {update.customer_id: update.traits for update in sorted(updates, key=lambda update: update.version)}
    sequences = {customer: orjson.loads(traits)["sequence"] for customer, traits in newest.items()}
    assert sequences == {customer: traits["sequence"] for customer, traits in scene.expected.portraits().items()}


def expected_tallies(scene: Scene) -> dict[str, int]:
    return {name: count for name, count in scene.expected.store.tallies().items() if count}


def without_ids(changes: list[SegmentChange]) -> dict[str, list[Any]]:
    """The change ids hold the topic's identity, which is another here; that they are distinct was asked before."""
    return {customer: [one[1:] for one in mine] for customer, mine in essence(changes).items()}


def test_the_steps_are_those_of_the_issue() -> None:
    assert {"claim", "resend", "bury", "commit", "publish", "ack", "offsets"} < set(BOUNDARIES)
    assert PURCHASE in INPUT_TOPICS
