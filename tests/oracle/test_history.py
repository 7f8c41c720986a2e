"""The seeded history is what it says: repeatable, inside the order law, and no measure stays zero."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas.topics import EVENT_NAMES
from tests.oracle.diary import DAY, effective_time
from tests.oracle.history import History, history, lateness, permutation
from tests.oracle.recount import NAMES, recount


@pytest.fixture(scope="module")
def seeded() -> History:
    return history()


def test_a_seed_is_one_history() -> None:
    assert history(8, customers=50).records == history(8, customers=50).records
    assert history(8, customers=5).records != history(9, customers=5).records


def test_it_is_large_and_holds_every_event_name(seeded: History) -> None:
    customers = {record.event["customer_id"] for record in seeded.records}
    times = [effective_time(record.event) for record in seeded.records]
    assert len(customers) >= 2_000
    assert 60_000 <= len(seeded.records) <= 100_000
    assert 390 * DAY < max(times) - min(times) <= 402 * DAY
    names = Counter((record.topic, record.event["name"]) for record in seeded.records)
    assert set(names) == {(topic, name) for topic, named in EVENT_NAMES.items() for name in named}
    assert min(names.values()) >= 100


def test_records_come_late_but_never_by_more_than_a_day(seeded: History) -> None:
    assert lateness(seeded.records) == DAY
    late = permutation(seeded, 1)
    assert DAY / 2 < lateness(late.records) <= DAY
    assert lateness(history(customers=300, far_late=True).records) > 30 * DAY


def test_there_are_duplicates_and_clocks_that_run_ahead(seeded: History) -> None:
    ids = Counter((record.event["customer_id"], record.event["event_id"]) for record in seeded.records)
    ahead = [record.event["event_time"] - record.event["received_time"] for record in seeded.records]
    assert sum(times > 1 for times in ids.values()) > 500
    assert sum(early > 5 * 60_000 for early in ahead) > 100


def test_no_measure_is_zero_at_any_instant_in_any_window(seeded: History) -> None:
    for t in seeded.instants:
        counts = recount(seeded.until(t), t)
        assert [name for name in NAMES if not any(customer[name] for customer in counts.values())] == []
        assert any(customer["F"] and customer["gap_count"] and customer["last_nps"] for customer in counts.values())


def test_the_order_of_arrival_does_not_matter(seeded: History) -> None:
    t = seeded.instants[-1]
    other = permutation(seeded, 1)
    assert [record.event for record in other.records] != [record.event for record in seeded.records]
    assert recount(other.until(t), t) == recount(seeded.until(t), t)
