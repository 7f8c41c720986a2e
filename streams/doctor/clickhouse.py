"""ClickHouse: whether it answers, and whether its tables are this release's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from sinks.migrations import Migration, pending_migrations
from streams.doctor.finding import Finding, listed


def check_clickhouse(client: Any, address: str, database: str, migrations: Sequence[Migration]) -> list[Finding]:
    """Version and migrations. Raises ConfigurationError when an applied migration was changed."""
    answers = Finding("clickhouse", "ok", f"version {client.server_version} answers at {address}")
    try:
        pending = pending_migrations(client, database, migrations)
    except ClickHouseError as error:
        reason = " ".join(str(error).split())[:200]
        remedy = f"grant FOOTFALL_WAREHOUSE__USER SELECT on {database}"
        return [answers, Finding("migrations", "problem", f"cannot be read: {reason}", remedy)]
    if pending:
        text = f"database {database} lacks {listed(pending)}"
        return [answers, Finding("migrations", "problem", text, "start `footfall sink`, which applies them")]
    return [answers, Finding("migrations", "ok", f"all {len(migrations)} are applied to database {database}")]
