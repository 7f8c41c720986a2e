"""A Redis without room refuses whatever could write: consumption waits, says why, and nothing floods the topics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka import Message

from schemas.partitioning import partition_of
from schemas.topics import DEAD_LETTERS, PURCHASE
from streams.effects import SWEEP_SECONDS
from tests.end_to_end.conftest import PARTITIONS, Installation, page, wait_until
from tests.schemas.records import event

FULL_SECONDS = 6.0


@pytest.fixture
def full(installation: Installation, fresh_name: str) -> Iterator[None]:
    """A full Redis, until the test says otherwise; what was sent before is applied and swept into every fence."""
    installation.send(PURCHASE, event(PURCHASE, customer_id=f"{fresh_name}-before", event_id=f"{fresh_name}-before"))
    wait_until(lambda: installation.profile(f"{fresh_name}-before") is not None)
    time.sleep(2 * SWEEP_SECONDS)
    client = installation.store.client
    client.config_set("maxmemory", 1)
    yield
    client.config_set("maxmemory", 0)


def test_a_full_redis_is_waited_for_and_then_everything_counts_once(
    installation: Installation, fresh_name: str, full: None
) -> None:
    times = dict.fromkeys(("event_time", "received_time"), int(time.time() * 1000))
    names = [name for n in range(40) if partition_of(name := f"{fresh_name}-{n}", PARTITIONS) == 0]
    orders = [event(PURCHASE, customer_id=name, event_id=name, **times) for name in names]
    for order in orders:
        installation.send(PURCHASE, order)
    bad = f"{fresh_name} is no Avro".encode()
    installation.send_raw(PURCHASE, bad, orders[0]["customer_id"].encode())
    wait_until(lambda: "for now: OOM" in page(installation, "/readyz")[1])
    time.sleep(FULL_SECONDS)
    installation.store.client.config_set("maxmemory", 0)
    wait_until(lambda: all(installation.profile(name) is not None for name in names))
    assert {profile.frequency for name in names if (profile := installation.profile(name))} == {1}
    letters = _about(installation.read(DEAD_LETTERS, lambda found: bool(_about(found, bad))), bad)
    assert len({m.key() for m in letters}) == 1, "the same letter, sent again"
    assert len(letters) <= 10, "it waits, it does not try in a circle"


def _about(found: Sequence[Message], bad: bytes) -> list[Message]:
    return [m for m in found if bad in (m.value() or b"")]
