"""The generated load is what the schemas say, repeatable, and mixed as asked."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

import pytest

from benchmarks.generator import MIX, Generator, Load, customer_name
from benchmarks.sizes import LARGE, SMALL, USUAL
from schemas.codec import HEADER_BYTES, encode_body, schema_of
from schemas.partitioning import partition_of
from schemas.topics import EVENT_NAMES, INPUT_TOPICS
from tests.oracle.recount import recount

IDS = {topic: 300 + number for number, topic in enumerate(INPUT_TOPICS)}
LOAD = Load(customers=500, rate=100.0)


def generator(load: Load = LOAD) -> Generator:
    return Generator(load, IDS, 8)


def test_every_record_is_what_the_reference_would_have_written() -> None:
    made = generator()
    for topic, partition, key, value in made.batch(3_000):
        event = made.event((topic, partition, key, value))
        assert value == b"\0" + IDS[topic].to_bytes(4, "big") + encode_body(schema_of(topic), event)
        assert event["customer_id"].encode() == key
        assert partition == partition_of(event["customer_id"], 8)
        assert event["name"] in EVENT_NAMES[topic]
        assert 150 <= len(value) - HEADER_BYTES <= 450


def test_a_seed_gives_the_same_load_and_its_events_again() -> None:
    made = generator()
    batches = [made.batch(n) for n in (2_000, 3_000)]
    records = batches[0] + batches[1]
    again = generator()
    assert [again.batch(2_000), again.batch(3_000)] == batches
    some = {customer_name(0), customer_name(7)}
    expected = [(n, r[0], made.event(r)) for n, r in enumerate(records) if r[2].decode() in some]
    assert made.events_of(some, [2_000, 3_000]) == expected


def test_topics_and_times_are_as_asked() -> None:
    made = generator()
    records = made.batch(20_000)
    shares = Counter(record[0] for record in records)
    assert {topic: count / 20_000 for topic, count in shares.items()} == pytest.approx(dict(MIX), abs=0.02)
    events = [made.event(record) for record in records]
    received = [event["received_time"] for event in events]
    assert received == sorted(received)
    assert received[-1] - received[0] == 199_990
    late = sum(event["event_time"] < event["received_time"] - 11_000 for event in events)
    assert 250 <= late <= 500
    repeated = 20_000 - len({event["event_id"] for event in events})
    assert 120 <= repeated <= 280


def test_repeated_records_differ_only_in_when_they_were_received() -> None:
    made = generator()
    first: dict[str, tuple[str, dict[str, object]]] = {}
    for record in made.batch(10_000):
        event = made.event(record)
        topic, seen = first.setdefault(event["event_id"], (record[0], event))
        assert (topic, seen | {"received_time": 0}) == (record[0], event | {"received_time": 0})


def test_customers_follow_zipf_or_share_evenly() -> None:
    zipf = Counter(record[2] for record in generator(Load(customers=1_000, exponent=1.0)).batch(20_000))
    even = Counter(record[2] for record in generator(Load(customers=1_000, exponent=0.0)).batch(20_000))
    assert zipf[customer_name(0).encode()] / 20_000 == pytest.approx(1 / 7.49, abs=0.02)
    assert max(even.values()) < 60


@pytest.mark.parametrize(("exponent", "second"), [(0.0, 0.7 / 999), (1.0, 0.7 * 0.5 / 6.49)])
def test_the_hot_customer_has_its_share_and_the_others_share_the_rest(exponent: float, second: float) -> None:
    load = Load(customers=1_000, exponent=exponent, hot=0.3)
    counts = Counter(record[2] for record in generator(load).batch(20_000))
    assert counts[customer_name(0).encode()] / 20_000 == pytest.approx(0.3, abs=0.02)
    assert counts[customer_name(1).encode()] / 20_000 == pytest.approx(second, abs=0.01)


@pytest.mark.parametrize(("size", "mean"), [(SMALL, 200), (USUAL, 260), (LARGE, 4_000)])
def test_events_are_as_long_as_asked_and_otherwise_the_same(size: str, mean: int) -> None:
    made, usual = generator(Load(customers=500, rate=100.0, size=size)), generator()
    records, others = made.batch(2_000), usual.batch(2_000)
    assert fmean(len(record[3]) for record in records) == pytest.approx(mean, rel=0.1)
    counted = ("event_id", "customer_id", "event_time", "name", "channel", "category", "revenue", "score", "order_id")
    for record, other in zip(records, others, strict=True):
        event, same = made.event(record), usual.event(other)
        assert {name: event.get(name) for name in counted} == {name: same.get(name) for name in counted}


def test_the_recount_takes_a_load() -> None:
    made = generator()
    made.batch(20_000)
    events = made.events_of({customer_name(0)}, [20_000])
    counts = recount(events, max(event["received_time"] for _, _, event in events))[customer_name(0)]
    assert counts["orders_1h"] > 10
    assert counts["refunds_lifetime"] > 0
    assert counts["revenue_lifetime"] > 0
