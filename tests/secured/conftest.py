"""Servers that demand TLS, a user and a password: Valkey, ClickHouse and the registry, each behind a TLS proxy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from streams.embedded.child import Child, Launch
from streams.embedded.clickhouse import responds
from streams.embedded.ports import HOST, choose_port
from streams.embedded.redis import RedisServer
from tests.end_to_end.conftest import wait_until
from tests.given import BOOTSTRAP, GIVEN
from tests.secured.certificates import Authority
from tests.secured.proxy import TlsProxy

ROOT: Final = Path(__file__).parents[2]
USER: Final = "footfall"
PASSWORD: Final = "pa55:w@rd/%"
"""With every character that a URL or a header could take for its own."""
KAFKA_VARIABLES: Final = tuple(
    f"FOOTFALL_TEST_SASL_{name}" for name in ("BOOTSTRAP", "USERNAME", "PASSWORD", "CA_FILE")
)
QUOTED: Final = "pa55%3Aw%40rd%2F%25"
ACL: Final = "+@read +@write +@connection +@transaction -@dangerous +evalsha +script|load +info"
"""The commands that `docs/real-servers.md` gives the user, beside the keys under its prefix."""


@dataclass(frozen=True, slots=True)
class Secured:
    """A server behind TLS: the port that demands it, the plain one behind, and the variables of a good connection."""

    port: int
    plain_port: int
    environment: Mapping[str, str]


def footfall(environment: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """A real process that sees only these settings: its exit code, and all it wrote."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
    argv = (sys.executable, "-P", "-m", "streams.cli.main", *arguments)
    env = {**own, "PYTHONPATH": str(ROOT), "FOOTFALL_LOG__LEVEL": "debug", **environment}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that has signed nothing here."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="session")
def secured_redis(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured-redis")
    with RedisServer(choose_port(), folder / "data", folder / "log") as server:
        admin: Any = redis.Redis.from_url(server.url)
        admin.execute_command("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~t*", *ACL.split())  # see `fresh_name`
        admin.execute_command("ACL", "SETUSER", "default", "off")
        plain = server.launch.port
        with TlsProxy(authority.sign("redis").context(), plain) as proxy:
            url = f"rediss://{USER}:{QUOTED}@{HOST}:{proxy.port}/0"
            environment = {"FOOTFALL_REDIS__URL": url, "FOOTFALL_REDIS__CA_FILE": str(authority.file)}
            yield Secured(proxy.port, plain, environment)


@pytest.fixture(scope="session")
def secured_kafka() -> Secured:
    """A real broker's SASL_SSL listener, from FOOTFALL_TEST_SASL_*: none of the embedded ones demands anything."""
    missing = [name for name in KAFKA_VARIABLES if name not in GIVEN]
    if missing:
        pytest.skip(f"NOT CHECKED: no Kafka that demands TLS and SCRAM: set {', '.join(missing)}")
    bootstrap, username, password, ca_file = (GIVEN[name] for name in KAFKA_VARIABLES)
    port = int(bootstrap.rpartition(":")[2])
    plain = int(BOOTSTRAP.rpartition(":")[2]) if BOOTSTRAP else 0
    environment = {
        "FOOTFALL_KAFKA__BOOTSTRAP": bootstrap,
        "FOOTFALL_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "FOOTFALL_KAFKA__USERNAME": username,
        "FOOTFALL_KAFKA__PASSWORD": password,
        "FOOTFALL_KAFKA__CA_FILE": ca_file,
    }
    return Secured(port, plain, environment)


@pytest.fixture(scope="session")
def secured_clickhouse(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Secured]:
    login = {"FOOTFALL_WAREHOUSE__USER": USER, "FOOTFALL_WAREHOUSE__PASSWORD": PASSWORD}
    folder, context = tmp_path_factory.mktemp("secured-clickhouse"), authority.sign("clickhouse").context()
    with serving("clickhouse", "/ping", login, folder) as plain, TlsProxy(context, plain) as proxy:
        where = {"FOOTFALL_WAREHOUSE__PORT": str(proxy.port), "FOOTFALL_WAREHOUSE__SECURE": "true"}
        yield Secured(proxy.port, plain, {**login, **where, "FOOTFALL_WAREHOUSE__CA_FILE": str(authority.file)})


@pytest.fixture(scope="session")
def secured_registry(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Secured]:
    login = {"FOOTFALL_REGISTRY__USERNAME": USER, "FOOTFALL_REGISTRY__PASSWORD": PASSWORD}
    folder, context = tmp_path_factory.mktemp("secured-registry"), authority.sign("registry").context()
    with serving("registry", "/", login, folder) as plain, TlsProxy(context, plain) as proxy:
        where = {"FOOTFALL_REGISTRY__URL": f"https://{HOST}:{proxy.port}"}
        yield Secured(proxy.port, plain, {**login, **where, "FOOTFALL_REGISTRY__CA_FILE": str(authority.file)})


@contextmanager
def serving(server: str, health: str, login: Mapping[str, str], folder: Path) -> Iterator[int]:
    """`footfall embedded` as a child, on a port of its own, which is given."""
    port = choose_port()
    argv = (
        sys.executable, "-P", "-m", "streams.cli.main", "embedded", server,
        "--data", str(folder), "--port", str(port),
    )  # fmt: skip
    child = Child(Launch(server, argv, folder / "log", {"PYTHONPATH": str(ROOT), **login}, port))
    child.start()
    try:
        wait_until(lambda: responds(f"http://{HOST}:{port}{health}") or not child.running)
        assert child.running, child.describe_death()
        yield port
    finally:
        child.stop()
