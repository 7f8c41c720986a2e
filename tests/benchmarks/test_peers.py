"""What the Python peers share: how they decode, and the job they call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.generator import Generator
from benchmarks.peers import job, small_load
from benchmarks.peers.load import SCHEMA_ID, Course, decoded, plan_of, write_model
from benchmarks.peers.plan import Plan
from benchmarks.peers.work import CHOICE, work_of
from schemas.topics import INPUT_TOPICS
from streams.settings import load_settings

COURSE = Course(300)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    write_model(tmp_path / "model.json")
    return plan_of(COURSE, load_settings(), tmp_path / "model.json")


def _records() -> Iterator[tuple[str, bytes]]:
    generator = Generator(COURSE.load, dict.fromkeys(INPUT_TOPICS, SCHEMA_ID), partitions=1)
    for size in COURSE.sizes:
        yield from ((topic, value) for topic, _, _, value in generator.batch(size))


def test_peers_decode_what_the_recount_counts(plan: Plan) -> None:
    decode = work_of(plan).decode
    assert [decode(topic, value) for topic, value in _records()] == list(decoded(COURSE))


def test_the_message_carries_the_probability_that_the_verdict_expects(plan: Plan) -> None:
    work = work_of(plan)
    event = next(decoded(COURSE))
    state = work.take(work.new_state(), event)
    sums = job.totals(state, state["as_of"])
    expected = job.probability(json.loads(Path(plan.model).read_text(encoding="utf-8")), job.features(state, sums))
    assert json.loads(work.message("a", state))["churn"] == pytest.approx(expected, abs=1e-6)


def test_the_small_job_counts_and_sums(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHOICE, "small")
    work = work_of(plan)
    events = list(small_load.events(5))
    state = work.new_state()
    for event in events:
        state = work.take(state, event)
    total = sum(event["amount"] for event in events)
    assert json.loads(work.message("a", state)) == {"customer_id": "a", "count": 5, "sum": total}
