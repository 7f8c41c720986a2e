"""The histories hold what their sources say: every row, every cent, in time order."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.errors import ConfigurationError
from schemas.topics import EVENT_NAMES
from streams.replay.datasets import DAY, cdnow, dataset, demo, ecom
from streams.replay.envelope import TopicEvent


@pytest.fixture(scope="module")
def orders() -> list[TopicEvent]:
    return list(cdnow())


@pytest.fixture(scope="module")
def clicks() -> list[TopicEvent]:
    return list(ecom())


def test_cdnow_holds_every_order_and_every_cent(orders: list[TopicEvent]) -> None:
    assert len(orders) == 69_659
    assert len({event["customer_id"] for _, event in orders}) == 23_570
    assert sum(event["revenue"] for _, event in orders) == 250_031_563
    assert {topic for topic, _ in orders} == {"purchase"}


def test_ecom_holds_every_event_of_every_shopper(clicks: list[TopicEvent]) -> None:
    assert len(clicks) == 31_106
    assert len({event["customer_id"] for _, event in clicks}) == 600
    assert len({event["session_id"] for _, event in clicks}) == 3_605


def test_ecom_names_go_to_their_topics(clicks: list[TopicEvent]) -> None:
    counts = Counter((topic, event["name"]) for topic, event in clicks)
    assert counts["clickstream", "page_viewed"] == 2762 + 796 + 659 + 406
    assert counts["clickstream", "product_list_viewed"] == 6521 + 2610
    assert counts["clickstream", "error_shown"] == 276 + 119 + 44
    assert counts["app", "feature_used"] == 275
    assert counts["purchase", "order_completed"] == 470
    assert counts["feedback", "support_contacted"] == 277
    assert all(name in EVENT_NAMES[topic] for topic, name in counts)


def test_errors_say_which_page_failed(clicks: list[TopicEvent]) -> None:
    kinds = Counter(event["properties"]["kind"] for _, event in clicks if event["name"] == "error_shown")
    assert kinds == {"error_page": 276, "payment_error": 119, "checkout_bug": 44}


def test_ids_are_unique_although_rows_repeat_and_equal_at_every_reading(
    orders: list[TopicEvent], clicks: list[TopicEvent]
) -> None:
    ids = [event["event_id"] for _, event in orders + clicks]
    assert len(set(ids)) == len(ids)
    assert next(cdnow())[1]["event_id"] == ids[0] == str(uuid.uuid5(uuid.NAMESPACE_URL, "footfall:CDNOW_master.txt:2"))
    assert len({event["order_id"] for topic, event in orders + clicks if topic == "purchase"}) == 69_659 + 470


def test_rows_of_one_day_keep_their_order_in_the_file(orders: list[TopicEvent]) -> None:
    keys = [(event["event_time"], int(event["order_id"].removeprefix("cdnow-"))) for _, event in orders]
    assert keys == sorted(keys)
    assert all(event["received_time"] == event["event_time"] for _, event in orders)


def test_cdnow_rows_become_orders(orders: list[TopicEvent]) -> None:
    first = orders[0][1]
    assert first["customer_id"] == "00001"
    assert (first["revenue"], first["items"][0]["quantity"]) == (1177, 1)
    assert first["event_time"] == _instant(1997, 1, 1)
    assert orders[-1][1]["event_time"] == _instant(1998, 6, 30)


def test_the_demo_ends_both_histories_on_the_same_day_and_merges_them_by_time(clicks: list[TopicEvent]) -> None:
    events = list(demo())
    times = [event["event_time"] for _, event in events]
    assert len(events) == 69_659 + 31_106
    assert times == sorted(times)
    shifted = [event["event_time"] for _, event in events if event["source"] == "CDNOW_master"]
    assert shifted[-1] == clicks[-1][1]["event_time"] // DAY * DAY == _instant(2024, 6, 29)


def test_a_history_of_ones_own_is_read_from_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"topic": "app", "event": {"event_time": 5, "customer_id": "a", "name": "app_opened"}}\n\n')
    assert list(dataset(str(path))) == [("app", {"event_time": 5, "customer_id": "a", "name": "app_opened"})]


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"topic": "shop", "event": {}}',
        '{"topic": "app", "event": {}}',
        '{"topic": "purchase", "event": {"event_time": 1, "customer_id": "a", "revenue": 11.77}}',
        '{"topic": "purchase", "event": {"event_time": 1, "customer_id": "a", "items": ["cd"]}}',
        '{"topic": "purchase", "event": {"event_time": 1, "customer_id": "a", "items": {"product_id": "cd"}}}',
        '{"topic": "purchase", "event": {"event_time": 1, "customer_id": "a", "items": null}}',
        '{"topic": "purchase", "event": {"event_time": 1, "customer_id": "a", "items": 3}}',
        '{"topic": "purchase", "event": ["event_time", "customer_id"]}',
        '{"topic": ["purchase"], "event": {}}',
        "[" * 100_000,
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(line)
    with pytest.raises(ConfigurationError, match=r"own\.jsonl:1 is no event"):
        list(dataset(str(path)))


def test_a_line_that_is_not_utf8_is_named_by_file_and_number(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    good = '{"topic": "app", "event": {"event_time": 5, "customer_id": "é", "name": "app_opened"}}\n'
    path.write_bytes(good.encode() + good.encode("latin-1"))
    events = dataset(str(path))
    assert next(events)[1]["customer_id"] == "é"
    with pytest.raises(ConfigurationError, match=r"own\.jsonl:2 is not UTF-8 \(byte 61 of the line\): save the file"):
        next(events)


def test_an_unknown_history_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match="no history 'cdnov'"):
        dataset("cdnov")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(dataset("missing.jsonl"))


def _instant(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000
