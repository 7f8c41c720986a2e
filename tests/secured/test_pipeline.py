"""The whole pipeline against servers that demand TLS and a login, as a limited user; and no log holds a password."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

from schemas.partitioning import bucket_of
from schemas.results import StoredProfile
from sinks.installation import live_generation
from sinks.profiles import ProfileStore
from streams.clients import connected_redis, warehouse_client
from streams.embedded.broker import Broker
from streams.embedded.ports import choose_port
from streams.embedded.role import RoleProcess
from streams.replay.datasets import cdnow
from streams.settings import EMBEDDED_KAFKA, Settings, load_settings
from tests.end_to_end.conftest import wait_until
from tests.secured.conftest import PASSWORD, QUOTED, ROOT, Secured, footfall

ORDERS: Final = 200
ROLES: Final = ("process", "train", "sink")
CUSTOMERS: Final = {event["customer_id"] for _, event in islice(cdnow(), ORDERS)}


@pytest.fixture(params=["embedded", "real"])
def kafka(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The variables of a real broker that demands TLS and SCRAM; of the embedded one, which demands nothing."""
    if request.param == "real":
        yield request.getfixturevalue("secured_kafka").environment
        return
    with Broker(choose_port(), tmp_path / "broker.log") as broker:
        settings = {**EMBEDDED_KAFKA, "bootstrap": broker.bootstrap}
        yield {f"FOOTFALL_KAFKA__{name.upper()}": str(value) for name, value in settings.items()}


@pytest.fixture
def servers(
    kafka: Mapping[str, str], secured_redis: Secured, secured_clickhouse: Secured, secured_registry: Secured
) -> dict[str, str]:
    """The variables of all four."""
    others = (secured_redis, secured_clickhouse, secured_registry)
    return dict(kafka) | {name: value for server in others for name, value in server.environment.items()}


@pytest.fixture
def environment(servers: Mapping[str, str], fresh_name: str) -> dict[str, str]:
    """The variables of an installation of this test's own."""
    return {
        **servers,
        "FOOTFALL_INSTALLATION": fresh_name,
        "FOOTFALL_REDIS__PREFIX": fresh_name,
        "FOOTFALL_WAREHOUSE__DATABASE": fresh_name,
        "FOOTFALL_CLOCK": "event",
        "FOOTFALL_LOG__LEVEL": "debug",
        **{f"FOOTFALL_METRICS__{role.upper()}": str(choose_port()) for role in ROLES},
    }


@pytest.fixture
def settings(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
def logs(settings: Settings, environment: Mapping[str, str], tmp_path: Path) -> Iterator[dict[str, Path]]:
    """The logs of the roles, which run until the test is over."""
    for command in (("topics", "create"), ("schemas", "register")):
        code, said = footfall(environment, *command)
        assert code == 0, said
    files = {role: tmp_path / f"{role}.log" for role in ROLES}
    roles = [RoleProcess(role, settings, file, {"PYTHONPATH": str(ROOT)}) for role, file in files.items()]
    with ExitStack() as running:
        for role in roles:
            role.start()
            running.callback(role.stop)
        for role in roles:
            role.wait_ready()
        yield files


def profiles(settings: Settings) -> set[str]:
    """The customers who have a profile."""
    with closing(connected_redis(settings)) as client:
        store = ProfileStore(client, settings.redis.prefix, live_generation(client, settings.redis.prefix))
        places = [(bucket_of(customer), customer) for customer in sorted(CUSTOMERS)]
        found = zip(places, store.read(places), strict=True)
        return {customer for (_, customer), stored in found if isinstance(stored, StoredProfile)}


def rows(settings: Settings) -> int:
    """Orders in ClickHouse, each once."""
    with closing(warehouse_client(settings)) as client:
        database = settings.warehouse.database
        return int(client.command(f"SELECT uniqExact(event_id) FROM {database}.events WHERE name = 'order_completed'"))


def test_orders_go_through_and_no_password_is_written_down(
    settings: Settings, environment: Mapping[str, str], logs: Mapping[str, Path]
) -> None:
    code, said = footfall(environment, "replay", "cdnow", "--limit", str(ORDERS))
    assert code == 0, said
    wait_until(lambda: profiles(settings) == CUSTOMERS)
    wait_until(lambda: rows(settings) == ORDERS)
    written = said + "".join(file.read_text() for file in logs.values())
    assert len(written) > 1_000
    secrets = {PASSWORD, QUOTED, environment.get("FOOTFALL_KAFKA__PASSWORD", PASSWORD)}
    assert [secret for secret in secrets if secret in written] == []
