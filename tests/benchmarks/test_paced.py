"""The paced producer keeps to its pace: whatever it sends early is a latency nobody would have."""

from __future__ import annotations

import pytest

from benchmarks.generator import Load
from benchmarks.paced import Pace, due_by, probe_name, records_of
from schemas.codec import HEADER_BYTES, decode_body, schema_of
from schemas.partitioning import partition_of
from schemas.topics import INPUT_TOPICS
from streams.settings import load_settings


@pytest.mark.parametrize(
    ("seconds", "due"), [(-6.0, 0), (-0.001, 0), (0.0, 0), (0.5, 500), (9.0, 9_000), (11.0, 10_000)]
)
def test_nothing_is_due_before_its_time_and_never_more_than_there_is(seconds: float, due: int) -> None:
    assert due_by(seconds, 1_000.0, 10_000) == due


def test_every_so_many_records_is_the_only_event_of_a_customer_of_its_own() -> None:
    ids = dict.fromkeys(INPUT_TOPICS, 7)
    pace = Pace(load_settings(), Load(customers=50, duplicates=0.0), ids, 100, probe_every=25)
    plain = records_of(Pace(pace.settings, pace.load, ids, 100))
    records = records_of(pace)
    assert (
        [place for place, record in enumerate(records) if record != plain[place]] == [*pace.probes] == [0, 25, 50, 75]
    )
    for place in pace.probes:
        topic, partition, key, value = records[place]
        event, before = (decode_body(schema_of(topic), body[HEADER_BYTES:]) for body in (value, plain[place][3]))
        assert event == before | {"customer_id": probe_name(place)}
        assert key == probe_name(place).encode()
        assert partition == partition_of(probe_name(place), pace.settings.kafka.partitions)
