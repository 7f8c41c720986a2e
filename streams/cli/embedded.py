"""`footfall embedded`: one embedded server alone, for a container where no image of the real one is at hand."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from schemas.errors import ConfigurationError
from streams.embedded.login import Login
from streams.settings import load_settings


def clickhouse(host: str, port: int, data: Path) -> int:
    """Serve ClickHouse's HTTP interface until SIGTERM; user and password are those of the settings."""
    warehouse = load_settings().warehouse
    login = _login(warehouse.user, warehouse.password.get_secret_value())
    if login is None and not _is_local(host):
        raise ConfigurationError(
            f"The embedded ClickHouse listens on {host}, beyond this machine: set FOOTFALL_WAREHOUSE__PASSWORD."
        )
    from streams.embedded.clickhouse_http import serve  # noqa: PLC0415  brings in the engine, 150 MB

    serve((host, port), _made(data), login)
    return 0


def registry(host: str, port: int, data: Path) -> int:
    """Serve the schema registry until SIGTERM; user and password are those of the settings, none where none are set."""
    settings = load_settings().registry
    from streams.embedded.registry_http import serve  # noqa: PLC0415  brings in the Avro library

    serve((host, port), _made(data) / "registry.json", _login(settings.username, settings.password.get_secret_value()))
    return 0


def _login(user: str, password: str) -> Login | None:
    return Login(user, password) if password else None


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be made ({error.strerror}): name another with --data."
        ) from error
    return folder
