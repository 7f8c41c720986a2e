"""A consumer that notes when each message of a topic came."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import Consumer, TopicPartition

_FETCH_MS: Final = 20
_POLL_SECONDS: Final = 0.1


class Received(NamedTuple):
    """A message and when it was received, Unix seconds."""

    at: float
    key: bytes | None
    value: bytes


@dataclass(slots=True)
class Listener:
    """Reads a topic from its beginning in a thread; of transactions what is committed."""

    bootstrap: str
    topic: str
    partitions: int
    received: list[Received] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until stopped."""
        consumer: Any = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": "latency", "enable.auto.commit": False,
             "isolation.level": "read_committed", "fetch.wait.max.ms": _FETCH_MS, "log_level": 3}
        )  # fmt: skip
        consumer.assign([TopicPartition(self.topic, number, 0) for number in range(self.partitions)])
        while not self._stop.is_set():
            message = consumer.poll(_POLL_SECONDS)
            if message is not None and message.error() is None:
                self.received.append(Received(time.time(), message.key(), message.value()))
        consumer.close()

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    @contextmanager
    def listening(self) -> Iterator[Self]:
        """`run` in a thread while the block lasts."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join(10)
