from __future__ import annotations

import re
from pathlib import Path

import clickhouse_connect
import pytest

from sinks.migrations import apply_migrations, read_migrations, statements
from streams.embedded.clickhouse import ClickHouse
from streams.resources import resource

README = (Path(__file__).parents[2] / "deploy" / "clickhouse" / "README.md").read_text()
QUESTIONS = re.findall(r"^([^\n]+\?)\n\n```sql\n(.*?)```", README, re.DOTALL | re.MULTILINE)


def test_every_question_of_the_readme_has_an_answer(clickhouse: ClickHouse, fresh_database: str) -> None:
    assert len(QUESTIONS) >= 6
    client = clickhouse_connect.get_client(port=clickhouse.launch.port)
    apply_migrations(client, fresh_database, read_migrations(resource("clickhouse")))
    for question, sql in QUESTIONS:
        (statement,) = statements(sql, fresh_database)
        try:
            client.query(statement)
        except clickhouse_connect.driver.exceptions.DatabaseError as error:
            pytest.fail(f"{question}: {error}")
    client.close()


def test_every_view_is_in_the_readme() -> None:
    shipped = "".join(migration.text for migration in read_migrations(resource("clickhouse")))
    views = re.findall(r"CREATE OR REPLACE VIEW footfall\.(\w+)", shipped)

    assert views
    assert [view for view in views if f"`{view}`" not in README] == []
