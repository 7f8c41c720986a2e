"""What a Redis must be before Footfall writes to it, and whose keys it holds."""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple, cast

import redis
from redis.exceptions import ResponseError

from schemas.errors import ConfigurationError
from sinks.keys import dedup_key_key, generation_key, installation_key, restarts_key
from sinks.redis_calls import address_of, failures_of

NOEVICTION: Final = "noeviction"
"""The one memory policy under which a full Redis refuses writes instead of throwing profiles away."""
OLDEST: Final = 7
"""The oldest version of Redis that has what the scripts need; Valkey counts on from there."""


class ServerReport(NamedTuple):
    """What a server says of itself."""

    version: str
    memory_policy: str
    used_memory: int
    """Bytes."""
    max_memory: int
    """Bytes; 0: no limit."""
    appendfsync: str
    """"always", "everysec", "no"; "off" without an append-only file, "unknown" where CONFIG is not allowed."""

    @property
    def durable_before_answer(self) -> bool:
        """Whether a crash of Redis cannot forget an answered commit (else published changes may be repeated)."""
        return self.appendfsync == "always"

    @property
    def old(self) -> bool:
        """Whether the scripts do not run there."""
        return int(self.version.split(".", maxsplit=1)[0]) < OLDEST


def check_server(client: redis.Redis) -> ServerReport:
    """Refuses a server that could evict profiles or lacks what the scripts need.

    Raises ConfigurationError, or UnreachableError when it does not answer.
    """
    report = describe_server(client)
    if report.old:
        raise ConfigurationError(
            f"Redis at {address_of(client)} is {report.version}; Footfall needs {OLDEST} or newer, or Valkey"
        )
    if report.memory_policy != NOEVICTION:
        raise ConfigurationError(
            f"Redis at {address_of(client)} has maxmemory-policy {report.memory_policy} and would throw profiles away: "
            f"set it to {NOEVICTION}"
        )
    return report


def describe_server(client: redis.Redis) -> ServerReport:
    """What the server says of itself, unjudged. Raises UnreachableError when it does not answer."""
    with failures_of(client):
        info = client.info()
        return ServerReport(
            str(info["redis_version"]),
            str(info.get("maxmemory_policy", "unknown")),
            int(info.get("used_memory", 0)),
            int(info.get("maxmemory", 0)),
            _appendfsync(client) if info.get("aof_enabled") else "off",
        )


def _appendfsync(client: redis.Redis) -> str:
    try:
        found = cast("dict[Any, Any]", client.config_get("appendfsync"))
    except ResponseError:  # managed servers forbid CONFIG
        return "unknown"
    value = next(iter(found.values()), "unknown")
    return value.decode() if isinstance(value, bytes) else str(value)


def join_installation(client: redis.Redis, prefix: str, installation: str) -> bool:
    """Takes the prefix for this installation, or checks that it is its own. True when this call took it.

    Raises ConfigurationError when another installation's keys are under the prefix.
    """
    with failures_of(client):
        owner = cast("bytes | None", client.set(installation_key(prefix), installation, nx=True, get=True))
    if owner is not None and owner.decode() != installation:
        raise ConfigurationError(
            f"Redis at {address_of(client)} holds installation {owner.decode()} under the prefix {prefix!r}, "
            f"this is {installation}: choose another FOOTFALL_REDIS__PREFIX or another Redis"
        )
    return owner is None


def installation_of(client: redis.Redis, prefix: str) -> str | None:
    """Whose keys lie under the prefix; null when nobody has taken it."""
    with failures_of(client):
        found = cast("bytes | None", client.get(installation_key(prefix)))
    return None if found is None else found.decode()


def dedup_key(client: redis.Redis, prefix: str) -> bytes:
    """The 16 bytes that key the digests of event ids; made once for the installation."""
    mine = os.urandom(16)
    with failures_of(client):
        found = cast("bytes | None", client.set(dedup_key_key(prefix), mine, nx=True, get=True))
    return mine if found is None else found


def live_generation(client: redis.Redis, prefix: str) -> int:
    """The generation that readers follow; 1 until a shadow replay was switched to."""
    with failures_of(client):
        found = cast("bytes | None", client.get(generation_key(prefix)))
    return 1 if found is None else int(found)


def note_restart(client: redis.Redis, prefix: str, role: str, kind: str) -> None:
    """Counts an end by watchdog, for `restarts`."""
    with failures_of(client):
        client.hincrby(restarts_key(prefix, role), kind, 1)


def restarts(client: redis.Redis, prefix: str, role: str) -> dict[str, int]:
    """How often watchdogs ended a process of this role, by kind of standstill."""
    with failures_of(client):
        found = cast("dict[bytes, bytes]", client.hgetall(restarts_key(prefix, role)))
    return {kind.decode(): int(count) for kind, count in found.items()}
