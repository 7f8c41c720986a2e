"""`footfall replay-topic` on both clocks: equal after a real run, damage by name, and a switch under traffic."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pytest

from processors.state import encode_state
from schemas.partitioning import bucket_of
from schemas.results import SegmentChange
from schemas.topics import INPUT_TOPICS, SEGMENT_CHANGES
from sinks.generations import Generations
from sinks.keys import bucket_keys
from streams.embedded.ports import choose_port
from streams.embedded.supervisor import EmbeddedStack, StackPlan, embedded_settings
from streams.replay.datasets import cdnow
from streams.roles.replay import ReplayOptions, replay
from streams.settings import load_settings
from tests.end_to_end.conftest import PARTITIONS, Installation, connected, wait_until
from tests.schemas.records import event

ROOT = Path(__file__).parents[2]
CUSTOMERS = [f"r{n}" for n in range(24)]


@dataclass
class Own:
    """An installation of its own: a switch changes which keys are live."""

    stack: EmbeddedStack
    installation: Installation
    generations: Generations
    sent: int = 0

    def at(self, generation: int) -> Installation:
        return replace(self.installation, store=self.generations.store(generation))

    def applied(self) -> int:
        counts = self.generations.store(self.generations.live()).tallies()
        return sum(n for name, n in counts.items() if name.startswith("received:"))

    def round(self, number: int) -> None:
        """One event of every customer, each time of another topic, read before the next round begins."""
        now = time.time_ns() // 1_000_000
        for n, customer in enumerate(CUSTOMERS):
            topic = INPUT_TOPICS[(n + number) % len(INPUT_TOPICS)]
            fields: dict[str, Any] = {"customer_id": customer, "event_id": f"{customer}-{number}"}
            fields |= {"event_time": now, "received_time": now}
            if topic == "purchase":
                fields["order_id"] = f"{customer}-{number}"
            self.installation.send(topic, event(topic, **fields))
        self.sent += len(CUSTOMERS)
        wait_until(lambda: self.applied() == self.sent)

    def rounds(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.round(number)

    def damage(self, customer: str) -> None:
        """Set the first visit of a stored live profile to 1."""
        generation = self.generations.live()
        profile = self.at(generation).profile(customer)
        assert profile is not None
        profile.first_seen = 1
        key = bucket_keys("ff", generation, bucket_of(customer)).profile_of(customer)
        self.generations.client.hset(key.decode(), "state", encode_state(profile))

    def replay_topic(self, *arguments: str) -> tuple[int, Any, str]:
        """Exit code, report and stderr of the command, in a process of its own."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
        argv = (sys.executable, "-m", "streams.cli.main", "replay-topic", "--json", *arguments)
        env = {**own, "PYTHONPATH": str(ROOT), **self.installation.environment}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=90, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    def changes(self) -> dict[str, list[SegmentChange]]:
        """Rule-driven changes, each id once, by customer in order of arrival."""
        found: dict[str, dict[str, SegmentChange]] = defaultdict(dict)
        deadline = time.monotonic() + 1.0
        for message in self.installation.read(SEGMENT_CHANGES, lambda _: time.monotonic() > deadline):
            change = self.installation.codec.decode_change(message.value() or b"")
            if change.driver == "rule":
                found[change.customer_id].setdefault(change.change_id, change)
        return {customer: list(mine.values()) for customer, mine in found.items()}


def started(directory: Path, clock: Literal["event", "wall"]) -> Iterator[Own]:
    names = ("kafka", "redis", "registry", "clickhouse", "process", "train", "sink")
    settings = embedded_settings(load_settings(clock=clock), {name: choose_port() for name in names})
    settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"partitions": PARTITIONS})})
    stack = EmbeddedStack(directory, StackPlan(roles=("process",), drain=False), settings)
    with asyncio.Runner() as runner:
        runner.run(stack.start())
        try:
            installation = connected(stack)
            yield Own(stack, installation, Generations(installation.store.client))
        finally:
            runner.run(stack.stop())


@pytest.fixture
def wall(tmp_path: Path) -> Iterator[Own]:
    yield from started(tmp_path, "wall")


@pytest.fixture
def historic(tmp_path: Path) -> Iterator[Own]:
    yield from started(tmp_path, "event")


def assert_numbered(changes: dict[str, list[SegmentChange]]) -> None:
    for customer, mine in changes.items():
        assert [change.sequence for change in mine] == list(range(1, len(mine) + 1)), customer


@pytest.mark.embedded
def test_in_production_it_compares_repairs_and_switches_while_events_come(wall: Own) -> None:
    for number in range(4):
        wall.round(number)
    wall.installation.send_raw("purchase", b"not avro", b"r1")
    wall.sent += 1
    code, report, said = wall.replay_topic()
    assert (code, report["equal"], report["listed"]) == (0, len(CUSTOMERS), []), said
    assert report["records_live"] == report["records_shadow"] == wall.sent

    wall.damage("r3")
    code, report, said = wall.replay_topic()
    assert code == 1
    assert report, said
    assert {(d["customer"], d["name"], d["live"]) for d in report["listed"]} == {("r3", "first_seen", "1")}

    worker = wall.stack.roles["process"].pid
    traffic = threading.Thread(target=wall.rounds, args=(range(4, 12),))
    traffic.start()
    code, report, said = wall.replay_topic("--switch")
    traffic.join()
    assert (code, report["switched"], report["corrections"]) == (0, True, 0), said
    assert wall.generations.live() == 2
    wall.round(12)
    assert wall.stack.roles["process"].pid == worker, "the same process goes on with the new generation"
    repaired = wall.at(2).profile("r3")
    assert repaired is not None
    assert repaired.first_seen > 1
    assert not list(wall.generations.customers(1))
    assert_numbered(wall.changes())
    code, report, _ = wall.replay_topic()
    assert (code, report["live_generation"], report["records_live"]) == (0, 2, wall.sent)


@pytest.mark.embedded
def test_in_a_replayed_history_it_compares_and_switches(historic: Own, tmp_path: Path) -> None:
    orders = list(islice(cdnow(), 3_000))
    parts = [orders[:2_000], orders[2_000:]]
    for n, part in enumerate(parts):
        file = tmp_path / f"{n}.jsonl"
        file.write_text("".join(json.dumps({"topic": topic, "event": one}) + "\n" for topic, one in part))
        sent = replay(historic.installation.settings, ReplayOptions(str(file)))
        historic.sent += sent.events + sent.markers
        wait_until(lambda: historic.applied() == historic.sent)
        code, report, said = historic.replay_topic("--switch")
        assert (code, report["listed"], report["switched"]) == (0, [], True), said
        assert report["records_live"] == historic.sent
        assert report["equal"] == report["customers"] > 500
    assert historic.generations.live() == 3
    changes = historic.changes()
    assert sum(map(len, changes.values())) > 3_000
    assert_numbered(changes)
