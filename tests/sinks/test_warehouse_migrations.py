from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest

from schemas.errors import ConfigurationError
from sinks.migrations import Migration, apply_migrations, read_migrations, statements
from streams.embedded.clickhouse import ClickHouse

SHIPPED = Path(__file__).parents[2] / "deploy" / "clickhouse"
IDEMPOTENT = re.compile(r"CREATE (DATABASE|TABLE|MATERIALIZED VIEW) IF NOT EXISTS |CREATE OR REPLACE VIEW |ALTER TABLE \S+ ADD (COLUMN|INDEX) IF NOT EXISTS ")  # fmt: skip  # noqa: E501


@pytest.fixture
def client(clickhouse: ClickHouse) -> Iterator[Any]:
    client = clickhouse_connect.get_client(port=clickhouse.launch.port, autogenerate_session_id=False)
    yield client
    client.close()


def test_a_second_start_applies_nothing(client: Any, fresh_database: str) -> None:
    shipped = read_migrations(SHIPPED)

    assert apply_migrations(client, fresh_database, shipped) == [migration.name for migration in shipped]
    assert apply_migrations(client, fresh_database, shipped) == []


def test_sinks_that_start_at_once_do_not_disturb_each_other(
    client: Any, clickhouse: ClickHouse, fresh_database: str
) -> None:
    shipped = read_migrations(SHIPPED)

    with ThreadPoolExecutor(3) as sinks:
        starts = [sinks.submit(apply_migrations, client, fresh_database, shipped) for _ in range(3)]
        for start in starts:
            start.result()

    recorded = client.query(f"SELECT name FROM {fresh_database}.migrations FINAL ORDER BY name").result_rows
    assert [name for (name,) in recorded] == [migration.name for migration in shipped]


def test_a_file_changed_after_it_was_applied_is_refused(client: Any, fresh_database: str) -> None:
    first = Migration("001_a.sql", "CREATE TABLE IF NOT EXISTS footfall.a (x Int8) ENGINE = MergeTree ORDER BY x;")
    apply_migrations(client, fresh_database, [first])

    with pytest.raises(ConfigurationError, match=r"001_a\.sql was changed after it was applied"):
        apply_migrations(client, fresh_database, [replace(first, text=first.text + "-- harmless?")])


def test_a_newer_release_s_migrations_do_not_stop_an_older_sink(client: Any, fresh_database: str) -> None:
    old = Migration("001_a.sql", "CREATE TABLE IF NOT EXISTS footfall.a (x Int8) ENGINE = MergeTree ORDER BY x")
    new = Migration("002_b.sql", "ALTER TABLE footfall.a ADD COLUMN IF NOT EXISTS y Int8")
    apply_migrations(client, fresh_database, [old, new])

    assert apply_migrations(client, fresh_database, [old]) == []


@pytest.mark.parametrize("name", ["x; DROP TABLE y", "", "1st", "a-b"])
def test_a_database_name_that_is_no_identifier_is_refused_before_anything_is_sent(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"warehouse\.database"):
        apply_migrations(None, name, [])


def test_every_shipped_statement_may_be_repeated() -> None:
    shipped = [statement for migration in read_migrations(SHIPPED) for statement in statements(migration.text)]

    assert shipped
    assert [statement for statement in shipped if not IDEMPOTENT.match(statement)] == []


def test_statements_are_split_outside_quotes_and_comments() -> None:
    text = """-- a comment; with a semicolon and 'a quote
    SELECT ';', 'it''s; fine', "a;b", `c;d`; /* ; */
    SELECT 'back\\'slash;'; ;
    SELECT 3 -- no end"""

    assert list(statements(text)) == [
        """SELECT ';', 'it''s; fine', "a;b", `c;d`""",
        "SELECT 'back\\'slash;'",
        "SELECT 3",
    ]


def test_only_the_bare_database_name_is_replaced() -> None:
    (statement,) = statements("SELECT 'footfall' FROM footfall.x, footfall_old.y", "shop")

    assert statement == "SELECT 'footfall' FROM shop.x, footfall_old.y"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ([], "holds no migrations"),
        (["1_a.sql"], "is not named"),
        (["001_a.sql", "001_b.sql"], "two migrations 001"),
    ],
)
def test_a_directory_that_is_not_in_order_is_refused(tmp_path: Path, files: list[str], complaint: str) -> None:
    for name in files:
        (tmp_path / name).write_text("SELECT 1;")

    with pytest.raises(ConfigurationError, match=complaint):
        read_migrations(tmp_path)
