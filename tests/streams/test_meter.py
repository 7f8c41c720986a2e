"""What the journey says about itself is what it did."""

from __future__ import annotations

import pytest

from schemas.partitioning import partition_of
from schemas.topics import CLICKSTREAM
from streams.meter import Meter
from streams.metrics import REGISTRY
from tests.schemas.records import NOW
from tests.streams.test_journey import visit
from tests.streams.worker import Log, worked


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_counters_count_what_the_tallies_count() -> None:
    names = ("received", "applied", "duplicate")
    before = {name: sample(f"footfall_events_{name}_total", topic=CLICKSTREAM) for name in names}
    bad = sample("footfall_events_dead_lettered_total", topic=CLICKSTREAM, reason="undecodable")
    log = Log([(CLICKSTREAM, visit()), (CLICKSTREAM, visit()), (CLICKSTREAM, visit(minutes=1))], append_time=NOW)
    log.append_raw(CLICKSTREAM, partition_of("anna", 2), b"junk")
    tallies = (await worked(log, clock="wall")).tallies()
    after = {name: sample(f"footfall_events_{name}_total", topic=CLICKSTREAM) for name in names}
    assert {name: after[name] - before[name] for name in names} == {"received": 4, "applied": 2, "duplicate": 1}
    assert sample("footfall_events_dead_lettered_total", topic=CLICKSTREAM, reason="undecodable") == bad + 1
    assert tallies == {"received": 4, "applied": 2, "duplicate": 1, "dead_lettered": 1}


def test_a_stage_that_fails_is_timed_and_fails() -> None:
    meter = Meter()
    with pytest.raises(ValueError, match="bad"), meter.stage("fold"):
        raise ValueError("bad")
    assert meter.seconds["fold"] > 0


async def test_every_stage_is_timed() -> None:
    stages = ("decode", "load", "dedupe", "fold", "score", "encode", "wait", "commit", "publish")
    before = [sample("footfall_stage_seconds_count", stage=stage) for stage in stages]
    await worked(Log([(CLICKSTREAM, visit())], append_time=NOW), clock="wall")
    after = [sample("footfall_stage_seconds_count", stage=stage) for stage in stages]
    assert all(new > old for old, new in zip(before, after, strict=True))


async def test_a_late_event_is_counted_late_and_applied() -> None:
    log = Log(append_time=NOW)
    log.append(CLICKSTREAM, visit(minutes=0))
    log.append(CLICKSTREAM, visit(event_id="late", event_time=NOW - 3_600_000))
    tallies = (await worked(log, clock="wall")).tallies()
    assert tallies == {"received": 2, "applied": 2, "late": 1}
