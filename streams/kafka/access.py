"""Why Kafka does not let us in, from what librdkafka complains about while it tries again and again."""

from __future__ import annotations

import re
from typing import Final

from confluent_kafka import KafkaError

from schemas.errors import ConfigurationError, FootfallError, UnreachableError
from streams.diagnosis import Door, not_entered, refused, tls_fault
from streams.kafka.config import KafkaConfig

_MOST: Final = 20
_MECHANISMS: Final = re.compile(r"supported mechanisms: *([A-Z0-9, -]*)")
_VARIABLES: Final = "FOOTFALL_KAFKA"


class Complaints:
    """What a client has reported through its `error_cb`; it is served when the client is polled."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._found: list[KafkaError] = []

    def add(self, error: KafkaError) -> None:
        """Remember one."""
        if len(self._found) < _MOST:
            self._found.append(error)

    def verdict(self) -> FootfallError | None:
        """The reason that no further attempt changes, if there is one."""
        for error in self._found:
            if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001  the client's own codes begin so
                return self._login(error.str())
            if error.code() == KafkaError._SSL and (fault := tls_fault(self._door, error.str())):  # noqa: SLF001
                return UnreachableError(f"Kafka at {self._config.bootstrap} {fault}.")
        return None

    def explain(self, reason: str) -> FootfallError:
        """The best sentence there is for a client that did not get through; `reason` is what it ended with."""
        return self.verdict() or not_entered(
            self._door,
            " ".join(error.str() for error in self._found),
            f"Kafka does not answer at {self._config.bootstrap} ({reason}); start it, or set kafka.bootstrap"
            f"{self._hint()}.",
        )

    @property
    def _door(self) -> Door:
        return kafka_door(self._config)

    def _hint(self) -> str:
        if self._config.security.protocol.startswith("SASL") or not self._found:
            return ""
        return f" (should it demand a login: {_VARIABLES}__SECURITY_PROTOCOL, __USERNAME and __PASSWORD)"

    def _login(self, said: str) -> ConfigurationError:
        where, mechanism = f"Kafka at {self._config.bootstrap}", self._config.security.mechanism
        offered = _MECHANISMS.search(said)
        if offered is None:
            return refused(self._door, f"{mechanism}, {self._config.security.username}")
        if not offered[1].strip():
            return ConfigurationError(f"{where} takes no login: check its port, and {self._door.tls}.")
        return ConfigurationError(
            f"{where} does not know {mechanism}, but {offered[1].strip()}: set {_VARIABLES}__SASL_MECHANISM."
        )


def kafka_door(config: KafkaConfig) -> Door:
    """The first broker as the settings name it."""
    host, _, port = config.bootstrap.split(",")[0].strip().rpartition(":")
    return Door(
        server="Kafka",
        address=config.bootstrap,
        place=(host.strip("[]"), int(port)) if port.isdigit() else None,
        encrypted=config.security.protocol.endswith("SSL"),
        variables=_VARIABLES,
        tls=f"{_VARIABLES}__SECURITY_PROTOCOL",
        login=f"{_VARIABLES}__USERNAME and {_VARIABLES}__PASSWORD",
    )
