"""`footfall config`: the effective settings, and whether they hold."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Final

from schemas.errors import FootfallError
from streams.cli.console import fail, show_table
from streams.clients import connected_redis, warehouse_client
from streams.logs import configure_logging
from streams.provenance import as_text, leaves, read_toml, source_of, value_of
from streams.segments_file import rule_set
from streams.settings import Settings, load_settings

_PATIENCE_SECONDS = 5


def show(*, as_json: bool) -> int:
    """Print every setting, its value and its source; secrets masked."""
    settings = load_settings()
    document = read_toml()
    rows = [
        (".".join(name), as_text(value_of(settings, name)), source_of(name, os.environ, document))
        for name in leaves(Settings)
    ]
    if as_json:
        print(json.dumps({name: {"value": value, "source": source} for name, value, source in rows}, indent=2))
    else:
        show_table(("setting", "value", "source"), rows)
    return 0


def check(*, connect: bool) -> int:
    """Verify settings and segment definitions, and with `connect` that each server answers; 2 on any fault."""
    settings = load_settings()
    configure_logging(settings.log, "config")
    checks = {"segments": rule_set, **(PROBES if connect else {})}
    print("settings\tvalid")
    faults = 0
    for name, probe in checks.items():
        try:
            probe(settings)
        except FootfallError as error:
            faults += 1
            fail(str(error))
        else:
            print(f"{name}\tok")
    return 2 if faults else 0


def _ask_kafka(settings: Settings) -> None:
    from streams.kafka.config import kafka_config  # noqa: PLC0415
    from streams.kafka.topics import Topics, topic_specs  # noqa: PLC0415

    Topics(kafka_config(settings, "config")).check(topic_specs(settings.kafka.partitions))


def _ask_registry(settings: Settings) -> None:
    from streams.kafka.registry import Registry  # noqa: PLC0415

    with closing(Registry.of(settings.registry)) as registry:
        registry.ping()


def _ask_redis(settings: Settings) -> None:
    from sinks.installation import check_server  # noqa: PLC0415

    with closing(connected_redis(settings, _PATIENCE_SECONDS)) as client:
        check_server(client)


def _ask_warehouse(settings: Settings) -> None:
    warehouse_client(settings, timeout=_PATIENCE_SECONDS).close()


PROBES: Final[Mapping[str, Callable[[Settings], None]]] = {
    "kafka": _ask_kafka,
    "registry": _ask_registry,
    "redis": _ask_redis,
    "clickhouse": _ask_warehouse,
}
"""How each server is asked for an answer; a FootfallError is what keeps us out."""
