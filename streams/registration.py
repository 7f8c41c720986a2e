"""Our schemas in the schema registry: subject `<topic>-value`, each at its compatibility level."""

from __future__ import annotations

import json
from typing import Any

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.errors import ConfigurationError, UnreachableError
from schemas.evolution import LEVEL_OF, current
from streams.settings import RegistrySettings, Settings

_CONFLICT = 409


def registry_client(settings: RegistrySettings) -> Any:
    """The registry's client; nothing is connected before the first call."""
    configuration: dict[str, Any] = {"url": settings.url, "timeout": 10, "max.retries": 2}
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
    client = registry_client(settings.registry)
    return {topic: _register(client, settings.registry.url, topic) for topic in LEVEL_OF}


def _register(client: Any, url: str, topic: str) -> int:
    subject = f"{topic}-value"
    try:
        client.set_compatibility(subject, LEVEL_OF[topic])
        return int(client.register_schema(subject, Schema(json.dumps(current(topic)), "AVRO")))
    except SchemaRegistryError as error:
        if error.http_status_code >= 500:
            raise UnreachableError(f"The schema registry at {url} fails: {error.error_message}.") from error
        what = f"refuses the schema of {topic}" if error.http_status_code == _CONFLICT else f"refuses {subject}"
        raise ConfigurationError(
            f"The schema registry at {url} {what}: {error.error_message}; "
            "`footfall schemas check` compares it with its history, FOOTFALL_REGISTRY__* name the registry."
        ) from error
    except Exception as error:
        raise UnreachableError(
            f"The schema registry does not answer at {url} ({type(error).__name__}): check FOOTFALL_REGISTRY__URL."
        ) from error
