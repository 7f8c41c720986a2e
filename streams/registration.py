"""Our schemas in the schema registry: subject `<topic>-value`, each at its compatibility level."""

from __future__ import annotations

from contextlib import closing

from streams.kafka.registry import Registry
from streams.settings import Settings


def register_schemas(settings: Settings) -> dict[str, int]:
    """Register every topic's current schema and return topic -> schema id; repeating it changes nothing.

    Raises:
        ConfigurationError: the registry refuses a schema, or this user.
        UnreachableError: the registry does not answer.

    """
    with closing(Registry.of(settings.registry)) as opened:
        return opened.register()
