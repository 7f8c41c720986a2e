"""From settings to the clients of Redis and ClickHouse (Kafka's: `streams.kafka.config`).

The Redis client connects when it is used, the ClickHouse client at once: its library asks the server who it is.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from schemas.errors import FootfallError
from streams.diagnosis import Door, not_entered, refused
from streams.settings import RedisSettings, Settings, WarehouseSettings

if TYPE_CHECKING:
    import redis


_REFUSED: Final = ("Code: 516", "Code: 192", "Code: 193", "Code: 194", "status 401", "status 403")
"""ClickHouse's AUTHENTICATION_FAILED, UNKNOWN_USER, WRONG_PASSWORD and REQUIRED_PASSWORD, or a proxy's."""


def redis_client(settings: Settings, timeout: float = 10.0) -> redis.Redis:
    """A synchronous client without retries of its own: whoever commits must know that a call got no answer."""
    from redis import Redis  # noqa: PLC0415  0.2 s that most commands do not need
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    return Redis.from_url(
        settings.redis.url.get_secret_value(),
        decode_responses=False,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        **_redis_tls(settings.redis),
    )


def connected_redis(settings: Settings, timeout: float = 10.0) -> redis.Redis:
    """The same, after the server has answered.

    Raises:
        ConfigurationError: it refuses this user, or TLS is not what the settings say.
        UnreachableError: it does not answer.

    """
    from redis import RedisError  # noqa: PLC0415

    client = redis_client(settings, timeout)
    try:
        client.ping()
    except RedisError as error:
        client.close()
        raise _redis_fault(settings.redis, error) from error
    return client


def _redis_tls(redis: RedisSettings) -> dict[str, Any]:
    if not redis.encrypted:
        return {}
    return {
        "ssl_ca_certs": _path(redis.ca_file),
        "ssl_certfile": _path(redis.certificate_file),
        "ssl_keyfile": _path(redis.key_file),
        "ssl_check_hostname": True,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
    }


def _redis_fault(settings: RedisSettings, error: Exception) -> FootfallError:
    from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError  # noqa: PLC0415

    parts = urlsplit(settings.url.get_secret_value())
    setting = "FOOTFALL_REDIS__URL"
    door = Door(
        server="Redis",
        address=settings.address,
        place=None if parts.scheme == "unix" else (parts.hostname or "localhost", parts.port or 6379),
        encrypted=settings.encrypted,
        variables="FOOTFALL_REDIS",
        tls=f"whether {setting} begins with rediss:// or redis://",
        login=f"user and password in {setting}, as in rediss://user:password@host:6379/0",
    )
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
        return refused(door, str(error).rstrip("."))
    return not_entered(door, error, f"Redis does not answer at {settings.address} ({error}): check {setting}.")


def warehouse_client(settings: Settings, *, database: str | None = None, timeout: float = 30.0) -> Any:
    """A ClickHouse client, connected; by default to no database, since migrations may still have to make it.

    Raises:
        ConfigurationError: the server refuses this user, or TLS is not what the settings say.
        UnreachableError: it does not answer.

    """
    import clickhouse_connect  # noqa: PLC0415  0.3 s that most commands do not need
    from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415

    warehouse = settings.warehouse
    try:
        return clickhouse_connect.get_client(
            host=warehouse.host,
            port=warehouse.port,
            username=warehouse.user,
            password=warehouse.password.get_secret_value(),
            database=database,
            **_warehouse_tls(warehouse),
            connect_timeout=timeout,
            send_receive_timeout=timeout,
            autogenerate_session_id=False,  # a session refuses concurrent queries, and nothing here needs one
        )
    except ClickHouseError as error:
        raise _warehouse_fault(warehouse, error) from error


def _warehouse_tls(warehouse: WarehouseSettings) -> dict[str, Any]:
    if not warehouse.secure:
        return {"secure": False}
    return {
        "secure": True,
        "verify": True,
        "ca_cert": _path(warehouse.ca_file),
        "client_cert": _path(warehouse.certificate_file),
        "client_cert_key": _path(warehouse.key_file),
        "tls_mode": "strict",  # the certificate does not stand for a user: user and password are sent beside it
    }


def _warehouse_fault(warehouse: WarehouseSettings, error: Exception) -> FootfallError:
    address = f"{warehouse.host}:{warehouse.port}"
    variables = "FOOTFALL_WAREHOUSE"
    door = Door(
        server="ClickHouse",
        address=address,
        place=(warehouse.host, warehouse.port),
        encrypted=warehouse.secure,
        variables=variables,
        tls=f"{variables}__SECURE",
        login=f"{variables}__USER and {variables}__PASSWORD",
    )
    if any(code in str(error) for code in _REFUSED):
        return refused(door, warehouse.user)
    return not_entered(
        door,
        error,
        f"ClickHouse does not answer at {address} ({_cause(error)}): check {variables}__HOST, __PORT, __USER and "
        "__PASSWORD.",
    )


def _path(file: object) -> str | None:
    return None if file is None else str(file)


def _cause(error: Exception) -> str:
    """The innermost reason: the library wraps a refused connection three times."""
    reason = getattr(error.__cause__, "reason", None) or error
    return str(reason).strip().split("\n", 1)[0].rsplit("HTTPConnection", 1)[-1].rsplit("): ", 1)[-1][:200]
