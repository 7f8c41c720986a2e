"""How often the watchdog of a role ended its process: kept in Redis, since who notices does not live to show it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final

import structlog

from schemas.errors import FootfallError
from sinks import installation
from streams import metrics
from streams.clients import redis_client
from streams.kafka.standstill import KINDS
from streams.settings import Settings

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS: Final = 1.0
"""Neither an end nor a start is held up for it: a sink needs no Redis for its work."""


def noter(settings: Settings, role: str) -> Callable[[str], None]:
    """What a watchdog calls with the kind of standstill right before it ends the process. Never raises for Redis."""

    def note(kind: str) -> None:
        try:
            with closing(redis_client(settings, _PATIENCE_SECONDS)) as client:
                installation.note_restart(client, settings.redis.prefix, role, kind)
        except FootfallError as error:
            log.warning("an end by watchdog is not counted", kind=kind, reason=str(error))

    return note


def show(settings: Settings, role: str) -> None:
    """Show the ends of all earlier processes of this role. Without Redis the metric is absent rather than 0."""
    try:
        with closing(redis_client(settings, _PATIENCE_SECONDS)) as client:
            found = installation.restarts(client, settings.redis.prefix, role)
    except FootfallError as error:
        log.warning("ends by watchdog are not shown", metric="footfall_watchdog_restarts_total", reason=str(error))
        return
    metrics.WATCHDOG_RESTARTS.clear()  # a process that begins anew with another generation shows them again
    for kind in KINDS:
        metrics.WATCHDOG_RESTARTS.labels(kind).inc(found.get(kind, 0))
