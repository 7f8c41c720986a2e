"""How to reach Kafka and how to share its partitions: plain values, filled from the settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from streams.settings import KafkaSettings, Settings
from streams.tls import verifying_context


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """SASL and TLS, in Kafka's own terms. The password is never shown."""

    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def ssl_context(self) -> ssl.SSLContext | None:
        """A verifying TLS 1.2+ context, or null where the protocol has no TLS."""
        if not self.protocol.endswith("SSL"):
            return None
        return verifying_context(self.ca_file, self.certificate_file, self.key_file)

    def librdkafka(self) -> dict[str, str]:
        """The same for confluent-kafka's clients, which verify by default and know no TLS older than 1.2."""
        files = {
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.certificate_file,
            "ssl.key.location": self.key_file or self.certificate_file,
        }
        options = {"security.protocol": self.protocol}
        if self.protocol.endswith("SSL"):
            options |= {name: str(file) for name, file in files.items() if file is not None}
        if self.protocol.startswith("SASL"):
            options |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password,
            }
        return options


POLL_WORK_SECONDS: Final = 4.0
"""What a worker takes for a full poll where two share a core; a slower one gets smaller polls."""


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """One connection to Kafka. Times are seconds, sizes bytes."""

    bootstrap: str
    """Comma-separated `host:port`."""
    client_id: str = "footfall"
    security: KafkaSecurity = KafkaSecurity()
    max_poll_records: int = 10_000
    """The most records of one poll: one unit of work."""
    poll_seconds: float = inf
    """Polls become smaller where working one off takes longer: a rebalance waits for the last one."""
    polls_ahead: int = 2
    """Polls handed out and not finished: one at work, the other already parsed beside it."""
    fetch_bytes: int = 64 << 20
    partition_fetch_bytes: int = 8 << 20
    fetch_wait: float = 0.05
    """The longest a broker holds back an empty answer. A partition that was just emptied waits for the request in
    flight, so this is latency when one partition is busy and the others are idle."""
    read_committed: bool = True
    session_timeout: float = 10.0
    heartbeat_interval: float = 3.0
    rebalance_timeout: float = 30.0
    max_poll_interval: float = 120.0
    request_timeout: float = 30.0
    commit_interval: float = 1.0
    drain_timeout: float = 10.0
    """How long an orderly stop may take before the process ends the hard way."""
    silence_timeout: float = 22.0
    """How long no fetch may be answered, or no offset move while there are records, before the process is ended to
    begin anew: with the start of the next one 30 s at most."""
    stall_timeout: float = 120.0
    """How long one poll or tick may take before the process is taken for hung and ended."""

    @property
    def small_poll(self) -> int:
        """Records below which a poll shows that the log is read to its end: then freshness counts, not size."""
        return max(1, self.max_poll_records // 10)

    def librdkafka(self) -> dict[str, str]:
        """Address and security for confluent-kafka's clients."""
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": self.client_id,
            **self.security.librdkafka(),
        }


def security_of(kafka: KafkaSettings) -> KafkaSecurity:
    """SASL and TLS from the settings."""
    return KafkaSecurity(
        protocol=kafka.security_protocol,
        mechanism=kafka.sasl_mechanism,
        username=kafka.username,
        password=kafka.password.get_secret_value(),
        ca_file=kafka.ca_file,
        certificate_file=kafka.certificate_file,
        key_file=kafka.key_file,
    )


def kafka_config(settings: Settings, role: str) -> KafkaConfig:
    """What a role needs to know of the settings."""
    kafka = settings.kafka
    return KafkaConfig(
        bootstrap=kafka.bootstrap,
        client_id=settings.group(role),
        security=security_of(kafka),
        max_poll_records=settings.batch.max_records,
        poll_seconds=POLL_WORK_SECONDS,
        session_timeout=kafka.session_timeout,
        heartbeat_interval=kafka.heartbeat_interval,
        rebalance_timeout=kafka.rebalance_timeout,
        max_poll_interval=kafka.max_poll_interval,
        request_timeout=kafka.request_timeout,
        fetch_wait=kafka.fetch_wait,
        drain_timeout=settings.drain_seconds,
    )
