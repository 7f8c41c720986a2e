"""The whole stack as children of one process: started, watched, stopped in order, and started again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from confluent_kafka import Producer

from schemas.errors import ConfigurationError
from sinks.keys import bucket_keys
from streams.embedded import supervisor
from streams.embedded.broker import Broker
from streams.embedded.broker_log import LogReaders, begin_new_log, note_stop
from streams.embedded.child import ChildFailedError
from streams.embedded.data_directory import DataDirectory
from streams.embedded.ports import choose_port, is_free
from streams.embedded.redis import RedisServer
from streams.embedded.supervisor import EmbeddedStack, StackPlan, embedded_settings
from streams.embedded.topics import make_topics
from streams.kafka.config import kafka_config
from streams.kafka.topics import Topics, topic_specs
from streams.settings import Settings, load_settings

pytestmark = pytest.mark.embedded


@pytest.fixture
def on_free_ports() -> Settings:
    names = ("kafka", "redis", "registry", "clickhouse", "process", "train", "sink")
    return embedded_settings(load_settings(), {name: choose_port() for name in names})


async def test_a_stack_starts_drains_stops_and_goes_on_from_its_data(tmp_path: Path, on_free_ports: Settings) -> None:
    said: list[tuple[str, str]] = []
    plan = StackPlan(roles=("process",), report=lambda name, state: said.append((name, state)))
    async with EmbeddedStack(tmp_path, plan, on_free_ports) as stack:
        assert set(stack.children) == {"kafka", "redis", "clickhouse", "registry", "process"}
        assert b"footfall_" in await asyncio.to_thread(fetch, stack.urls["process metrics"])
        producer = Producer({"bootstrap.servers": stack.urls["kafka"]})
        producer.produce("purchase", key=b"c", value=b"no such event")
        producer.flush(5)
        with pytest.raises(ConfigurationError, match=f"in use by process {os.getpid()}"):
            await EmbeddedStack(tmp_path, plan, on_free_ports).start()
    assert not any(child.running for child in stack.children.values())
    stopped = [name for name, state in said if state == "stopped"]
    assert stopped[0] == "process", "roles drain while their servers are still there"
    assert json.loads((tmp_path / "broker.json").read_text()) == {"unread": 0}

    async with EmbeddedStack(tmp_path, plan, on_free_ports) as stack:
        assert stack.warnings == []
        stack.children["redis"].signal(signal.SIGKILL)
        with pytest.raises(ChildFailedError, match=r"the embedded Redis was killed by SIGKILL.*redis\.log"):
            await asyncio.wait_for(stack.watch(), 5)
    assert not any(child.running for child in stack.children.values())


async def test_a_port_lost_between_choosing_and_binding_is_replaced(
    tmp_path: Path, on_free_ports: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, str]] = []
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", 0))
        thief.listen()
        stolen = [thief.getsockname()[1]]
        monkeypatch.setattr(
            supervisor, "choose_port", lambda port, taken: stolen.pop() if stolen else choose_port(port, taken)
        )
        plan = StackPlan(roles=(), report=lambda name, state: said.append((name, state)))
        async with EmbeddedStack(tmp_path, plan, on_free_ports) as stack:
            assert all(child.running for child in stack.children.values())
            assert stack.warnings == [], "nothing was lost: nobody knew where to write to"
    assert ("kafka", "lost its port, starting again on another") in said


def test_fences_of_a_broker_that_is_gone_begin_again_and_the_loss_is_said(
    broker: Broker, valkey: RedisServer, tmp_path: Path, fresh_name: str
) -> None:
    ports = {"kafka": broker.launch.port, "redis": valkey.launch.port, "registry": 1, "clickhouse": 1}
    settings = embedded_settings(load_settings(redis={"prefix": fresh_name}), ports)
    topics = Topics(kafka_config(settings, "test"))
    topics.create(topic_specs(settings.kafka.partitions), 1)
    data = DataDirectory(tmp_path)
    assert begin_new_log(settings, data) is None, "a new installation has lost nothing"

    client = redis.Redis.from_url(valkey.url, decode_responses=True)
    fence = bucket_keys(fresh_name, 1, 9).fence
    client.hset(fence, mapping={"epoch": "3", "token": "t", "number": "7", "oldtopic:1": "41"})
    tally = bucket_keys(fresh_name, 1, 9).tally
    client.hset(tally, mapping={"received:purchase:1": "42", "applied:purchase:1": "42"})
    assert "did not stop in order" in str(begin_new_log(settings, data))
    identity = topics.identities(["purchase"])["purchase"]
    found = client.hgetall(fence)
    assert isinstance(found, dict)
    assert found[f"{identity}:1"] == "-1"
    assert "oldtopic:1" not in found
    assert (found["epoch"], found["number"]) == ("3", "7")
    assert client.hget(tally, "before:purchase:1") == "42", "what is counted from now on is of the new log"

    client.hset(fence, mapping={"oldtopic:1": "41"})
    note_stop(data, 5)
    assert "5 accepted records" in str(begin_new_log(settings, data))
    client.hset(fence, mapping={"oldtopic:1": "41"})
    note_stop(data, 0)
    assert begin_new_log(settings, data) is None


def test_topics_that_a_producer_left_running_has_conjured_up_are_made_properly(tmp_path: Path) -> None:
    with Broker(choose_port(), tmp_path / "broker.log") as broker:
        ports = {"kafka": broker.launch.port, "redis": 1, "registry": 1, "clickhouse": 1}
        settings = embedded_settings(load_settings(kafka={"partitions": 8}), ports)  # the broker would make four
        producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
        producer.produce("purchase", b"too early")
        producer.flush(5)
        assert "reached the new broker before its topics" in str(make_topics(settings))
        Topics(kafka_config(settings, "test")).check(topic_specs(settings.kafka.partitions))
        producer.produce("purchase", b"in time")
        assert producer.flush(5) == 0


def test_unread_records_are_counted_one_by_one_although_the_broker_counts_batches(
    broker: Broker, fresh_name: str
) -> None:
    ports = {"kafka": broker.launch.port, "redis": 1, "registry": 1, "clickhouse": 1}
    settings = embedded_settings(load_settings(installation=fresh_name), ports)
    Topics(kafka_config(settings, "test")).create(topic_specs(settings.kafka.partitions), 1)
    readers = LogReaders(settings, ("process",))
    before = readers.unread()
    assert before is not None
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 50})
    for _ in range(10):
        producer.produce("purchase", b"one batch", partition=3)
    assert producer.flush(5) == 0
    assert readers.unread() == before + 10
    readers.close()


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as response:
        content: bytes = response.read()
    return content


# -- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def up(tmp_path: Path, on_free_ports: Settings) -> Iterator[subprocess.Popen[str]]:
    """`footfall up` without roles, ready, on ports of its own; its first choice for Redis is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", choose_port()))
        taken.listen()
        environment = {
            **os.environ,
            "FOOTFALL_KAFKA__BOOTSTRAP": on_free_ports.kafka.bootstrap,
            "FOOTFALL_REDIS__URL": f"redis://127.0.0.1:{taken.getsockname()[1]}/0",
            "FOOTFALL_REGISTRY__URL": on_free_ports.registry.url,
            "FOOTFALL_WAREHOUSE__PORT": str(on_free_ports.warehouse.port),
            "PYTHONUNBUFFERED": "1",
        }
        argv = (sys.executable, "-m", "streams.cli.main", "up", "--roles", "", "--data-dir", str(tmp_path / "data"))
        process = subprocess.Popen(
            argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        yield process
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"it ended without {text!r}:\n{seen}")


