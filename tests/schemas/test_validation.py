from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Misdated
from schemas.partitioning import bucket_of, partition_of
from schemas.topics import INPUT_TOPICS
from schemas.validation import END_OF_TIME, MAX_MONEY, RANGES, ContractRules, converted, partition_check, shortened
from tests.schemas.records import NOW, Record, decoded, event, record

WALL = ContractRules(clamp_to_append=True)
MINUTE = 60_000
DAY = 1_440 * MINUTE


def times(rules: ContractRules, event_time: int, received_time: int) -> tuple[list[int], list[int], int]:
    (batch,) = decoded([record(event_time=event_time, received_time=received_time)], rules=rules).batches
    return batch.event_time, batch.received_time, batch.misdated.clamped


def detail(topic: str = "clickstream", rules: ContractRules | None = None, **fields: Any) -> str:
    result = decoded([record(topic, **fields)], topic, rules or ContractRules())
    assert len(result.rejected) == 1
    return result.rejected[0].detail


@pytest.mark.parametrize(
    ("late_ms", "clamped"), [(0, 0), (1, 0), (5 * MINUTE, 0), (5 * MINUTE + 1, 1), (2**63 - 1 - NOW, 1)]
)
def test_no_event_lies_after_its_receipt_and_much_later_ones_are_counted(late_ms: int, clamped: int) -> None:
    assert times(ContractRules(), NOW + late_ms, NOW) == ([NOW], [NOW], clamped)


def test_an_earlier_event_keeps_its_time() -> None:
    assert times(ContractRules(), 0, NOW) == ([0], [NOW], 0)


def test_on_the_wall_clock_a_receipt_long_after_the_append_is_distrusted() -> None:
    assert times(WALL, NOW + 6 * MINUTE, NOW + 6 * MINUTE) == ([NOW], [NOW], 1)
    assert times(WALL, NOW + 5 * MINUTE, NOW + 5 * MINUTE) == ([NOW + 5 * MINUTE], [NOW + 5 * MINUTE], 0)
    assert times(WALL, NOW - 1, NOW + 6 * MINUTE) == ([NOW - 1], [NOW], 0)
    assert times(ContractRules(), NOW + 6 * MINUTE, NOW + 6 * MINUTE) == ([NOW + 6 * MINUTE], [NOW + 6 * MINUTE], 0)


def test_the_wall_clock_saves_an_event_received_in_nanoseconds() -> None:
    assert times(WALL, NOW * 10**6, NOW * 10**6) == ([NOW], [NOW], 1)


@pytest.mark.parametrize("received_time", [END_OF_TIME, -1, 2**63 - 1, -(2**63)])
def test_an_impossible_time_is_refused_and_named(received_time: int) -> None:
    assert str(received_time) in detail(event_time=received_time, received_time=received_time)


@pytest.mark.parametrize(("age_ms", "too_late"), [(0, 0), (90 * DAY, 0), (90 * DAY + 1, 1), (NOW, 1)])
def test_an_event_older_than_every_window_at_its_receipt_is_counted_and_kept(age_ms: int, too_late: int) -> None:
    result = decoded([record(event_time=NOW - age_ms, received_time=NOW)])
    assert [batch.misdated for batch in result.batches] == [Misdated(0, too_late)]
    assert result.rejected == []


def test_clamped_counts_only_accepted_events() -> None:
    late: dict[str, Any] = {"event_time": NOW + 6 * MINUTE}
    result = decoded([record(offset=0, **late), record(offset=1, **late), record(offset=2, name="nonsense", **late)])
    assert result.batches[0].misdated.clamped == 2


@pytest.mark.parametrize("topic", INPUT_TOPICS)
def test_range_ends_are_accepted_and_what_lies_beyond_is_named(topic: str) -> None:
    for name, (low, high) in RANGES[topic].items():
        if topic == "feedback":
            continue  # the survey decides: test_examples.py
        for end in (low, high):
            own: dict[str, Any] = {name: end}
            assert decoded([record(topic, **own)], topic).rejected == []
        for beyond in (low - 1, high + 1):
            own = {name: beyond}
            assert detail(topic, **own).startswith(f"{name}: {beyond} is not between {low} and {high}")


def test_the_first_bad_position_is_found_among_many() -> None:
    records = [record(offset=i, price=-5 if i in {3, 1_999} else i) for i in range(2_000)]
    assert [bad.offset for bad in decoded(records).rejected] == [3, 1_999]


