"""Kills, stops and errors of whole worker processes, on the embedded broker or on a real one."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from streams.kafka.chunks import TopicPartition
from streams.kafka.config import KafkaConfig
from streams.kafka.watchdog import STALLED_EXIT_CODE
from tests.streams.kafka.harness import Log, until
from tests.streams.kafka.program import positions

NewLog = Callable[..., Log]
Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def fences(tmp_path: Path) -> Path:
    path = tmp_path / "fences"
    path.touch()
    return path


@contextmanager
def starter(config: KafkaConfig, group: str, fences: Path, log: Log) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(mode: str) -> subprocess.Popen[bytes]:
        arguments = [config.bootstrap, str(config.session_timeout), group, str(fences), mode, *log.topics]
        with (fences.parent / f"{len(started)}.log").open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.streams.kafka.program", *arguments], stdout=out, stderr=out
            )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


def applied(fences: Path) -> dict[TopicPartition, list[tuple[int, int]]]:
    ranges: dict[TopicPartition, list[tuple[int, int]]] = {}
    for line in fences.read_text().splitlines():
        topic, partition, first, after = line.split()
        ranges.setdefault((topic, int(partition)), []).append((int(first), int(after)))
    return ranges


def total(fences: Path) -> int:
    return sum(positions(fences).values())


def committed(config: KafkaConfig, group: str) -> dict[TopicPartition, int]:
    admin = AdminClient(config.librdkafka())
    answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result()
    return {(tp.topic, tp.partition): tp.offset for tp in answer.topic_partitions}


async def test_killed_again_and_again_it_applies_every_record_exactly_once(
    config: KafkaConfig, new_log: NewLog, fresh_name: str, fences: Path
) -> None:
    log = new_log(2)
    log.append(1500)
    with starter(config, fresh_name, fences, log) as start:
        for seed in range(2):
            process, before = start("fence"), total(fences)
            goal = before + random.Random(seed).randrange(1000, 4000)
            await until(lambda goal=goal: total(fences) > goal)  # type: ignore[misc]
            process.kill()
            process.wait()
            fence = positions(fences)
            late = {tp: offset for tp, offset in committed(config, fresh_name).items() if offset > fence.get(tp, 0)}
            assert not late, "committed past what was applied"
        start("fence")
        await until(lambda: total(fences) == log.size)
    for tp, ranges in applied(fences).items():
        ends = [0, *(after for _, after in ranges)]
        assert [first for first, _ in ranges] == ends[:-1], f"{tp}: not contiguous"
        assert ends[-1] == log.ends[tp]


async def test_sigterm_finishes_commits_and_exits_0(
    config: KafkaConfig, new_log: NewLog, fresh_name: str, fences: Path
) -> None:
    log = new_log(1)
    log.append(2000)
    with starter(config, fresh_name, fences, log) as start:
        process = start("fence")
        await until(lambda: total(fences) > 500)
        process.send_signal(signal.SIGTERM)
        begun = monotonic()
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert monotonic() - begun < 3
    assert committed(config, fresh_name) == positions(fences)


async def test_an_error_of_the_role_ends_the_process_with_a_code(
    config: KafkaConfig, new_log: NewLog, fresh_name: str, fences: Path
) -> None:
    log = new_log(1)
    log.append(500)
    with starter(config, fresh_name, fences, log) as start:
        process = start("broken")
        assert await asyncio.to_thread(process.wait, 20) == 1
    assert "ZeroDivisionError" in (fences.parent / "0.log").read_text()
    assert committed(config, fresh_name) == positions(fences)


async def test_sigterm_during_a_hung_poll_ends_the_process_within_the_drain_timeout(
    config: KafkaConfig, new_log: NewLog, fresh_name: str, fences: Path
) -> None:
    log = new_log(1)
    log.append(10)
    with starter(config, fresh_name, fences, log) as start:
        process = start("hung")
        await until(lambda: total(fences) > 0)
        process.send_signal(signal.SIGTERM)
        begun = monotonic()
        assert await asyncio.to_thread(process.wait, 10) != 0
        assert monotonic() - begun < 4
    assert not {tp: offset for tp, offset in committed(config, fresh_name).items() if offset > 0}


async def test_a_thread_that_does_not_end_outlives_no_drain_timeout(
    config: KafkaConfig, new_log: NewLog, fresh_name: str, fences: Path
) -> None:
    """The event loop waits at its end for threads that nobody waits for any more, as one that asks a dead Redis."""
    log = new_log(1)
    log.append(10)
    with starter(config, fresh_name, fences, log) as start:
        process = start("thread")
        await until(lambda: total(fences) > 0)
        process.send_signal(signal.SIGTERM)
        begun = monotonic()
        assert await asyncio.to_thread(process.wait, 40) == STALLED_EXIT_CODE
        assert monotonic() - begun < 4
    assert "told: hung stop" in (fences.parent / "0.log").read_text()


async def test_a_second_sigterm_stops_at_once_and_loses_nothing(
    config: KafkaConfig, new_log: NewLog, fresh_name: str, fences: Path
) -> None:
    log = new_log(1)
    log.append(100)
    with starter(config, fresh_name, fences, log) as start:
        process = start("hung")
        await until(lambda: total(fences) > 0)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        begun = monotonic()
        assert await asyncio.to_thread(process.wait, 10) == STALLED_EXIT_CODE
        assert monotonic() - begun < 1
        start("fence")
        await until(lambda: total(fences) == log.size)
    check_contiguous(fences, log)


@pytest.mark.parametrize("mode", ["silent", "deaf"])
async def test_when_nothing_moves_the_process_ends_says_why_and_the_next_one_goes_on(
    config: KafkaConfig, new_log: NewLog, fresh_name: str, fences: Path, mode: str
) -> None:
    """With the default of 22 s instead of 2 all is read 25 s after the silence began (measured; 30 s are allowed)."""
    kind = {"silent": "silent consumer", "deaf": "standstill"}[mode]
    log = new_log(1)
    log.append(1000)
    with starter(config, fresh_name, fences, log) as start:
        process = start(mode)
        await until(lambda: total(fences) >= 150 if mode == "deaf" else total(fences) > 0)
        begun = monotonic()
        assert await asyncio.to_thread(process.wait, 20) == STALLED_EXIT_CODE
        assert monotonic() - begun < 10
        said = (fences.parent / "0.log").read_text()
        assert f"told: {kind}" in said
        assert f"{kind}: no " in said
        start("fence")
        await until(lambda: total(fences) == log.size)
    check_contiguous(fences, log)


def check_contiguous(fences: Path, log: Log) -> None:
    for tp in log.tps:
        ranges = applied(fences)[tp]
        assert [first for first, _ in ranges] == [0, *(after for _, after in ranges)][:-1], f"{tp}: not contiguous"
        assert ranges[-1][1] == log.ends[tp]


async def test_three_workers_of_which_one_is_killed_and_one_stopped_apply_everything_once(
    config: KafkaConfig, new_log: NewLog, fresh_name: str, fences: Path
) -> None:
    log = new_log(2)
    log.append(1000)
    with starter(config, fresh_name, fences, log) as start:
        one, two, _three = start("fence"), start("fence"), start("fence")
        await until(lambda: total(fences) > 800)
        one.kill()
        await until(lambda: total(fences) > 1600)
        two.send_signal(signal.SIGTERM)
        await until(lambda: total(fences) == log.size, 40)
    for tp in log.tps:
        ranges = applied(fences)[tp]
        assert [first for first, _ in ranges] == [0, *(after for _, after in ranges)][:-1], f"{tp}: not contiguous"
