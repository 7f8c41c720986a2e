"""`footfall doctor` on a running installation, and on one with something wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from processors.identity import derived_id
from schemas.partitioning import BUCKETS, bucket_of
from schemas.topics import CLICKSTREAM
from sinks.keys import bucket_keys
from sinks.migrations import apply_migrations, read_migrations
from streams.clients import redis_client, warehouse_client
from streams.embedded.broker import Broker
from streams.embedded.ports import choose_port
from streams.embedded.redis import RedisServer
from streams.resources import resource
from tests.end_to_end.conftest import Installation, page, wait_until
from tests.schemas.records import event

ROOT = Path(__file__).parents[2]


def doctor(installation: Installation, *arguments: str, **changes: str) -> tuple[int, str]:
    """Exit code and stdout; nothing is said on stderr."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
    env = {**own, "PYTHONPATH": str(ROOT), **installation.environment, **changes}
    argv = (sys.executable, "-m", "streams.cli.main", "doctor", *arguments)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def examined(installation: Installation, *arguments: str, **changes: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and findings by check."""
    code, text = doctor(installation, "--json", *arguments, **changes)
    return code, {finding["check"]: finding for finding in json.loads(text)}


@pytest.fixture(scope="module")
def lively(installation: Installation) -> Installation:
    """With tables in ClickHouse, and an event that is applied, one that is a duplicate and one that is refused."""
    settings = installation.settings
    apply_migrations(warehouse_client(settings), settings.warehouse.database, read_migrations(resource("clickhouse")))
    now = int(time.time() * 1000)
    anna = event(
        CLICKSTREAM, customer_id="doctor-anna", event_id=derived_id("doctor"), event_time=now, received_time=now
    )
    before = counted(installation)
    installation.send(CLICKSTREAM, anna)
    installation.send(CLICKSTREAM, anna)
    installation.send_raw(CLICKSTREAM, b"no Avro", b"doctor-anna")
    wait_until(lambda: counted(installation) == before + 3 and swept(installation))
    return installation


def counted(installation: Installation) -> int:
    return sum(n for name, n in installation.store.tallies().items() if name.startswith("received:"))


def swept(installation: Installation) -> bool:
    """Whether the buckets that no event has touched know it too, which takes a second: until then it is in flight."""
    fences = [move for claim in installation.store.peek(range(BUCKETS)) for move in claim.fences.items()]
    latest = dict(sorted(fences, key=lambda move: move[1]))
    return all(offset == latest[name] for name, offset in fences)


def test_a_healthy_installation_has_no_problem_and_the_law_holds(lively: Installation) -> None:
    code, found = examined(lively)
    assert {name: f["text"] for name, f in found.items() if f["status"] == "problem"} == {}
    assert code == 0
    assert {f["check"] for f in found.values() if f["status"] == "warning"} <= {"lag of sink"}, "no sink runs here"
    assert set(found) >= {
        "segments", "kafka", "topics", "topic options", "registry", "schemas", "redis", "redis memory",
        "redis durability", "clickhouse", "migrations", "redis clock", "clickhouse clock", "kafka clock", "fences",
        "lag of process", "lag of sink", "conservation",
    }  # fmt: skip
    rows = found["conservation"]["rows"]
    assert len(rows) == 12
    for row in rows:
        outcomes = row["applied"] + row["duplicate"] + row["dead_lettered"] + row["control"]
        assert row["received"] == outcomes == row["end"] - row["in_flight"]
    assert sum(row["received"] for row in rows) == counted(lively)
    assert sum(row["dead_lettered"] for row in rows) >= 1


def test_in_a_pipe_it_is_one_plain_line_a_check(lively: Installation) -> None:
    _, text = doctor(lively)
    lines = [line.split("\t") for line in text.splitlines()]
    assert {status for status, *_ in lines} <= {"ok", "warning", "problem"}
    assert [name for _, name, *_ in lines][:4] == ["segments", "kafka", "topics", "topic options"]
    assert "\x1b" not in text
    _, verbose = doctor(lively, "--verbose")
    assert len(verbose.splitlines()) == len(lines) + 12, "the figures of each topic-partition"


def test_a_redis_that_would_throw_profiles_away_is_a_problem(lively: Installation) -> None:
    client = redis_client(lively.settings)
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("appendfsync", "everysec")
    try:
        code, found = examined(lively)
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendfsync", "always")
    assert code == 1
    assert [f["check"] for f in found.values() if f["status"] == "problem"] == ["redis memory"]
    assert "allkeys-lru" in found["redis memory"]["text"]
    assert "noeviction" in found["redis memory"]["remedy"]
    assert found["redis durability"]["status"] == "warning"


def test_a_record_that_was_counted_and_got_no_outcome_is_a_problem(lively: Installation) -> None:
    bucket = bucket_of("doctor-anna")
    tally = bucket_keys(lively.settings.redis.prefix, 1, bucket).tally
    field = f"received:{CLICKSTREAM}:{bucket % 2}"
    client = redis_client(lively.settings)
    client.hincrby(tally, field, 1)
    try:
        code, found = examined(lively)
    finally:
        client.hincrby(tally, field, -1)
    assert code == 1
    assert [f["check"] for f in found.values() if f["status"] == "problem"] == ["conservation"]
    assert f"{CLICKSTREAM} partition {bucket % 2}" in found["conservation"]["text"]


def test_missing_topics_are_a_problem_with_the_command_that_makes_them(lively: Installation, tmp_path: Path) -> None:
    with Broker(choose_port(), tmp_path / "empty.log") as empty:
        code, found = examined(lively, FOOTFALL_KAFKA__BOOTSTRAP=empty.bootstrap)
    assert code == 1
    assert [f["check"] for f in found.values() if f["status"] == "problem"] == ["topics"]
    assert "clickstream" in found["topics"]["text"]
    assert found["topics"]["remedy"] == "run `footfall topics create`"
    assert found["lag of process"]["status"] == "warning"


def test_another_redis_is_told_from_an_installation_s_own(lively: Installation, tmp_path: Path) -> None:
    with RedisServer(choose_port(), tmp_path, tmp_path / "redis.log") as other:
        code, found = examined(lively, FOOTFALL_REDIS__URL=other.url)
    assert code == 1
    assert [f["check"] for f in found.values() if f["status"] == "problem"] == ["fences"]
    assert "it was emptied, or this is another prefix" in found["fences"]["text"]


def test_servers_that_are_dead_or_silent_hold_up_nothing_and_show_no_secret(lively: Installation) -> None:
    nowhere = choose_port()
    with silent_port() as silent:
        begun = time.monotonic()
        code, found = examined(
            lively,
            "--seconds=8",
            FOOTFALL_REDIS__URL=f"redis://:hunter2@127.0.0.1:{nowhere}/0",
            FOOTFALL_WAREHOUSE__PORT=str(silent),
            FOOTFALL_WAREHOUSE__PASSWORD="hunter2",
        )
    assert time.monotonic() - begun < 30
    assert code == 1
    assert sorted(f["check"] for f in found.values() if f["status"] == "problem") == ["clickhouse", "redis"]
    assert f"127.0.0.1:{nowhere}" in found["redis"]["text"]
    assert found["redis clock"]["text"].startswith("not checked: ")
    assert found["kafka"]["status"] == found["topics"]["status"] == found["schemas"]["status"] == "ok"
    assert "hunter2" not in json.dumps(found)


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers: a server that is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_wrong_settings_are_exit_code_2(installation: Installation) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
    argv = (sys.executable, "-m", "streams.cli.main", "doctor")
    env = {**own, "PYTHONPATH": str(ROOT), "FOOTFALL_KAFKA__PARTITIONS": "7"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "kafka.partitions = '7'" in done.stderr


def test_the_law_is_a_metric_of_the_running_role(lively: Installation) -> None:
    def values(name: str) -> list[float]:
        return [
            float(line.rpartition(" ")[2]) for line in page(lively, "/metrics")[1].splitlines() if f"{name}{{" in line
        ]

    wait_until(lambda: sum(values("footfall_in_flight_records")) == 0)
    assert len(values("footfall_in_flight_records")) == 12
    imbalances = values("footfall_conservation_imbalance_records")
    assert imbalances == [0.0] * len(imbalances) != []
    assert sum(values("footfall_committed_records")) == 2 * counted(lively), "once as received, once by outcome"


def test_a_role_says_which_server_does_not_answer_and_is_ready_again_when_it_does(lively: Installation) -> None:
    assert page(lively, "/readyz") == (200, "ready\n")
    redis_client(lively.settings).client_pause(8_000)
    wait_until(lambda: page(lively, "/readyz")[0] == 503)
    status, text = page(lively, "/readyz")
    assert (status, "Redis connection: Redis at 127.0.0.1:" in text) == (503, True), text
    assert page(lively, "/healthz") == (200, "alive\n")
    wait_until(lambda: page(lively, "/readyz") == (200, "ready\n"))
