"""SIGTERM to a worker that has more to read than it can: it finishes what it holds, and the next one counts on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from processors.measures import M
from processors.profile import ROW_LIFE
from schemas.codec import Encoder
from schemas.partitioning import BUCKETS
from schemas.topics import CLICKSTREAM
from streams.embedded.ports import choose_port
from streams.embedded.supervisor import EmbeddedStack, StackPlan, embedded_settings
from streams.kafka.config import kafka_config
from streams.kafka.topics import Topics
from streams.settings import load_settings
from tests.end_to_end.conftest import PARTITIONS, Installation, started, wait_until
from tests.schemas.records import event

pytestmark = pytest.mark.embedded

CUSTOMERS = 40
A_BURST = 400
"""Events sent at once, ten times a second."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Services without a role: the log of others would be no load, and this one would be a burden to them."""
    names = ("kafka", "redis", "registry", "clickhouse", "process", "train", "sink")
    settings = embedded_settings(load_settings(), {name: choose_port() for name in names})
    kafka = settings.kafka.model_copy(update={"partitions": PARTITIONS})
    settings = settings.model_copy(update={"kafka": kafka})
    with started(EmbeddedStack(tmp_path_factory.mktemp("load"), StackPlan(roles=(), drain=False), settings)) as place:
        yield place


class Load:
    """Page views of a few customers, sent by a thread until it is told to stop."""

    def __init__(self, place: Installation) -> None:
        self.sent = 0
        self._place = place
        self._encoder = Encoder(CLICKSTREAM, place.ids[CLICKSTREAM])
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join(30)
        assert self._place.producer.flush(30) == 0

    def _go_on(self) -> None:
        while not self._enough.wait(0.1):
            now = int(time.time() * 1000)
            for _ in range(A_BURST):
                customer = f"c{self.sent % CUSTOMERS}"
                fields = {"customer_id": customer, "event_id": f"e{self.sent}", "event_time": now}
                value = self._encoder.encode(event(CLICKSTREAM, **fields, received_time=now))
                self._place.producer.produce(CLICKSTREAM, value, customer.encode())
                self.sent += 1
            self._place.producer.poll(0)

    def expected(self) -> dict[str, int]:
        """Page views by customer."""
        return {f"c{n}": len(range(n, self.sent, CUSTOMERS)) for n in range(CUSTOMERS)}


@contextmanager
def worker(place: Installation, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = (sys.executable, "-m", "streams.cli.main", "process")
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env=dict(place.environment), stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def applied(place: Installation) -> int:
    tallies = place.store.tallies()
    return sum(tallies[f"applied:{CLICKSTREAM}:{number}"] for number in range(PARTITIONS))


def fences(place: Installation) -> dict[int, set[int]]:
    """Of each partition of the topic that was sent to: where its buckets would have it read on."""
    found: defaultdict[int, set[int]] = defaultdict(set)
    identity = Topics(kafka_config(place.settings, "test")).identities([CLICKSTREAM])[CLICKSTREAM]
    for claim in place.store.peek(range(BUCKETS)):
        for number in range(PARTITIONS):
            if f"{identity}:{number}" in claim.fences:
                found[number].add(claim.fences[f"{identity}:{number}"] + 1)
    return dict(found)


def committed(place: Installation) -> dict[int, int]:
    offsets = Topics(kafka_config(place.settings, "test")).committed(place.settings.group("process"))
    return {partition: offset for (topic, partition), offset in offsets.items() if topic == CLICKSTREAM}


def test_sigterm_under_load_leaves_nothing_behind_and_the_next_start_counts_on(
    place: Installation, tmp_path: Path
) -> None:
    with Load(place) as load:
        with worker(place, tmp_path / "first.log") as process:
            wait_until(lambda: applied(place) > 10 * A_BURST, 60)
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            code = process.wait(30)
            assert (code, time.monotonic() - began < 10) == (0, True), (tmp_path / "first.log").read_text()
        stopped_at = applied(place)
        assert stopped_at < load.sent, "it was under load"
        assert fences(place) == {partition: {offset} for partition, offset in committed(place).items()}
        assert sum(committed(place).values()) == stopped_at
    with worker(place, tmp_path / "second.log"):
        wait_until(lambda: applied(place) >= load.sent, 90)
        profiles = {customer: place.profile(customer) for customer in load.expected()}
    seen = {customer: profile and profile.totals[ROW_LIFE + M["page_views"]] for customer, profile in profiles.items()}
    assert seen == load.expected()
    whats = {name.partition(":")[0] for name, n in place.store.tallies().items() if n}
    assert whats == {"received", "applied"}, "nothing came twice"
    assert applied(place) == load.sent
