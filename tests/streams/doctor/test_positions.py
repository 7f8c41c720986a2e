"""Lag and conservation from fences, tallies and the ends of the logs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from schemas.partitioning import BUCKETS
from schemas.results import BucketClaim
from schemas.topics import CLICKSTREAM
from streams.doctor.finding import Status
from streams.doctor.positions import judge_claims, judge_conservation, judge_group, judge_process
from streams.doctor.standing import Standing, foreign_fences, standings
from streams.takeover import _refuse_foreign
from tests.schemas.records import NOW, event
from tests.streams.worker import PARTITIONS, Log, Worker, World

IDS = {topic: f"id-{topic}" for topic in ("app", CLICKSTREAM)}
Place = tuple[str, int]


def standing(*, first: int = 0, end: int = 10, lowest: int = 10, highest: int | None = None, **counts: int) -> Standing:
    """One topic-partition with a log of 10 records that are all applied, but for what is said."""
    tally = {f"{what}:app:0": n for what, n in ({"received": 10, "applied": 10} | counts).items()}
    passed = {0: lowest, 2: lowest if highest is None else highest}
    claims = [claim_of(bucket, {"id-app:0": passed[bucket] - 1}, tally if not bucket else {}) for bucket in passed]
    claims += [claim_of(bucket) for bucket in (1, 3)]
    found = standings(claims, {"app": "id-app"}, 2, {("app", 0): first}, {("app", 0): end})
    return next(one for one in found if one.place == ("app", 0))


def claim_of(
    bucket: int, fences: Mapping[str, int] | None = None, tally: Mapping[str, int] | None = None
) -> BucketClaim:
    return BucketClaim(bucket, 1, "t", 4, dict(fences or {}), [], {}, None, [], dict(tally or {}))


@pytest.mark.parametrize(
    ("found", "status", "text"),
    [
        (standing(), "ok", "10 received = 10 applied + 0 duplicate + 0 dead-lettered + 0 control; 0 in flight"),
        (standing(end=17), "ok", "; 7 in flight"),
        (standing(applied=6, duplicate=1, dead_lettered=2, control=1), "ok", "6 applied + 1 duplicate + 2 dead-let"),
        (standing(applied=9), "problem", "app partition 0: 10 received, but 9 applied"),
        (standing(applied=11), "problem", "app partition 0: 10 received, but 11 applied"),
        (standing(received=13, applied=13), "problem", "app partition 0: 3 records are counted more than once"),
        (standing(received=7, applied=7), "warning", "passed and not counted: 3 of app partition 0"),
        (standing(end=14, highest=14, received=13, applied=13), "ok", "; 4 in flight"),
        (standing(first=4, received=6, applied=6), "ok", "; 0 in flight"),
        (standing(first=4, received=5, applied=5), "warning", "1 of app partition 0"),
        (standing(first=4), "ok", "; 0 in flight"),
        (standing(received=40, applied=40, before=30), "ok", "; 0 in flight"),
        (standing(received=41, applied=41, before=30), "problem", "1 records are counted more than once"),
    ],
)  # fmt: skip
def test_the_law_holds_within_the_tallies_and_against_the_log(found: Standing, status: Status, text: str) -> None:
    finding = judge_conservation([found])
    assert (finding.status, text in finding.text) == (status, True), finding.text
    assert (finding.remedy == "") == (status == "ok")
    assert finding.rows[0]["received"] == found.counts["received"]


async def test_the_law_holds_for_a_worker_stopped_anywhere() -> None:
    log = Log([(CLICKSTREAM, event(CLICKSTREAM, customer_id=f"c{n}", event_id=f"e{n // 2}")) for n in range(40)],
              append_time=NOW)  # fmt: skip
    log.append_raw(CLICKSTREAM, 0, b"no Avro")
    world = World(log, clock="wall")
    worker = Worker(world)
    await worker.assign()
    ends = {place: len(records) for place, records in log.records.items()}
    for polls in range(6):
        await worker.read(size=7, polls=polls)
        found = standings(world.store.peek(range(BUCKETS)), IDS, PARTITIONS, {}, ends)
        finding = judge_conservation(found)
        assert finding.status == "ok", finding.text
    await worker.journey.advance_fences()
    found = standings(world.store.peek(range(BUCKETS)), IDS, PARTITIONS, {}, ends)
    assert judge_conservation(found).text.startswith("41 received = 40 applied + 0 duplicate + 1 dead-lettered")
    assert judge_process(found, 1).text == "0 records"


@pytest.mark.parametrize(
    ("found", "status", "text"),
    [
        (standing(end=12), "ok", "2 records"),
        (standing(end=16), "warning", "6 records, more than health.max_lag_records (5)"),
        (standing(end=9), "problem", "more is applied than the log holds: app partition 0"),
        (standing(first=13, end=20), "problem", "3 of app partition 0"),
        (standing(first=7, end=9, lowest=0), "ok", "2 records"),
    ],
)
def test_lag_is_counted_from_the_lowest_fence(found: Standing, status: Status, text: str) -> None:
    finding = judge_process([found], limit=5)
    assert (finding.status, text in finding.text) == (status, True), finding.text


def test_a_group_of_its_own_is_behind_by_what_it_has_committed() -> None:
    held = {("app", 0): (2, 10), ("app", 1): (0, 5)}
    assert judge_group("sink", held, {("app", 0): 8, ("app", 1): 5}, 5).text == "2 records"
    assert judge_group("sink", held, {("app", 1): 5}, 5).status == "warning", "8 are more than 5"
    finding = judge_group("sink", held, {}, 100)
    assert (finding.status, finding.remedy) == ("warning", "start `footfall sink`")
    assert judge_group("sink", {("app", 0): (0, 0)}, {}, 5).status == "ok", "nothing to read"


def test_redis_and_kafka_must_belong_together() -> None:
    mine, nobodys = claim_of(0, {"id-app:0": 3}), BucketClaim(0, 0, "", 0, {}, [], {}, None, [], {})
    assert judge_claims([mine], [], {}).status == "ok"
    assert judge_claims([mine, nobodys], [], {}).text == "1 of 2 buckets have ever been claimed"
    assert judge_claims([nobodys], [], {("app", 0): 5}).status == "problem", "Redis was emptied"
    assert judge_claims([nobodys], [], {}).status == "warning", "a new installation"
    stranger = claim_of(0, {"id-app:0": 3, "old-app:0": 9})
    foreign = foreign_fences([stranger], IDS, PARTITIONS)
    assert foreign == ["old-app:0"]
    assert judge_claims([stranger], foreign, {}).status == "problem"
    with pytest.raises(Exception, match="old-app:0"):  # what the doctor says is what would stop the worker
        _refuse_foreign(0, [stranger], {"id-app:0"})
