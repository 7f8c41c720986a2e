"""`footfall up` starts a role again that its watchdog has ended, says so, and gives up on one that stalls on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from streams.cli.up import report
from streams.embedded.child import ChildFailedError, Launch, Service
from streams.embedded.revival import TIMES, WITHIN_SECONDS, Revival
from streams.embedded.supervisor import EmbeddedStack, StackPlan
from streams.kafka.watchdog import STALLED_EXIT_CODE

COUNTS = "import pathlib, sys, time; file = pathlib.Path(sys.argv[1]); file.write_text(file.read_text() + 'x')"


class Role(Service):
    """A role that counts its starts, and ends with `code` in the first `stalls` of them."""

    def __init__(self, directory: Path, code: int, stalls: int) -> None:
        self.starts = directory / "starts"
        self.starts.touch()
        program = f"{COUNTS}; len(file.read_text()) > {stalls} and time.sleep(60); sys.exit({code})"
        argv = (sys.executable, "-c", program, str(self.starts))
        super().__init__(Launch("the role sink", argv, directory / "log"))


def stack_of(role: Role, directory: Path, said: list[tuple[str, str]]) -> EmbeddedStack:
    stack = EmbeddedStack(directory, StackPlan(report=lambda *line: said.append(line)))
    stack.roles = {"sink": role}
    role.start()
    return stack


@pytest.mark.parametrize(("code", "starts"), [(STALLED_EXIT_CODE, 1 + TIMES), (1, 1)])
async def test_a_role_that_stalls_on_or_fails_ends_the_command(tmp_path: Path, code: int, starts: int) -> None:
    said: list[tuple[str, str]] = []
    role = Role(tmp_path, code, 99)
    with pytest.raises(ChildFailedError, match=f"the role sink ended with exit status {code}"):
        await asyncio.wait_for(stack_of(role, tmp_path, said).watch(), 20)
    assert len(role.starts.read_text()) == starts
    assert said == [("sink", "restarted, its watchdog had ended it: its log says why")] * (starts - 1)


async def test_a_role_that_stalled_once_goes_on(tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    role = Role(tmp_path, STALLED_EXIT_CODE, 1)
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stack_of(role, tmp_path, said).watch(), 3)
        assert role.running
        assert len(said) == 1
    finally:
        role.stop(1.0)


def test_what_counts_is_how_often_lately(tmp_path: Path) -> None:
    seconds = [0.0]
    role, revival = Role(tmp_path, STALLED_EXIT_CODE, 99), Revival(now=lambda: seconds[0])

    def revived() -> bool:
        role.wait(10)
        return revival.revive("sink", role)

    role.start()
    assert not revival.revive("sink", role), "it runs"
    assert [revived() for _ in range(TIMES + 1)] == [True] * TIMES + [False]
    seconds[0] = WITHIN_SECONDS + 1
    assert revived()
    role.wait(10)


def test_it_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report("sink", "restarted, nothing had moved and its watchdog ended it")
    assert capsys.readouterr().out == "restarted sink (nothing had moved and its watchdog ended it)\n"
