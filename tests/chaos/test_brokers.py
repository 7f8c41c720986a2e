"""How a real Kafka is asked for, and what is said when it cannot be had."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import pytest

from schemas.errors import FootfallError, UnreachableError
from streams.kafka.config import KafkaConfig
from streams.kafka.topics import Topics, TopicSpec
from tests.chaos.__main__ import main
from tests.chaos.brokers import ControlledKafka

CONTROL = """#!/bin/sh
echo "$@" >> "{calls}"
[ "$1" = "{failing}" ] && echo "no such node" >&2 && exit 1
echo starting
echo 127.0.0.1:1,127.0.0.1:2
"""


def control(folder: Path, failing: str = "") -> tuple[ControlledKafka, Path]:
    program, calls = folder / "control", folder / "calls"
    program.write_text(CONTROL.format(calls=calls, failing=failing))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return ControlledKafka(folder / "data", 3, _command=[str(program)]), calls


def watched(kafka: ControlledKafka, seconds: float = 10) -> None:
    deadline = monotonic() + seconds
    while not kafka.whole:
        assert monotonic() < deadline
        kafka.watch()
        sleep(0.01)


def test_the_command_is_called_as_the_documentation_says(tmp_path: Path) -> None:
    kafka, calls = control(tmp_path)
    kafka.start()
    assert kafka.bootstrap == "127.0.0.1:1,127.0.0.1:2"
    kafka.kill(2, 0.1)
    assert not kafka.whole
    watched(kafka)
    kafka.stop()
    start, *others = calls.read_text().splitlines()
    home = f"--dir {tmp_path / 'data'}"
    assert start.startswith(f"start {home} --port ")
    assert start.endswith(" --nodes 3")
    assert others == [f"kill {home} --node 2", f"revive {home} --node 2", f"stop {home}"]
    assert kafka.kills == 1


def test_a_broker_that_does_not_come_back_is_an_error(tmp_path: Path) -> None:
    kafka, _ = control(tmp_path, failing="revive")
    kafka.start()
    kafka.kill(1, 0.0)
    with pytest.raises(FootfallError, match="did not come back: no such node"):
        watched(kafka)


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    kafka, _ = control(tmp_path, failing="start")
    with pytest.raises(FootfallError, match="KAFKA_CONTROL start failed: no such node"):
        kafka.start()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--broker", "kafka"], "needs KAFKA_CONTROL, a command that"),
        (["--nodes", "3"], "needs --broker kafka"),
        (["--drill", "redis", "--seconds", "69"], "needs --seconds 70 or more"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAFKA_CONTROL", raising=False)
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.skipif(
    "KAFKA_CONTROL" not in os.environ, reason="needs KAFKA_CONTROL (docs/chaos.md): a broker to restart"
)
def test_a_client_that_outlives_its_broker_still_learns_where_logs_begin(tmp_path: Path) -> None:
    """A restart raises the leader epoch; librdkafka went on asking with the old one, and no worker took over."""
    kafka = ControlledKafka(tmp_path / "data", 1)
    kafka.start()
    try:
        topics, wanted = Topics(KafkaConfig(kafka.bootstrap)), [("log", 0), ("log", 1)]
        topics.create([TopicSpec("log", 2)], replication=1)
        assert answered(topics, wanted)
        kafka.kill(1, 1.0)
        watched(kafka, 60)
        assert answered(topics, wanted)
    finally:
        kafka.stop()


def answered(topics: Topics, wanted: list[tuple[str, int]]) -> bool:
    """Whether every log is found to begin at 0, soon."""
    deadline = monotonic() + 30
    while monotonic() < deadline:
        with suppress(UnreachableError):
            return topics.first_offsets(wanted) == dict.fromkeys(wanted, 0)
        sleep(0.2)
    return False