def test_a_bad_item_names_its_own_record() -> None:
    good = {"product_id": "p", "category": None, "quantity": 1, "price": 1}
    lines = [[good, good], [], [good, good | {"quantity": -2}, good | {"quantity": -3}], [good]]
    result = decoded([record("purchase", offset=i, items=items) for i, items in enumerate(lines)], "purchase")
    assert [(bad.offset, bad.detail) for bad in result.rejected] == [
        (2, "items[].quantity: -2 is not between 0 and 1000000")
    ]
    assert [len(items) for items in result.batches[0].column("items")] == [2, 0, 1]


def test_ids_are_measured_in_bytes_and_any_letter_will_do() -> None:
    good = ["é" * 128, "x" * 256, "客户", "a b", "\u00a0", "\u202ertl"]
    bad = ["é" * 129, "x" * 257, "", "tab\t", "\x7f", "\u0080", "\u009f"]
    result = decoded([record(offset=i, customer_id=value) for i, value in enumerate(good + bad)])
    assert result.batches[0].customer_id == good
    assert [bad.offset for bad in result.rejected] == list(range(len(good), len(good) + len(bad)))


def test_an_optional_id_may_be_null_but_not_empty() -> None:
    ids = [None, "o-1", None, "", "a\n"]
    result = decoded([record("feedback", offset=i, order_id=value) for i, value in enumerate(ids)], "feedback")
    assert [bad.offset for bad in result.rejected] == [3, 4]
    assert result.batches[0].column("order_id") == [None, "o-1", None]


def test_a_key_unlike_the_customer_is_a_wrong_partition() -> None:
    result = decoded([Record(0, key=b"customer-18", value=record().value), record(offset=1)])
    assert [(bad.offset, bad.reason) for bad in result.rejected] == [(0, "wrong_partition")]
    assert "customer-18" in result.rejected[0].detail
    assert "customer-17" in result.rejected[0].detail


def test_a_detail_shows_a_long_value_shortened_and_without_control_characters() -> None:
    text = detail(event_id="\x1b[31m" + "x" * 1_000)
    assert len(text) < 200
    assert "\x1b" not in text


@given(st.lists(st.text(max_size=12), max_size=20), st.sampled_from([1, 2, 8, 256]))
def test_the_partition_check_finds_what_the_partitioner_puts_elsewhere(ids: list[str], partitions: int) -> None:
    wanted = [i for i, customer in enumerate(ids) if partition_of(customer, partitions) != 0]
    assert partition_check(ids, 0, partitions, bucket_of) == wanted


# --- money ---


@given(st.integers(0, MAX_MONEY), st.fractions(min_value=Fraction(1, 1_000), max_value=1_000))
def test_conversion_rounds_half_to_even_exactly(amount: int, rate: Fraction) -> None:
    assert converted(amount, rate) == round(amount * rate)
    assert converted(amount, (rate.numerator, rate.denominator)) == round(amount * rate)


def test_all_money_of_an_order_is_brought_into_the_base_currency() -> None:
    rules = ContractRules("EUR", {"USD": Fraction(9, 10), "JPY": (6, 10)})
    line = {"product_id": "p", "category": None, "quantity": 2, "price": 50}
    orders = [
        {"currency": "EUR", "revenue": 101, "discount": 5, "cost": None, "items": [line]},
        {"currency": "USD", "revenue": 101, "discount": 5, "cost": 55, "items": [line, line]},
        {"currency": "XTS", "revenue": 1, "discount": 0, "cost": None, "items": []},
        {"currency": "JPY", "revenue": 100, "discount": 0, "cost": None, "items": []},
    ]
    result = decoded([record("purchase", offset=i, **order) for i, order in enumerate(orders)], "purchase", rules)
    (batch,) = result.batches
    assert batch.offsets == [0, 1, 3]
    assert batch.column("revenue") == [101, 91, 60]
    assert batch.column("discount") == [5, 4, 0]  # 4.5 to even
    assert batch.column("cost") == [None, 50, None]
    assert [[item["price"] for item in items] for items in batch.column("items")] == [[50], [45, 45], []]
    assert [(bad.offset, bad.reason) for bad in result.rejected] == [(2, "unknown_currency")]
    assert "XTS" in result.rejected[0].detail


def test_an_amount_that_grows_absurd_by_conversion_is_refused() -> None:
    rules = ContractRules("EUR", {"USD": (2, 1)})
    assert "base currency" in detail("purchase", rules, revenue=MAX_MONEY)


def test_a_value_is_shown_in_eighty_characters() -> None:
    assert shortened("x" * 100) == "'" + "x" * 76 + "..."
    assert event()["name"] == "page_viewed"
