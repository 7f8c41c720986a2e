"""Structured logs: JSON lines into a pipe or file, coloured lines on a terminal. Secrets never."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from pydantic import SecretStr

from streams.settings import LogSettings

_MASK: Final = "********"
_SECRET_NAME: Final = re.compile(r"password|secret|token|api_?key|authorization|credential", re.IGNORECASE)
_URL_CREDENTIALS: Final = re.compile(r"(\w+://)[^\s/]+@")
_FROM_WARNING: Final = ("aiokafka", "faust", "mode", "httpx", "httpx2", "asyncio")
_SILENT: Final = ("clickhouse_connect", "urllib3.connectionpool")
"""They log each failure at length, and then raise it. (clickhouse_connect resets the level of `urllib3` itself.)"""

_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold customers, and secrets
)

Event = MutableMapping[str, Any]


def configure_logging(settings: LogSettings, role: str) -> None:
    """Send structlog and the standard library's logging, one line each, to stderr with the role bound to each.

    `auto` writes for people on a terminal and JSON anywhere else. Libraries speak from `warning` on.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    human = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _role_adder(role),
        *([] if human else [_TRACEBACKS]),
        hide_secrets,
    ]
    renderer = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if human else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _FROM_WARNING:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def hide_secrets(_logger: object, _method: str, event: Event) -> Event:
    """Mask values whose name or form says that they are secret, at any depth."""
    for key in list(event):
        event[key] = _MASK if _SECRET_NAME.search(key) else _masked(event[key])
    return event


def _masked(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, str):
        return _URL_CREDENTIALS.sub(rf"\1{_MASK}@", value)
    if isinstance(value, dict):
        return {key: _MASK if _SECRET_NAME.search(str(key)) else _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return value


def _role_adder(role: str) -> structlog.typing.Processor:
    def add_role(_logger: object, _method: str, event: Event) -> Event:
        event.setdefault("role", role)
        return event

    return add_role
