"""The Faust application of a role: `build_app`, further agents if any, then `run_role`, which connects first."""

from __future__ import annotations

from collections.abc import Sequence

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.tables.manager import TableManager
from faust.types.auth import CredentialsT

from streams.kafka.config import KafkaConfig
from streams.kafka.transport import BatchTransport
from streams.kafka.worker import Handlers, Worker

__all__ = ["Application", "Handlers", "Worker", "build_app", "run_role"]


class Application(faust.App):
    """A Faust app that writes no directories."""

    async def on_first_start(self) -> None:
        """Faust makes a data directory for tables here; there are none."""


class _NoTables(TableManager):
    """Faust's table manager without the second it sleeps for tables to appear."""

    async def on_start(self) -> None:
        """Go straight to the assignment."""
        await self._update_channels()
        await self.recovery.start()


def build_app(config: KafkaConfig, group: str, topics: Sequence[str]) -> Application:
    """A Faust app of consumer group `group` that reads `topics` batched; other topics work as Faust has them."""
    app = Application(
        group,
        broker=[f"kafka://{server}" for server in config.bootstrap.split(",")],
        broker_credentials=_credentials(config),
        broker_client_id=config.client_id,
        broker_request_timeout=config.request_timeout,
        broker_session_timeout=config.session_timeout,
        broker_heartbeat_interval=config.heartbeat_interval,
        broker_rebalance_timeout=config.rebalance_timeout,
        broker_max_poll_interval=config.max_poll_interval,
        broker_commit_interval=config.commit_interval,
        consumer_auto_offset_reset="earliest",
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        reply_create_topic=False,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        agent_supervisor="mode.CrashingSupervisor",
        autodiscover=False,
        TableManager=_NoTables,
    )
    app.finalize()
    app.transport = BatchTransport(app, config, topics)
    return app


def _credentials(config: KafkaConfig) -> CredentialsT | None:
    security = config.security
    context = security.ssl_context()
    if not security.protocol.startswith("SASL"):
        return None if context is None else SSLCredentials(context)
    return SASLCredentials(
        username=security.username, password=security.password, mechanism=security.mechanism, ssl_context=context
    )


async def run_role(app: Application, handlers: Handlers) -> None:
    """Run a role to its end: returns after SIGTERM or SIGINT, raises what made it fail."""
    await Worker(app, handlers).run()
