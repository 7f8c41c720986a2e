"""Asks a role's servers whether they answer, beside its work.

An idle role would notice an outage only with the next record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from schemas.errors import FootfallError, UnreachableError
from schemas.topics import INPUT_TOPICS
from sinks.redis_calls import failures_of
from streams import metrics
from streams.clients import redis_client
from streams.kafka.config import KafkaConfig
from streams.kafka.topics import Topics
from streams.settings import Settings

PATIENCE_SECONDS: Final = 3.0
"""How long a server may take to answer a probe."""
_FAILURES: Final = 2
"""Probes in a row that must fail: one lost answer is no outage."""

Probe = Callable[[], object]
"""Asks one server; raises a FootfallError when it does not answer."""


class Prober:
    """A thread that tells `health` under `<name> connection` which servers do not answer."""

    def __init__(self, probes: Mapping[str, Probe], health: metrics.Health, seconds: float) -> None:
        self._probes = probes
        self._health = health
        self._seconds = seconds
        self._failures = dict.fromkeys(probes, 0)
        self._stop = threading.Event()

    def ask(self) -> None:
        """Ask every server once."""
        for name, probe in self._probes.items():
            try:
                probe()
            except FootfallError as error:
                self._failed(name, str(error))
            except Exception as error:  # noqa: BLE001  a client's own error is no reason to stop asking
                self._failed(name, f"{type(error).__name__}: {error}")
            else:
                self._failures[name] = 0
                self._health.ready(f"{name} connection")

    def _failed(self, name: str, reason: str) -> None:
        self._failures[name] += 1
        if self._failures[name] >= _FAILURES:
            self._health.not_ready(f"{name} connection", reason)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask every `seconds` for as long as this is open."""
        threading.Thread(target=self._go_on_asking, name="prober", daemon=True).start()
        try:
            yield
        finally:
            self._stop.set()

    def _go_on_asking(self) -> None:
        while not self._stop.wait(self._seconds):
            self.ask()


def kafka_probe(config: KafkaConfig) -> Probe:
    """Whether a broker answers about one of our topics."""
    topics = Topics(config)
    return lambda: topics.ping(INPUT_TOPICS[0], PATIENCE_SECONDS)


def redis_probe(settings: Settings) -> Probe:
    """Whether Redis answers, on a connection of its own: the role's may wait much longer."""
    client = redis_client(settings, PATIENCE_SECONDS)

    def ping() -> None:
        with failures_of(client):
            client.ping()

    return ping


def clickhouse_probe(client: Any, address: str) -> Probe:
    """Whether ClickHouse answers its /ping."""

    def ping() -> None:
        if not client.ping(PATIENCE_SECONDS / 2):  # it asks a second time by itself
            raise UnreachableError(f"ClickHouse does not answer at {address}: check FOOTFALL_WAREHOUSE__HOST.")

    return ping
