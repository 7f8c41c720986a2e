"""How to reach Kafka and how to share its partitions: plain values, filled by the composition root."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """SASL and TLS; without a user name there is no SASL, without `tls` no TLS. The password is never shown."""

    tls: bool = False
    ca_file: str | None = None
    mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def ssl_context(self) -> ssl.SSLContext | None:
        """A verifying TLS 1.2+ context, or null for plain text."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """One connection to Kafka. Times are seconds, sizes bytes."""

    bootstrap: str
    """Comma-separated `host:port`."""
    client_id: str = "footfall"
    security: KafkaSecurity = KafkaSecurity()
    max_poll_records: int = 10_000
    """The most records of one poll: one unit of work."""
    polls_ahead: int = 2
    """Polls handed out and not finished: one at work, the others already parsed beside it."""
    fetch_bytes: int = 64 << 20
    partition_fetch_bytes: int = 8 << 20
    fetch_wait: float = 0.05
    """The longest a broker holds back an empty answer. A partition that was just emptied waits for the request in
    flight, so this is latency when one partition is busy and the others are idle."""
    read_committed: bool = True
    session_timeout: float = 30.0
    heartbeat_interval: float = 3.0
    rebalance_timeout: float = 60.0
    max_poll_interval: float = 120.0
    request_timeout: float = 60.0
    commit_interval: float = 1.0
    drain_timeout: float = 10.0
    """How long an orderly stop may take before the process ends the hard way."""
    stall_timeout: float = 120.0
    """How long one poll or tick may take before the process is taken for hung and ended."""

    def for_one_machine(self) -> KafkaConfig:
        """The same, with the short timeouts of the embedded profile: its broker holds a join for half of them."""
        return replace(self, session_timeout=6.0, heartbeat_interval=1.0, rebalance_timeout=4.0, max_poll_interval=10.0)
