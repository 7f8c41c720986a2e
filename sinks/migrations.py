"""Migrations of the warehouse: SQL files applied once, in the order of their names, and never changed afterwards.

ClickHouse has no transactions over DDL. A file may therefore stop half-way, and two sinks may apply it at once;
both are harmless because every statement must be idempotent (IF NOT EXISTS, OR REPLACE), which a test asserts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.errors import ConfigurationError

DATABASE: Final = "footfall"
"""The name the files are written for; another configured name takes its place."""

_FILE_NAME: Final = re.compile(r"\d{3}_[a-z0-9_]+\.sql")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TOKEN: Final = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?\*/)"""
    r"""|(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)"""
    r"""|(?P<end>;)|(?P<word>\w+)|(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
_TABLE: Final = """CREATE TABLE IF NOT EXISTS footfall.migrations
(name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'))
ENGINE = ReplacingMergeTree ORDER BY name"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, its text, and the checksum by which a later change is noticed."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """sha256 of the text, hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_migrations(directory: Path) -> list[Migration]:
    """The migrations of a directory, in order.

    Raises:
        ConfigurationError: there are none, or a name is not `NNN_words.sql`, or a number occurs twice.

    """
    files = sorted(directory.glob("*.sql"))
    if not files:
        raise ConfigurationError(f"{directory} holds no migrations (NNN_words.sql): reinstall footfall.")
    bad = [file.name for file in files if not _FILE_NAME.fullmatch(file.name)]
    if bad:
        raise ConfigurationError(f"{directory / bad[0]} is not named NNN_words.sql: rename it.")
    numbers = [file.name[:3] for file in files]
    twice = {number for number in numbers if numbers.count(number) > 1}
    if twice:
        raise ConfigurationError(f"{directory} holds two migrations {min(twice)}: renumber the newer one.")
    return [Migration(file.name, file.read_text(encoding="utf-8")) for file in files]


def apply_migrations(client: Any, database: str, migrations: Sequence[Migration]) -> list[str]:
    """Apply what the database has not seen; the names applied. Migrations it knows and we lack are a newer release's.

    Raises:
        ConfigurationError: an applied file was changed afterwards, or the database's name is not a plain identifier.
        clickhouse_connect.driver.exceptions.ClickHouseError: the server refuses a statement or does not answer.

    """
    if not _IDENTIFIER.fullmatch(database):
        raise ConfigurationError(f"warehouse.database is {database!r}: use letters, digits and underscores.")
    client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    client.command(next(statements(_TABLE, database)))
    applied = _applied(client, database)
    pending = [migration for migration in migrations if _is_pending(migration, applied)]
    for migration in pending:
        for statement in statements(migration.text, database):
            client.command(statement)
        record = [[migration.name, migration.checksum]]
        client.insert("migrations", record, column_names=["name", "checksum"], database=database)
    return [migration.name for migration in pending]


def pending_migrations(client: Any, database: str, migrations: Sequence[Migration]) -> list[str]:
    """The names of those the database has not seen; changes nothing.

    Raises:
        ConfigurationError: an applied file was changed afterwards.
        clickhouse_connect.driver.exceptions.ClickHouseError: the server refuses to say or does not answer.

    """
    known = client.query(
        "SELECT count() FROM system.tables WHERE database = {name:String} AND name = 'migrations'",
        parameters={"name": database},
    )
    applied = _applied(client, database) if known.result_rows[0][0] else {}
    return [migration.name for migration in migrations if _is_pending(migration, applied)]


def statements(text: str, database: str = DATABASE) -> Iterator[str]:
    """The statements of a file, without comments; a `;` or the database's name inside quotes is left alone."""
    parts: list[str] = []
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "comment":
            parts.append(" ")
        elif token.lastgroup == "word" and token[0] == DATABASE:
            parts.append(database)
        elif token.lastgroup != "end":
            parts.append(token[0])
        elif statement := "".join(parts).strip():
            yield statement
            parts = []
    if statement := "".join(parts).strip():
        yield statement


def _applied(client: Any, database: str) -> dict[str, str]:
    rows = client.query(f"SELECT name, checksum FROM {database}.migrations FINAL").result_rows  # noqa: S608  checked name
    return dict(rows)


def _is_pending(migration: Migration, applied: dict[str, str]) -> bool:
    checksum = applied.get(migration.name)
    if checksum not in {None, migration.checksum}:
        raise ConfigurationError(
            f"Migration {migration.name} was changed after it was applied to this database: "
            "restore the file and put the change into a new one with the next number."
        )
    return checksum is None
