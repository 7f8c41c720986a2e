"""Each example is learnt once, at the end of its horizon, whatever order, repetition or crash brings it."""

from __future__ import annotations

import random

import msgspec
import pytest

from processors.calendar import DAY
from processors.curriculum import Curriculum, Payload, Plan, payload_of, resume
from processors.features import FEATURES
from processors.learning import Learner
from schemas.results import ModelSnapshot, TrainingExample

PLAN = Plan(partitions=2, event_clock=True, remembered=40)
RIVER = "0.26.1"

Record = TrainingExample | tuple[str, int]
"""An example, or (partition, instant) of a clock marker."""


def example(i: int, day: int, label: int, back_after: int = 1) -> TrainingExample:
    """A snapshot at the end of `day`, answered after `back_after` days, or by silence."""
    rng = random.Random(i)
    snapshot = (day + 1) * DAY - 1
    return TrainingExample(
        example_id=f"example {i}",
        customer_id=f"customer {i}",
        snapshot_time=snapshot,
        label_time=snapshot + 30 * DAY + 1 if label else snapshot + back_after * DAY,
        label=label,
        features={name: rng.gauss(label, 1) for name in FEATURES},
        probability=None,
        model_version=None,
        rule_probability=0.5,
    )


def log_of(days: int, seed: int = 1, a_day: int = 3) -> list[Record]:
    """What two processors publish: each day's labels in any order, some twice, then the day's marker of both."""
    rng = random.Random(seed)
    drawn = [(day, int(rng.random() < 0.5), rng.randint(1, 30)) for day in range(days - 31) for _ in range(a_day)]
    made = [example(i, *rest) for i, rest in enumerate(drawn)]
    log: list[Record] = []
    for day in range(days + 1):
        news = [one for one in made if (day - 1) * DAY <= one.label_time - 1 < day * DAY]
        news += rng.sample(news, len(news) // 4)
        rng.shuffle(news)
        log += [*news, ("0", day * DAY), ("1", day * DAY)]
    return log


def read(curriculum: Curriculum, offset: int, record: Record) -> ModelSnapshot | None:
    """One record, as the role reads it; a snapshot when one is to be published."""
    if isinstance(record, TrainingExample):
        curriculum.take(offset, record)
        return None
    return curriculum.snapshot(RIVER) if curriculum.mark(offset, *record) else None


def published(log: list[Record]) -> list[ModelSnapshot]:
    curriculum = Curriculum(Learner(), PLAN)
    snapshots = [read(curriculum, offset, record) for offset, record in enumerate(log)]
    return [snapshot for snapshot in snapshots if snapshot is not None]


def content(snapshot: ModelSnapshot) -> Payload:
    payload = payload_of(snapshot)
    assert isinstance(payload, Payload)
    return payload


def test_a_return_waits_until_silence_would_have_been_known() -> None:
    curriculum = Curriculum(Learner(), PLAN)
    curriculum.take(0, example(0, day=0, label=0, back_after=1))
    curriculum.take(1, example(1, day=0, label=1))
    for partition in ("0", "1"):
        curriculum.mark(2, partition, 31 * DAY - 1)
    assert (curriculum.learn_due(), curriculum.held) == (0, 2)
    for partition in ("0", "1"):
        curriculum.mark(3, partition, 31 * DAY)
    assert (curriculum.learn_due(), curriculum.held) == (2, 0)


def test_the_clock_is_that_of_the_slowest_partition() -> None:
    curriculum = Curriculum(Learner(), PLAN)
    assert [
        curriculum.mark(0, "0", 5 * DAY),
        curriculum.mark(1, "1", 3 * DAY),
        curriculum.mark(2, "1", 3 * DAY),
        curriculum.mark(3, "0", 6 * DAY),
        curriculum.mark(4, "1", 9 * DAY),
    ] == [False, True, False, False, True]
    assert curriculum.clock == 6 * DAY


def test_a_marker_brings_a_snapshot_even_when_nothing_was_learnt() -> None:
    snapshots = published([("0", DAY), ("1", DAY), ("0", 2 * DAY), ("1", 2 * DAY)])
    assert [(one.version, content(one).progress.clock) for one in snapshots] == [(0, DAY), (0, 2 * DAY)]


def test_no_snapshot_holds_a_label_from_after_its_clock() -> None:
    snapshots = published(log_of(60))
    assert snapshots[-1].version > 50
    assert all(one.label_time_max <= content(one).progress.clock for one in snapshots)


def test_every_example_is_learnt_once_however_often_it_comes() -> None:
    log = log_of(60)
    ids = [record.example_id for record in log if isinstance(record, TrainingExample)]
    assert len(ids) > len(set(ids))
    assert published(log)[-1].version == len(set(ids))


def test_the_model_of_a_day_depends_on_neither_arrival_order_nor_skew_of_partitions() -> None:
    log = log_of(50)
    found = {(one.version, one.label_time_max): content(one).weights for one in published(log)}
    for day in range(50):
        end = next(n for n, record in enumerate(log) if record == ("0", day * DAY))
        start = 0 if day == 0 else next(n for n, record in enumerate(log) if record == ("1", (day - 1) * DAY)) + 1
        log[start:end] = log[start:end][::-1]
    assert {(one.version, one.label_time_max): content(one).weights for one in published(log)} == found


@pytest.mark.parametrize("seed", range(6))
def test_crashes_at_any_record_change_nothing_in_the_published_lineage(seed: int) -> None:
    log, rng = log_of(55, seed), random.Random(seed)
    undisturbed = published(log)
    models: list[ModelSnapshot] = []
    crash = 0
    while crash < len(log):
        curriculum, offset, refused = resume(models, PLAN)
        assert not refused
        crash = min(len(log), max(crash, offset) + rng.randint(1, 90))
        news = [read(curriculum, position, log[position]) for position in range(offset, crash)]
        models += [snapshot for snapshot in news if snapshot is not None]
    assert models[-1].payload == undisturbed[-1].payload
    assert {one.payload for one in models} == {one.payload for one in undisturbed}


def test_a_repetition_after_a_restart_is_still_a_repetition() -> None:
    curriculum = Curriculum(Learner(), PLAN)
    curriculum.take(0, example(0, day=0, label=1))
    snapshot = [curriculum.mark(n, partition, 40 * DAY) for n, partition in ((1, "0"), (2, "1"))]
    assert snapshot == [False, True]
    resumed, offset, _ = resume([curriculum.snapshot(RIVER)], PLAN)
    assert offset == 0
    resumed.take(0, example(0, day=0, label=1))
    resumed.take(3, example(0, day=0, label=1))
    assert resumed.learn_due() == 0
    assert resumed.learner.examples == 1


def test_it_resumes_from_the_furthest_snapshot_it_can_trust() -> None:
    snapshots = published(log_of(50))
    bad = msgspec.structs.replace(snapshots[-1], checksum="0" * 64)
    curriculum, _, refused = resume([*snapshots[:-1], bad], PLAN)
    assert curriculum.clock == content(snapshots[-2]).progress.clock
    assert len(refused) == 1
    assert "checksum" in refused[0]


def test_on_the_wall_clock_the_latest_label_says_what_is_due() -> None:
    curriculum = Curriculum(Learner(), Plan(partitions=2, event_clock=False))
    curriculum.take(0, example(0, day=0, label=0))
    assert curriculum.learn_due() == 0
    curriculum.take(1, example(1, day=0, label=1))
    assert curriculum.learn_due() == 2
    assert not curriculum.mark(2, "0", DAY)


def test_when_too_many_wait_those_due_first_are_learnt_early_and_still_once() -> None:
    plan = Plan(partitions=2, event_clock=True, held_limit=5)
    curriculum = Curriculum(Learner(), plan)
    log = [example(i, day=i // 2, label=0) for i in range(20)]
    for offset, record in enumerate(log[:15]):
        curriculum.take(offset, record)
        curriculum.learn_due()
        assert curriculum.held <= 5
    resumed, start, _ = resume([curriculum.snapshot(RIVER)], plan)
    assert start == 0
    for offset, record in enumerate(log):
        resumed.take(offset, record)
    resumed.mark(20, "0", 99 * DAY)
    resumed.mark(21, "1", 99 * DAY)
    resumed.learn_due()
    assert resumed.learner.examples == 20


def test_a_refused_example_is_counted_once_and_named() -> None:
    curriculum = Curriculum(Learner(), PLAN)
    bad = example(0, day=0, label=1)
    bad = msgspec.structs.replace(bad, features=bad.features | {"rho": float("nan")})
    assert curriculum.take(7, bad) == "example example 0 at offset 7 refused: a number is not finite"
    resumed, offset, _ = resume([curriculum.snapshot(RIVER)], PLAN)
    assert offset == 0
    resumed.take(7, bad)
    assert resumed.learner.refused == 1
