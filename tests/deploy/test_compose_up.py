"""docker compose, really brought up: healthy, a history goes through it, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
import pytest
import redis
import yaml

from streams.embedded.ports import is_free
from streams.replay.datasets import cdnow
from tests.containers import engine_trouble
from tests.end_to_end.conftest import wait_until
from tests.given import GIVEN

ROOT: Final = Path(__file__).parents[2]
FILES: Final = ("docker-compose.yml", "deploy/compose.embedded.yml")
PROJECT: Final = "footfall-test"
ORDERS: Final = 1_000
PASSWORD: Final = "c0mpose-pa55"


def docker(*arguments: str, **environment: str) -> str:
    """What a command of docker says; it must succeed."""
    done = subprocess.run(
        ("docker", *arguments), cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compose(*arguments: str) -> str:
    files = [word for file in FILES for word in ("--file", file)]
    own = {"CLICKHOUSE_PASSWORD": PASSWORD, "FOOTFALL_CLOCK": "event"}
    return docker("compose", *files, "--project-name", PROJECT, *arguments, **own)


def ports() -> dict[str, int]:
    """The port of each server on this machine."""
    services: Mapping[str, Any] = yaml.safe_load((ROOT / FILES[0]).read_text())["services"]
    return {name: int(port.split(":")[1]) for name, service in services.items() for port in service.get("ports", ())}


def reason_to_skip() -> str | None:
    if not GIVEN.get("FOOTFALL_TEST_COMPOSE"):
        return "it takes minutes: `make test-containers` brings it up"
    if (trouble := engine_trouble()) is not None:
        return f"no container engine answers: {trouble}"
    taken = [port for port in ports().values() if not is_free(port)]
    return f"something listens on {taken} here already" if taken else None


def left() -> Sequence[str]:
    """Containers, volumes and networks of the project."""
    ours = ("--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}")
    found = docker("ps", "--all", *ours), docker("volume", "ls", *ours), docker("network", "ls", *ours)
    return [line for output in found for line in output.split()]


@pytest.fixture(scope="module")
def installation() -> Iterator[None]:
    if (reason := reason_to_skip()) is not None:
        pytest.skip(f"NOT CHECKED: {reason}")
    try:
        compose("up", "--build", "--detach", "--wait", "--wait-timeout", "300")
        yield
    finally:
        compose("down", "--volumes")
        assert left() == []


@pytest.mark.docker
@pytest.mark.timeout(1_200)
def test_a_history_goes_through_and_down_leaves_nothing(installation: None) -> None:
    compose("run", "--rm", "--no-deps", "process", "replay", "cdnow", "--limit", str(ORDERS))
    customers = {event["customer_id"] for _, event in islice(cdnow(), ORDERS)}
    at = ports()
    with closing(redis.Redis(port=at["valkey"])) as valkey:
        wait_until(lambda: len(list(valkey.scan_iter("ff:1:*:p:*", 1_000))) == len(customers))
    client = clickhouse_connect.get_client(port=at["clickhouse"], username="footfall", password=PASSWORD)
    with closing(client):
        wait_until(
            lambda: client.query("SELECT count(), uniq(event_id) FROM footfall.events").first_row == (ORDERS,) * 2
        )
    assert "fold: compiled" in compose("exec", "--no-TTY", "process", "footfall", "version")
    assert compose("exec", "--no-TTY", "sink", "footfall", "config", "check", "--connect").count("\tok") == 5
    assert PASSWORD not in compose("logs")