def ports_in(text: str) -> list[int]:
    return [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", text)]


def all_free_within(ports: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not all(is_free(port) for port in ports):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_ctrl_c_stops_everything_with_exit_code_0_and_ports_taken_are_replaced(up: subprocess.Popen[str]) -> None:
    ports = ports_in(read_until(up, "Ctrl-C"))
    assert len(ports) == 4
    assert not any(is_free(port) for port in ports)
    up.send_signal(signal.SIGINT)
    assert up.wait(20) == 0
    assert all_free_within(ports, 1)


def test_a_killed_supervisor_leaves_no_process_behind(up: subprocess.Popen[str]) -> None:
    ports = ports_in(read_until(up, "Ctrl-C"))
    up.kill()
    assert all_free_within(ports, 5)


def test_a_dead_child_ends_the_command_with_exit_code_1_its_name_and_its_log(
    up: subprocess.Popen[str], tmp_path: Path
) -> None:
    read_until(up, "Ctrl-C")
    children = Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split()
    victim = next(pid for pid in children if b"clickhouse_http" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(int(victim), signal.SIGKILL)
    assert up.stdout is not None
    text = up.stdout.read()
    assert up.wait(20) == 1
    assert "error: the embedded ClickHouse was killed by SIGKILL; its log is" in text
    assert str(tmp_path / "data" / "logs" / "clickhouse.log") in text
    assert "Traceback" not in text
