"""The schema registry as the roles see it: our schemas registered, any writer's schema looked up by id.

Calls block; a lookup asks the registry once per id and remembers the answer, so the roles may call it while decoding.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, Self
from urllib.parse import urlsplit

from confluent_kafka.schema_registry import ConfigCompatibilityLevel, Schema, SchemaRegistryClient, ServerConfig
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.codec import ParsedSchema, parse
from schemas.errors import ConfigurationError
from schemas.evolution import LEVEL_OF, current
from streams.diagnosis import Door, not_entered, refused
from streams.settings import RegistrySettings

UNKNOWN_FOR_SECONDS: Final = 60.0
"""How long an id stays unknown without asking again: a stream of bad ids must not become a flood of requests."""

_UNKNOWN_IDS: Final = 10_000
_NOT_FOUND: Final = 404
_SERVER_FAULT: Final = 500
_BUSY: Final = (408, 429)
_LOGIN: Final = (401, 403)


class Registry:
    """Registers and looks up schemas; `address` is for messages and must hold no secret.

    `client` is a `SchemaRegistryClient` or its mock; nothing is sent before the first call.
    """

    def __init__(self, client: Any, address: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._address = address
        self._door = _door(address)
        self._monotonic = monotonic
        self._known: dict[int, ParsedSchema] = {}
        self._unknown: dict[int, float] = {}

    @classmethod
    def of(cls, settings: RegistrySettings) -> Self:
        """The registry of the settings."""
        password = settings.password.get_secret_value()
        files = {
            "ssl.ca.location": settings.ca_file,
            "ssl.certificate.location": settings.certificate_file,
            "ssl.key.location": settings.key_file,
        }
        options = {name: str(file) for name, file in files.items() if file is not None}
        if settings.username:
            options["basic.auth.user.info"] = f"{settings.username}:{password}"
        return cls.at(settings.url, options)

    @classmethod
    def at(cls, url: str, options: Mapping[str, str] = MappingProxyType({})) -> Self:
        """A registry by URL, `mock://<name>` for one in memory. Raises ConfigurationError for a URL that is none."""
        settings: dict[str, Any] = {"url": url, **options}
        if not url.startswith("mock://"):
            settings |= {"timeout": 5, "max.retries": 1, "retries.wait.ms": 100}
        try:
            return cls(SchemaRegistryClient.new_client(settings), url)
        except ValueError as error:
            raise ConfigurationError(f"The schema registry's URL cannot be used: {error}.") from error

    @property
    def client(self) -> Any:
        """The library's client, for what only a diagnosis asks."""
        return self._client

    def ping(self) -> None:
        """Ask for an answer. Raises ConfigurationError when it refuses us, UnreachableError when there is none."""
        try:
            self._client.get_subjects()
        except SchemaRegistryError as error:
            self._refuse_login(error)
            self._unreachable(error)
        except Exception as error:  # noqa: BLE001 - the client hands through whatever its HTTP library raises
            self._unreachable(error)

    def register(self, topics: Iterable[str] = tuple(LEVEL_OF)) -> dict[str, int]:
        """Register our schemas under `<topic>-value` with their levels; returns topic -> id. Repeating is harmless.

        Raises ConfigurationError when the registry refuses one, UnreachableError when it does not answer.
        """
        return {topic: self._register(topic) for topic in topics}

    def lookup(self, schema_id: int) -> ParsedSchema | None:
        """The schema of an id; None when the registry does not know it, or it is no Avro record.

        Raises UnreachableError when the registry does not answer: that says nothing about the id.
        """
        schema = self._known.get(schema_id)
        if schema is not None or self._monotonic() < self._unknown.get(schema_id, 0.0):
            return schema
        schema = self._fetch(schema_id)
        if schema is None:
            self._make_room()
            self._unknown[schema_id] = self._monotonic() + UNKNOWN_FOR_SECONDS
        else:
            self._known[schema_id] = schema
        return schema

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _register(self, topic: str) -> int:
        subject = f"{topic}-value"
        try:
            self._client.set_config(subject, ServerConfig(compatibility=ConfigCompatibilityLevel(LEVEL_OF[topic])))
            return int(self._client.register_schema(subject, Schema(json.dumps(current(topic)), "AVRO")))
        except SchemaRegistryError as error:
            self._refuse_login(error)
            if _is_transient(error):
                self._unreachable(error)
            raise ConfigurationError(
                f"The schema registry at {self._address} refuses {subject}: {error.error_message}; "
                "`footfall schemas check` compares the schema with its history."
            ) from error
        except Exception as error:  # noqa: BLE001 - the client hands through whatever its HTTP library raises
            self._unreachable(error)

    def _fetch(self, schema_id: int) -> ParsedSchema | None:
        try:
            schema = self._client.get_schema(schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return None
            self._refuse_login(error)
            if _is_transient(error):
                self._unreachable(error)
            raise ConfigurationError(
                f"The schema registry at {self._address} refuses to show schema {schema_id}: {error.error_message}."
            ) from error
        except Exception as error:  # noqa: BLE001 - the client hands through whatever its HTTP library raises
            self._unreachable(error)
        try:
            return parse(schema.schema_str) if schema.schema_type == "AVRO" else None
        except ValueError:
            return None

    def _make_room(self) -> None:
        if len(self._unknown) < _UNKNOWN_IDS:
            return
        now = self._monotonic()
        self._unknown = {schema_id: until for schema_id, until in self._unknown.items() if until > now}

    def _refuse_login(self, error: SchemaRegistryError) -> None:
        if error.http_status_code in _LOGIN:
            raise refused(self._door, f"HTTP {error.http_status_code}") from error

    def _unreachable(self, error: Exception) -> NoReturn:
        raise not_entered(
            self._door,
            error,
            f"The schema registry does not answer at {self._address} ({type(error).__name__}): "
            "check FOOTFALL_REGISTRY__URL.",
        ) from error


def _door(url: str) -> Door:
    parts = urlsplit(url)
    variables = "FOOTFALL_REGISTRY"
    return Door(
        server="The schema registry",
        address=url,
        place=(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)) if parts.hostname else None,
        encrypted=parts.scheme == "https",
        variables=variables,
        tls=f"whether {variables}__URL begins with https:// or http://",
        login=f"{variables}__USERNAME and {variables}__PASSWORD",
    )


def _is_transient(error: SchemaRegistryError) -> bool:
    return error.http_status_code >= _SERVER_FAULT or error.http_status_code in _BUSY
