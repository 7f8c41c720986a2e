"""The embedded servers ask for a user and a password where `footfall embedded` is given them."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from schemas.errors import ConfigurationError
from streams.cli import embedded
from streams.embedded.login import Login
from streams.embedded.registry_http import build_app
from streams.embedded.registry_store import RegistryStore

LOGIN = Login("footfall", "pa55:wörd")


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (basic("footfall:pa55:wörd"), 200),
        ({"X-ClickHouse-User": "footfall", "X-ClickHouse-Key": "pa55"}, 401),
        (basic("footfall:pa55"), 401),
        (basic("other:pa55:wörd"), 401),
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": "Basic /w=="}, 401),
        ({"Authorization": "Bearer footfall"}, 401),
    ],
)
async def test_only_the_right_user_and_password_come_in(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    app = build_app(RegistryStore(tmp_path / "registry.json"), LOGIN)
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/subjects", headers=headers)).status == status
        assert (await client.get("/")).status == 200  # health checks have no password


def test_the_password_is_in_no_representation() -> None:
    assert "wörd" not in repr(LOGIN)


def test_beyond_this_machine_clickhouse_needs_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOOTFALL_WAREHOUSE__PASSWORD", raising=False)
    with pytest.raises(ConfigurationError, match=r"listens on 0\.0\.0\.0, .*FOOTFALL_WAREHOUSE__PASSWORD"):
        embedded.clickhouse("0.0.0.0", 1, tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/file/here cannot be made"):
        embedded.registry("127.0.0.1", 1, tmp_path / "file" / "here")
