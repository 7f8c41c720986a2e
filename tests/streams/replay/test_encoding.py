"""The columnar encoder writes the very bytes of the reference, and a bad event has a name."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.codec import Encoder
from schemas.errors import ConfigurationError
from schemas.topics import INPUT_TOPICS
from streams.replay.datasets import ecom
from streams.replay.encoding import BlockEncoder, encoded
from streams.replay.envelope import TopicEvent
from tests.oracle.history import history

IDS = {topic: number for number, topic in enumerate(INPUT_TOPICS, start=3)}
ENCODERS = {topic: BlockEncoder(topic, number) for topic, number in IDS.items()}


def test_columns_and_rows_give_the_same_bytes() -> None:
    reference = {topic: Encoder(topic, number) for topic, number in IDS.items()}
    seeded: list[TopicEvent] = [(topic, event) for _, topic, event in history(customers=60).records]
    events = [*list(ecom())[:3_000], *seeded]
    assert {topic for topic, _ in events} == set(INPUT_TOPICS)
    records = list(encoded(events, ENCODERS))
    assert [record.value for record in records] == [reference[topic].encode(event) for topic, event in events]


def test_records_keep_topic_key_and_the_time_after_the_clamp() -> None:
    event = {"event_time": 9, "received_time": 5, "event_id": "e", "customer_id": "é", "name": "app_opened"}
    (record,) = encoded([("app", event | {"source": "s", "channel": "app"})], ENCODERS)
    assert (record.time, record.topic, record.key) == (5, "app", "é".encode())
    assert int.from_bytes(record.value[1:5], "big") == IDS["app"]


@pytest.mark.parametrize(
    "misfit", [{"customer_id": 7}, {"channel": "nowhere"}, {"name": None}, {"event_time": "noon"}, {"properties": 3}]
)
def test_an_event_that_does_not_fit_is_named(misfit: dict[str, Any]) -> None:
    good = next(event for topic, event in ecom() if topic == "clickstream")
    bad: list[TopicEvent] = [("clickstream", good), ("clickstream", good | misfit)]
    with pytest.raises(ConfigurationError, match=rf"Event 2 .*{good['event_id']}.* topic clickstream"):
        list(encoded(bad, ENCODERS))
