"""Columns as Python values."""

from __future__ import annotations

import pyarrow as pa
import pytest

from schemas.columns import Columns


def column(name: str, values: list[str | None]) -> Columns:
    """One column of a record batch."""
    return Columns([pa.record_batch([pa.array(values, pa.string())], names=[name])], {})


@pytest.mark.parametrize("length", [3, 300])
@pytest.mark.parametrize("name", ["category", "event_id"])
def test_values_are_those_of_the_column_nulls_among_them(name: str, length: int) -> None:
    values = [None if n % 7 == 0 else f"v{n % 5}" for n in range(length)]
    assert column(name, values).values(name) == values


def test_equal_texts_of_a_long_column_are_one_object() -> None:
    made = column("customer_id", [f"customer-{n % 3}" for n in range(300)]).values("customer_id")
    assert len({id(text) for text in made}) == 3


def test_rows_that_are_left_out_are_left_out_of_repeated_texts_too() -> None:
    columns = column("category", [f"v{n % 5}" for n in range(300)])
    columns.keep(list(range(0, 300, 2)))
    assert columns.values("category") == [f"v{n % 5}" for n in range(0, 300, 2)]
