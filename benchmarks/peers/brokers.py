"""The brokers that a contest runs on: a real Apache Kafka, and the one that ships with Footfall."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streams.embedded.broker import Broker
from streams.embedded.ports import HOST, choose_port
from streams.embedded.registry import Registry
from streams.settings import EMBEDDED_KAFKA, Settings, load_settings
from tests.chaos.brokers import ControlledKafka

KAFKA: Final = "kafka"
EMBEDDED: Final = "embedded"
"""It has no transactions."""
BROKERS: Final = (KAFKA, EMBEDDED)


@contextmanager
def broker(kind: str, root: Path) -> Iterator[Settings]:
    """A broker and a registry, running; the settings that name them."""
    with Registry(choose_port(), root / "registry.json", root / "registry.log") as registry:
        urls = {"registry": {"url": f"http://{HOST}:{registry.launch.port}"}, "clock": "event"}
        if kind == KAFKA:
            kafka = ControlledKafka(root / "kafka", 1)
            kafka.start()
            try:
                yield load_settings(kafka={"bootstrap": kafka.bootstrap}, **urls)
            finally:
                kafka.stop()
        else:
            port = choose_port()
            with Broker(port, root / "kafka.log"):
                yield load_settings(kafka={**EMBEDDED_KAFKA, "bootstrap": f"{HOST}:{port}"}, **urls)
