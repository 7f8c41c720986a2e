"""From settings to the clients of Redis and ClickHouse (Kafka's: `streams.kafka.config`).

The Redis client connects when it is used, the ClickHouse client at once: its library asks the server who it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.errors import UnreachableError
from streams.settings import Settings

if TYPE_CHECKING:
    import redis


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
    )


def warehouse_client(settings: Settings, *, database: str | None = None, timeout: float = 30.0) -> Any:
    """A ClickHouse client, connected; by default to no database, since migrations may still have to make it.

    Raises:
        UnreachableError: the server does not answer, or refuses this user.

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
            secure=warehouse.secure,
            connect_timeout=timeout,
            send_receive_timeout=timeout,
            autogenerate_session_id=False,  # a session refuses concurrent queries, and nothing here needs one
        )
    except ClickHouseError as error:
        raise UnreachableError(
            f"ClickHouse does not answer at {warehouse.host}:{warehouse.port} ({_cause(error)}): check "
            "FOOTFALL_WAREHOUSE__HOST, __PORT, __USER and __PASSWORD."
        ) from error


def _cause(error: Exception) -> str:
    """The innermost reason: the library wraps a refused connection three times."""
    reason = getattr(error.__cause__, "reason", None) or error
    return str(reason).strip().split("\n", 1)[0].rsplit("HTTPConnection", 1)[-1].rsplit("): ", 1)[-1][:200]
