"""The rights that `docs/real-servers.md` gives the user of Redis are enough, and no more than that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from sinks.installation import check_server, dedup_key, join_installation, live_generation
from sinks.profiles import ProfileStore
from streams.clients import connected_redis
from streams.settings import Settings, load_settings
from tests.secured.conftest import ACL, ROOT, Secured
from tests.sinks.test_profiles import full_commit


@pytest.fixture
def settings(secured_redis: Secured, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in secured_redis.environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
def limited(settings: Settings) -> Iterator[redis.Redis]:
    client = connected_redis(settings)
    yield client
    client.close()


def test_the_documented_acl_is_all_that_the_store_needs(limited: redis.Redis, fresh_name: str) -> None:
    assert check_server(limited).appendfsync == "unknown"  # CONFIG is not allowed, and not needed
    join_installation(limited, fresh_name, "footfall")
    store = ProfileStore(limited, fresh_name, live_generation(limited, fresh_name))
    claims = store.claim([17], "token")
    assert store.commit([full_commit(claims[0])]) == ["applied"]
    assert store.read([(17, "anna")])[0] is not None
    assert store.tallies([17])
    assert store.due(17, 9, 10) == [("anna", 9)]
    assert dedup_key(limited, fresh_name) == dedup_key(limited, fresh_name)


@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("CONFIG", "GET", "*"), ("GET", "other:key"), ("KEYS", "*"), ("EVAL", "return 1", "0")]
)
def test_the_documented_acl_allows_no_more(limited: redis.Redis, command: tuple[str, ...]) -> None:
    client: Any = limited
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)


def test_the_documented_rights_are_the_tested_ones() -> None:
    assert ACL in (ROOT / "docs" / "real-servers.md").read_text()
