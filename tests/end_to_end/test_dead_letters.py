"""Refused, put right, sent again: on a running installation, with the commands an operator uses."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from schemas.partitioning import bucket_of
from schemas.topics import CLICKSTREAM, PURCHASE, REDRIVE_HEADER, REFUSED_HEADER
from sinks.keys import bucket_keys
from streams.embedded.ports import choose_port
from streams.embedded.role import RoleProcess
from streams.embedded.supervisor import EmbeddedStack, StackPlan, embedded_settings
from streams.settings import Settings, load_settings
from tests.end_to_end.conftest import Installation, connected, wait_until
from tests.schemas.records import event

ROOT: Final = Path(__file__).parents[2]
SILVER: Final = "XAG"


@dataclass(frozen=True, slots=True)
class Site:
    """Services without roles: a test starts the processor itself, with the settings of the day."""

    installation: Installation
    settings: Settings
    directory: Path
    redis: redis.Redis

    @contextmanager
    def processing(self, **rates: str) -> Iterator[None]:
        role = RoleProcess(
            "process", self.settings, self.directory / "process.log", {"FOOTFALL_RATES": json.dumps(rates)}
        )
        role.start()
        role.wait_ready()
        try:
            yield
        finally:
            role.stop()

    def footfall(self, *arguments: str) -> tuple[int, str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
        env = {**own, "PYTHONPATH": str(ROOT), **self.installation.environment}
        argv = (sys.executable, "-P", "-m", "streams.cli.main", "dead-letters", *arguments)
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    def redrive(self, *arguments: str) -> dict[str, Any]:
        code, said, error = self.footfall("redrive", "--yes", "--json", *arguments)
        assert (code, error) == (0, "")
        document: dict[str, Any] = json.loads(said)
        return document

    def tallied(self, topic: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for name, count in self.installation.store.tallies().items():
            what, of, _ = name.split(":")
            if of == topic:
                sums[what] = sums.get(what, 0) + count
        return sums


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    names = ("kafka", "redis", "registry", "clickhouse", "process", "train", "sink")
    settings = embedded_settings(load_settings(), {name: choose_port() for name in names})
    settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"partitions": 2})})
    directory = tmp_path_factory.mktemp("site")
    stack = EmbeddedStack(directory, StackPlan(roles=(), drain=False), settings)
    with asyncio.Runner() as runner:
        runner.run(stack.start())
        try:
            client = redis.Redis.from_url(stack.settings.redis.url.get_secret_value())
            yield Site(connected(stack), stack.settings, directory, client)
        finally:
            runner.run(stack.stop())


def silver_order(customer: str) -> dict[str, Any]:
    now = time.time_ns() // 1_000_000
    return event(
        PURCHASE, customer_id=customer, event_id=f"{customer}-order", order_id=f"{customer}-o", currency=SILVER,
        revenue=500, event_time=now, received_time=now,
    )  # fmt: skip


def visit(customer: str, number: int) -> dict[str, Any]:
    now = time.time_ns() // 1_000_000
    return event(
        CLICKSTREAM, customer_id=customer, event_id=f"{customer}-{number}", event_time=now, received_time=now
    )  # fmt: skip


def send_with_headers(site: Site, topic: str, value: bytes, key: bytes, headers: list[tuple[str, bytes]]) -> None:
    site.installation.producer.produce(topic, value, key, headers=headers)
    assert site.installation.producer.flush(20) == 0


def test_a_currency_added_later_and_a_key_removed_later_count_once_after_two_redrives(site: Site) -> None:
    order = silver_order("anna")
    profile_key = bucket_keys(site.settings.redis.prefix, 1, bucket_of("carl")).profile_of("carl")
    site.redis.set(profile_key, "another program's")
    with site.processing():
        site.installation.send(PURCHASE, order)
        site.installation.send(CLICKSTREAM, visit("carl", 1))
        site.installation.send(CLICKSTREAM, visit("dora", 1))
        wait_until(lambda: site.installation.profile("dora") is not None)
        wait_until(lambda: site.tallied(PURCHASE).get("dead_lettered") == 1)
        wait_until(lambda: site.tallied(CLICKSTREAM).get("dead_lettered") == 1)
    assert site.redis.get(profile_key) == b"another program's"

    code, said, _ = site.footfall("ls", "--json")
    assert code == 0
    letters = {found["customer"]: found for found in json.loads(said)["letters"]}
    assert {name: found["reason"] for name, found in letters.items()} == {
        "anna": "unknown_currency", "carl": "state_type_error",
    }  # fmt: skip

    site.redis.delete(profile_key)
    with site.processing(XAG="2"):
        assert site.redrive("--reason", "unknown_currency", "--reason", "state_type_error")["sent"] == 2
        again = site.redrive()
        assert (again["sent"], again["sent_before"]) == (0, 2)
        # as after a redrive that was killed before it could mark the letter
        headers = [(REDRIVE_HEADER, letters["anna"]["id"].encode()), (REFUSED_HEADER, b"unknown_currency")]
        send_with_headers(site, PURCHASE, site.installation.encode(PURCHASE, order), b"anna", headers)
        wait_until(lambda: site.tallied(PURCHASE).get("received") == 3)
        wait_until(lambda: site.tallied(CLICKSTREAM).get("received") == 3)
    anna, carl = site.installation.profile("anna"), site.installation.profile("carl")
    assert anna is not None
    assert carl is not None
    assert (anna.frequency, anna.monetary) == (1, 1_000)
    assert site.tallied(PURCHASE) == {"received": 3, "applied": 1, "duplicate": 1, "dead_lettered": 1}
    assert site.tallied(CLICKSTREAM) == {"received": 3, "applied": 2, "dead_lettered": 1}


def test_a_key_replaced_under_a_running_worker_stops_nobody_else(site: Site) -> None:
    with site.processing():
        site.installation.send(CLICKSTREAM, visit("emil", 1))
        wait_until(lambda: site.installation.profile("emil") is not None)
        key = bucket_keys(site.settings.redis.prefix, 1, bucket_of("emil")).profile_of("emil")
        site.redis.set(key, "another program's")
        before = site.tallied(CLICKSTREAM)
        for number in range(2, 5):
            site.installation.send(CLICKSTREAM, visit("emil", number))
            site.installation.send(CLICKSTREAM, visit(f"neighbour-{number}", 1))
        wait_until(lambda: site.installation.profile("neighbour-4") is not None)
        wait_until(lambda: site.tallied(CLICKSTREAM)["received"] == before["received"] + 6)
        after = site.tallied(CLICKSTREAM)
        assert after["dead_lettered"] - before["dead_lettered"] == 3
        assert after["applied"] - before["applied"] == 3
        assert site.redis.get(key) == b"another program's"
