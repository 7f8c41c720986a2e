"""What ClickHouse holds of the grocery history is compared basket by basket: one wrong number is one fewer alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from benchmarks.baskets import Baskets
from tests.streams.replay.grocery import PETROL, line, person, redemption, shop, written

_TIME: Final = 1_488_378_605_000
BASKETS, HOUSEHOLDS, COUPONS = "topic = 'purchase'", "FROM profiles", "GROUP BY ALL"
STORED: Final[Mapping[str, list[tuple[Any, ...]]]] = {
    BASKETS: [
        (
            "completejourney-100",
            "household-7",
            _TIME,
            250,
            51,
            0,
            0,
            ["4", "1"],
            ["DRUG GM", "GROCERY"],
            [1, 2],
            [1, 150],
        ),
        ("completejourney-101", "household-7", _TIME, 2_650, 0, 0, 10_604, ["2"], ["FUEL"], [1], [2_650]),
    ],
    HOUSEHOLDS: [("household-7", 2, 2_900, 51, 4, 45)],
    COUPONS: [("household-7", "2017-03-01", "51380041013", 1)],
}


class ClickHouse:
    """Answers a query that ends in one of the keys."""

    def __init__(self, answers: Mapping[str, list[tuple[Any, ...]]]) -> None:
        self._answers = answers

    def query(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(result_rows=next(rows for end, rows in self._answers.items() if text.endswith(end)))


@pytest.fixture
def baskets(tmp_path: Path) -> Baskets:
    lines = (
        line(quantity=2, sales_value=2.5, retail_disc=0.5),
        line(product_id=4, retail_disc=0.01),
        line(basket_id=101, product_id=PETROL, quantity=10_604, sales_value=26.5),
    )
    return Baskets(str(written(shop(*lines, people=(person(),), redeemed=(redemption(),)), tmp_path)))


def alike(baskets: Baskets, changed: Mapping[str, list[tuple[Any, ...]]]) -> list[list[int]]:
    """Expected and found: of baskets, of households, of coupons."""
    return [[expected, found] for _, expected, found in baskets.differences(ClickHouse({**STORED, **changed}))]


def test_tables_that_agree_with_the_files_have_no_differences(baskets: Baskets) -> None:
    assert alike(baskets, {}) == [[2, 2], [1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("query", "rows", "expected"),
    [
        (BASKETS, STORED[BASKETS][:1], [[2, 1], [1, 1], [1, 1]]),
        (BASKETS, [*STORED[BASKETS], ("more", *STORED[BASKETS][0][1:])], [[2, 1], [1, 1], [1, 1]]),
        (BASKETS, [(*STORED[BASKETS][0][:-1], [1, 151]), STORED[BASKETS][1]], [[2, 1], [1, 1], [1, 1]]),
        (HOUSEHOLDS, [("household-7", 2, 2_900, 51, 4, 46)], [[2, 2], [1, 0], [1, 1]]),
        (COUPONS, [("household-7", "2017-03-02", "51380041013", 1)], [[2, 2], [1, 1], [1, -1]]),
    ],
)
def test_one_wrong_number_is_a_difference(
    baskets: Baskets, query: str, rows: list[tuple[Any, ...]], expected: list[list[int]]
) -> None:
    assert alike(baskets, {query: rows}) == expected
