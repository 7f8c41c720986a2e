"""Our schemas in the schema registry: subject `<topic>-value`, each at its compatibility level."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from confluent_kafka.schema_registry import SchemaRegistryClient

from streams.kafka.registry import Registry
from streams.settings import RegistrySettings, Settings


def registry_client(settings: RegistrySettings, timeout: float = 10, retries: int = 2) -> Any:
    """The registry's client; nothing is connected before the first call. The timeout is seconds."""
    configuration: dict[str, Any] = {"url": settings.url, "timeout": timeout, "max.retries": retries}
    if settings.username:
        password = settings.password.get_secret_value()
        configuration["basic.auth.user.info"] = f"{settings.username}:{password}"
    return SchemaRegistryClient(configuration)


def register_schemas(settings: Settings) -> dict[str, int]:
    """Register every topic's current schema and return topic -> schema id; repeating it changes nothing.

    Raises:
        ConfigurationError: the registry refuses a schema, or this user.
        UnreachableError: the registry does not answer.

    """
    registry = settings.registry
    with closing(Registry.at(registry.url, registry.username, registry.password.get_secret_value())) as opened:
        return opened.register()
