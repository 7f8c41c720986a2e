"""The demo: a history through a whole stack, its verdict, what it leaves behind, and the next start."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from rich.console import Console

from schemas.errors import ConfigurationError
from schemas.partitioning import bucket_of
from sinks.keys import bucket_keys
from streams.cli import demo as demo_module
from streams.cli.console import out
from streams.cli.demo import EVENTS, Demo, Programme, run
from streams.cli.demo_next import card_command, redis_command
from streams.cli.demo_questions import QUESTIONS
from streams.cli.demo_source import Source
from streams.cli.profile import show as show_profile
from streams.embedded.child import ChildFailedError
from streams.embedded.ports import choose_port
from streams.embedded.redis import RedisServer
from streams.embedded.supervisor import EmbeddedStack, StackPlan, embedded_settings
from streams.replay.datasets import dataset
from streams.replay.replayer import Progress
from streams.roles.replay import ReplayOptions
from streams.settings import Settings, load_settings

DAY = 86_400_000
START = 1_700_000_000_000


@pytest.fixture
def settings() -> Settings:
    names = ("kafka", "redis", "registry", "clickhouse", "process", "train", "sink")
    return embedded_settings(load_settings(clock="event"), {name: choose_port() for name in names})


@pytest.fixture
def said() -> Iterator[Console]:
    """What the command printed: `said.export_text()`."""
    out.record = True
    yield out
    out.record = False


def history(file: Path, day: int, events: int) -> str:
    """Orders of 20 customers, one an hour from that day on; the same order each 50th time."""
    lines = []
    for n in range(events):
        time = START + day * DAY + n * 3_600_000
        event = {
            "event_id": f"{file.stem}-{n // 50 * 50 if n % 50 == 1 else n}",
            "customer_id": f"c{(n // 50 * 50 if n % 50 == 1 else n) % 20}",
            "event_time": time, "received_time": time, "name": "order_completed", "channel": "store",
            "source": "test", "order_id": f"{file.stem}-{n}", "currency": "USD", "revenue": 1_000,
        }  # fmt: skip
        lines.append(json.dumps({"topic": "purchase", "event": event}))
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def customer_in(text: str) -> str:
    """The customer whose card the demo proposes."""
    (customer,) = re.findall(r"profile show (\S+)", text)
    return str(customer)


@pytest.mark.embedded
async def test_a_history_is_shown_judged_kept_and_followed_by_another_until_a_child_dies(
    tmp_path: Path, settings: Settings, said: Console
) -> None:
    data = tmp_path / "data"
    async with EmbeddedStack(data, StackPlan(), settings) as stack:
        demo = Demo(stack, Programme(history(tmp_path / "first.jsonl", 0, 400), 400))
        await asyncio.wait_for(demo.run(), 90)
        assert demo.code == 0
    text = said.export_text()
    assert "The conservation law holds: " in text
    assert re.search(r"purchase\t\d+\t392\t8\t0\t\d+", text) or "392" in text
    assert "These commands work while it is up" in text
    assert redis_command(stack.settings, customer_in(text)) in text
    assert "Who are the most valuable customers" in text

    async with EmbeddedStack(data, StackPlan(), settings) as stack:
        assert stack.warnings == [], "an orderly stop loses nothing"
        assert show_profile(stack.settings, "c7", as_json=False) == 0
        assert "20 orders" in said.export_text(), "profiles are kept"
        demo = Demo(stack, Programme(history(tmp_path / "second.jsonl", 30, 400), 400))
        await asyncio.wait_for(demo.run(), 90)
        assert show_profile(stack.settings, "c7", as_json=False) == 0
        assert "40 orders" in said.export_text(clear=False), "the next log is counted on top of what was kept"

        running = asyncio.create_task(Demo(stack, Programme(history(tmp_path / "x.jsonl", 60, 400), 400, 60.0)).run())
        await asyncio.sleep(2)
        stack.children["process"].signal(signal.SIGKILL)
        with pytest.raises(ChildFailedError, match=r"the role process was killed by SIGKILL.*process\.log"):
            await asyncio.wait_for(running, 15)


def test_a_folder_with_an_installation_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    with pytest.raises(ConfigurationError, match="would be counted on top"):
        run("max", exit_when_done=True, data_dir=tmp_path)


def test_an_unknown_speed_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match="--speed is `watch` or `max`, not 'fast'"):
        run("fast", exit_when_done=True, data_dir=None)


def test_data_that_there_is_not_is_one_sentence() -> None:
    with pytest.raises(
        ConfigurationError,
        match="--data is `demo` or `completejourney`, not 'cdnow'; for any other start `footfall up`",
    ):
        run("max", "cdnow", exit_when_done=True, data_dir=None)


def test_every_history_of_the_demo_has_questions_of_its_own() -> None:
    assert QUESTIONS.keys() == EVENTS.keys()
    assert "checkout_started" in "".join(QUESTIONS["demo"].values())
    assert "coupon" in "".join(QUESTIONS["completejourney"].values())
    assert Programme("own.jsonl").questions == QUESTIONS["demo"]


def test_a_watched_history_takes_its_time() -> None:
    assert Programme("demo", 3_000, 75.0).speed == "40.0"
    assert Programme("demo", 3_000).speed == "max"


def test_the_bar_is_full_when_the_demo_history_is_through() -> None:
    assert sum(1 for _ in dataset("demo")) == EVENTS["demo"]
    assert 60 <= demo_module.WATCH_SECONDS <= 90


def test_a_replay_stops_where_it_reports() -> None:
    def play(options: ReplayOptions) -> Progress:
        assert options.progress is not None
        while True:
            options.progress(Progress(1, 0, 0, 0.0))

    source = Source(play, ReplayOptions())
    source.start()
    source.stop()
    assert not source.is_alive()
    assert source.error is None
    assert not source.done


def test_a_replay_that_fails_hands_its_error_over() -> None:
    def play(_: ReplayOptions) -> Progress:
        raise ConfigurationError("no such history")

    source = Source(play, ReplayOptions())
    source.start()
    source.join(5)
    assert isinstance(source.error, ConfigurationError)


HOSTILE = "a'; rm -rf ~ #"


@pytest.mark.parametrize("installed", [(), ("redis-cli",), ("valkey-cli",), ("redis-cli", "valkey-cli")])
def test_hostile_customer_ids_stay_one_shell_word(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in installed else None)
    for command in (card_command(settings, HOSTILE), redis_command(settings, HOSTILE)):
        assert "'\"'\"'; rm" in command
        assert sum(HOSTILE in word for word in shlex.split(command)) == 1
    program = shlex.split(redis_command(settings, HOSTILE))[0]
    assert program == installed[0] if installed else Path(program).absolute() == Path(sys.executable)


@pytest.mark.parametrize("found", [shutil.which, lambda _: None], ids=["what is installed", "no client"])
def test_the_redis_command_prints_the_traits(
    valkey: RedisServer, fresh_name: str, monkeypatch: pytest.MonkeyPatch, found: Callable[[str], str | None]
) -> None:
    settings = load_settings(redis={"url": valkey.url, "prefix": fresh_name})
    key = bucket_keys(fresh_name, 1, bucket_of(HOSTILE)).profile_of(HOSTILE)
    with redis.Redis.from_url(valkey.url) as client:
        client.hset(key.decode(), "traits", '{"activity":"active"}')
    monkeypatch.setattr(shutil, "which", found)
    done = subprocess.run(redis_command(settings, HOSTILE), shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ('{"activity":"active"}\n', "")
