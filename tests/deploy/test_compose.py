from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from streams.settings import load_settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
EMBEDDED = ROOT / "deploy" / "compose.embedded.yml"
ROLES = ("process", "train", "sink")


@pytest.fixture
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text()))


@pytest.mark.parametrize("file", [COMPOSE, EMBEDDED], ids=lambda file: file.name)
def test_the_compose_files_follow_the_compose_specification(file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]

    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_dockerfile_is_lint_free() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")

    checked = subprocess.run([hadolint, ROOT / "deploy" / "Dockerfile"], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_image_runs_as_an_ordinary_user_and_copies_only_what_the_wheel_needs() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    copied = {name for names in copies for name in names}
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}

    assert "USER 10001:10001" in lines
    assert copied == sent
    assert all((ROOT / name).exists() for name in sent)


def test_every_variable_of_the_roles_is_a_setting(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    variables = compose["services"]["process"]["environment"]
    for name, value in variables.items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value))

    settings = load_settings()

    assert settings.kafka.bootstrap == "kafka:9092"
    assert settings.warehouse.password == SecretStr("local-trial")
    assert settings.metrics.host == "0.0.0.0"


def test_readiness_is_asked_on_the_port_each_role_serves(compose: dict[str, Any]) -> None:
    ports = load_settings().metrics

    for role in ROLES:
        assert f":{ports.port_of(role)}/readyz" in compose["services"][role]["healthcheck"]["test"][-1]


def test_nothing_listens_beyond_this_machine_and_no_secret_is_written_down(compose: dict[str, Any]) -> None:
    services = compose["services"].values()

    assert all(port.startswith("127.0.0.1:") for service in services for port in service.get("ports", ()))
    secrets = [value for service in services for name, value in service.get("environment", {}).items()
               if "PASSWORD" in name]  # fmt: skip
    assert secrets
    assert all(value.startswith("${") for value in secrets)


def test_every_image_is_pinned_and_every_server_says_when_it_is_healthy(compose: dict[str, Any]) -> None:
    servers = {name: service for name, service in compose["services"].items() if "build" not in service}

    assert set(servers) == {"kafka", "registry", "valkey", "clickhouse", "prometheus"}
    assert all(re.search(r":v?\d+\.\d+", service["image"]) for service in servers.values())
    assert all("healthcheck" in service for service in servers.values())


def test_redis_confirms_nothing_before_it_is_on_disk(compose: dict[str, Any]) -> None:
    command = compose["services"]["valkey"]["command"]

    assert command[command.index("--appendfsync") + 1] == "always"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_the_embedded_servers_demand_the_password_that_the_roles_have(compose: dict[str, Any]) -> None:
    embedded = yaml.safe_load(EMBEDDED.read_text())["services"]
    password = "FOOTFALL_WAREHOUSE__PASSWORD"

    assert set(embedded) == {"clickhouse", "registry"}
    assert embedded["clickhouse"]["environment"][password] == compose["services"]["sink"]["environment"][password]
    assert all(server["read_only"] and server["cap_drop"] == ["ALL"] for server in embedded.values())


@pytest.mark.docker
@pytest.mark.parametrize("files", [(COMPOSE,), (COMPOSE, EMBEDDED)], ids=["alone", "embedded"])
def test_a_container_engine_reads_the_compose_files_the_same_way(files: tuple[Path, ...]) -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("NOT CHECKED: docker compose is not installed here")

    named = [word for file in files for word in ("-f", str(file))]
    checked = subprocess.run(
        ["docker", "compose", *named, "config", "--quiet"], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stderr
