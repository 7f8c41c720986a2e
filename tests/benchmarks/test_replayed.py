"""What is checked after a replay: the raw files say what is published of them, and one wrong row is a difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

import pytest

from benchmarks.replayed import Check, Content, Warehouse, cdnow_content, differences_of, ecom_content, main
from streams.replay.datasets import dataset

CONTENT = Content(events=4, customers=2, cents=5_001, discount=250)
TOPICS = Counter(purchase=3, app=1)
EVENTS_BY_TOPIC, EVENTS, PROFILES = "GROUP BY topic", "FROM events", "FROM profiles"
ANSWERS: Final[Mapping[str, list[tuple[Any, ...]]]] = {
    EVENTS_BY_TOPIC: [("purchase", 3), ("app", 1)],
    EVENTS: [(5_001, 250, 2)],
    PROFILES: [(2, 2, 3, Decimal("50.01"))],
}


class ClickHouse:
    """Answers a query that ends in one of the keys."""

    def __init__(self, answers: Mapping[str, list[tuple[Any, ...]]]) -> None:
        self._answers = answers

    def query(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(result_rows=next(rows for end, rows in self._answers.items() if text.endswith(end)))


def wrong(answers: Mapping[str, list[tuple[Any, ...]]]) -> list[str]:
    checks = Warehouse(ClickHouse(answers)).checks(CONTENT, TOPICS)
    return [check.what for check in checks if check.found != check.expected]


def test_the_raw_files_hold_what_is_published_of_them() -> None:
    assert cdnow_content() == (69_659, 23_570, 250_031_563, 0)
    assert ecom_content() == (31_106, 600, 0, 0)


@pytest.mark.parametrize(("name", "content"), [("cdnow", cdnow_content), ("ecom", ecom_content)])
def test_the_histories_hold_what_the_raw_files_do(name: str, content: Callable[[], Content]) -> None:
    events = [event for _, event in dataset(name)]
    customers = {event["customer_id"] for event in events}
    money = [sum(event.get(name, 0) for event in events) for name in ("revenue", "discount")]
    assert (len(events), len(customers), *money) == content()


def test_tables_that_agree_have_no_differences() -> None:
    assert wrong(ANSWERS) == []


@pytest.mark.parametrize(
    ("query", "rows", "named"),
    [
        (EVENTS_BY_TOPIC, [("purchase", 2), ("app", 2)], ["events of app", "events of purchase"]),
        (EVENTS_BY_TOPIC, [("purchase", 3)], ["events", "events of app"]),
        (EVENTS_BY_TOPIC, [("purchase", 3), ("app", 1), ("social", 1)], ["events", "events of social"]),
        (EVENTS, [(5_000, 250, 2)], ["events: revenue, cents"]),
        (EVENTS, [(5_001, 249, 2)], ["events: discount, cents"]),
        (EVENTS, [(5_001, 250, 1)], ["events: customers"]),
        (PROFILES, [(3, 2, 3, Decimal("50.01"))], ["profiles: rows"]),
        (PROFILES, [(2, 1, 3, Decimal("50.01"))], ["profiles: customers"]),
        (PROFILES, [(2, 2, 4, Decimal("50.01"))], ["profiles: orders"]),
        (PROFILES, [(2, 2, 3, Decimal("50.02"))], ["profiles: revenue, cents"]),
    ],
)
def test_one_wrong_number_in_a_table_is_named(query: str, rows: list[tuple[Any, ...]], named: list[str]) -> None:
    assert wrong({**ANSWERS, query: rows}) == named


def test_differences_are_counted_and_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert differences_of(iter([Check("rows", 5, 5), Check("cents", 1_000, 997)]), "cdnow") == 3
    right, different = capsys.readouterr().out.splitlines()
    assert "DIFFERENT" not in right
    assert different.startswith("cdnow: cents ")
    assert different.endswith("1,000 expected             997 found   DIFFERENT")


@pytest.mark.embedded
@pytest.mark.timeout(240)
def test_the_clickstream_comes_out_as_it_went_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ecom"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.endswith(" found")]) == 14
    assert lines[-1] == "differences 0"
