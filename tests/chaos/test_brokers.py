"""How a real Kafka is asked for, and what is said when it cannot be had."""

from __future__ import annotations

import stat
from pathlib import Path
from time import monotonic, sleep

import pytest

from schemas.errors import FootfallError
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


def watched(kafka: ControlledKafka) -> None:
    deadline = monotonic() + 10
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
    [(["--broker", "kafka"], "needs KAFKA_CONTROL, a command that"), (["--nodes", "3"], "needs --broker kafka")],
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
