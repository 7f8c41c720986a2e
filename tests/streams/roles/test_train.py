"""The trainer publishes before it counts anything as done, waits out its servers, and ends in order."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan

import msgspec
import pytest

from processors.calendar import DAY
from processors.curriculum import Payload, Plan, payload_of, resume
from processors.features import FEATURES
from schemas.codec import OutputCodec
from schemas.errors import RetryableError, UnreachableError
from schemas.results import ModelSnapshot, OutgoingMessage, TrainingExample
from schemas.topics import CLOCK_HEADER, MODELS, TRAINING_EXAMPLES
from streams import metrics
from streams.kafka.reader import LogRecord
from streams.roles.train import Pace, Trainer, Wires

CODEC = OutputCodec({TRAINING_EXAMPLES: 1, MODELS: 2})
EVENT = Plan(partitions=2, event_clock=True, remembered=30)
WALL = Plan(partitions=2, event_clock=False, remembered=30)


class Crash(BaseException):
    """The process dies here."""


@dataclass
class FakeKafka:
    """The topics `training-examples` and `models` in memory; `crash_at` and `failures` happen to the next calls."""

    examples: list[LogRecord] = field(default_factory=list)
    models: list[ModelSnapshot] = field(default_factory=list)
    position: int = 0
    reads_before_crash: int = 1_000_000
    crash_in_publish: str = ""
    failures: list[Exception] = field(default_factory=list)
    a_read: int = 7

    def append(self, example: TrainingExample) -> None:
        self.examples.append(LogRecord(len(self.examples), b"", CODEC.encode_training_example(example)))

    def append_marker(self, partition: int, instant: int) -> None:
        header = (CLOCK_HEADER, str(instant).encode())
        self.examples.append(LogRecord(len(self.examples), str(partition).encode(), None, (header,)))

    def read(self, limit: int, seconds: float) -> list[LogRecord]:
        assert limit > 0
        assert seconds < 1
        self.reads_before_crash -= 1
        if self.reads_before_crash < 0:
            raise Crash
        records = self.examples[self.position : self.position + self.a_read]
        self.position += len(records)
        return records

    def unread(self) -> int:
        return len(self.examples) - self.position

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        if self.crash_in_publish == "before":
            raise Crash
        for message in messages:
            assert (message.topic, message.key, message.partition) == (MODELS, b"churn", 0)
            self.models.append(CODEC.decode_model(message.value or b""))
        if self.crash_in_publish == "after":
            raise Crash

    @property
    def drained(self) -> bool:
        return self.position >= len(self.examples)


@dataclass
class FakeTime:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def example(i: int, day: int = 0, label: int = 1) -> TrainingExample:
    rng = random.Random(i)
    snapshot = (day + 1) * DAY - 1
    return TrainingExample(
        example_id=f"example {i}",
        customer_id=f"customer {i}",
        snapshot_time=snapshot,
        label_time=snapshot + 30 * DAY + 1 if label else snapshot + rng.randint(1, 30 * DAY),
        label=label,
        features={name: rng.gauss(label, 1) for name in FEATURES},
        probability=0.6,
        model_version=1,
        rule_probability=0.5,
    )


def trainer_on(kafka: FakeKafka, plan: Plan = EVENT, pace: Pace | None = None, codec: OutputCodec = CODEC) -> Trainer:
    curriculum, kafka.position, _ = resume(kafka.models, plan)
    wires = Wires(kafka, kafka, codec, metrics.Health())
    return Trainer(curriculum, wires, pace or Pace(10, 5.0, pause=0.0), threading.Event())


def replayed_days(days: int, seed: int = 0) -> FakeKafka:
    """Days of two processors in lockstep: the labels of a day, some of them twice, then both markers."""
    kafka, rng = FakeKafka(), random.Random(seed)
    made = [example(i, day=i // 4, label=int(rng.random() < 0.5)) for i in range(4 * (days - 31))]
    for day in range(days + 1):
        news = [one for one in made if (day - 1) * DAY < one.label_time <= day * DAY]
        for one in news + news[:1]:
            kafka.append(one)
        kafka.append_marker(0, day * DAY)
        kafka.append_marker(1, day * DAY)
    return kafka


def read_all(trainer: Trainer, kafka: FakeKafka) -> None:
    while not kafka.drained:
        trainer.step()


def clock_of(snapshot: ModelSnapshot) -> int:
    payload = payload_of(snapshot)
    assert isinstance(payload, Payload)
    return payload.progress.clock


def test_every_day_that_all_partitions_closed_brings_a_snapshot_even_without_labels() -> None:
    kafka = replayed_days(40)
    kafka.a_read = 1
    read_all(trainer_on(kafka), kafka)
    assert [clock_of(snapshot) for snapshot in kafka.models] == [day * DAY for day in range(1, 41)]
    assert kafka.models[0].version == 0
    assert kafka.models[-1].version == 36


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_anywhere_leaves_the_same_last_model(seed: int) -> None:
    rng = random.Random(seed)
    undisturbed = replayed_days(50, seed)
    read_all(trainer_on(undisturbed), undisturbed)
    kafka = replayed_days(50, seed)
    while not kafka.drained:
        kafka.reads_before_crash = rng.randint(20, 60)
        kafka.crash_in_publish = rng.choice(["", "", "before", "after"]) if rng.random() < 0.5 else ""
        kafka.a_read = rng.choice([1, 3, 50])
        try:
            read_all(trainer_on(kafka), kafka)
        except Crash:
            kafka.position = 0
    assert kafka.models[-1].payload == undisturbed.models[-1].payload


def test_on_the_wall_clock_a_snapshot_goes_out_after_so_many_examples() -> None:
    kafka, now = FakeKafka(a_read=4), FakeTime()
    for i in range(25):
        kafka.append(example(i, day=i))
    read_all(trainer_on(kafka, WALL, Pace(10, 5.0, now=now)), kafka)
    assert [snapshot.version for snapshot in kafka.models] == [12, 24]


def test_or_after_so_long_when_something_was_learnt() -> None:
    kafka, now = FakeKafka(), FakeTime()
    kafka.append(example(0))
    trainer = trainer_on(kafka, WALL, Pace(10, 5.0, now=now))
    trainer.step()
    now.seconds = 4.9
    trainer.step()
    assert kafka.models == []
    now.seconds = 5.0
    trainer.step()
    now.seconds = 50.0
    trainer.step()
    assert [snapshot.version for snapshot in kafka.models] == [1]


def test_a_stop_publishes_what_was_learnt_and_only_that() -> None:
    kafka = FakeKafka()
    kafka.append(example(0))
    trainer = trainer_on(kafka, WALL)
    trainer.step()
    trainer._stop.set()
    trainer.run()
    assert [snapshot.version for snapshot in kafka.models] == [1]
    again = trainer_on(kafka, WALL)
    again.step()
    again._stop.set()
    again.run()
    assert len(kafka.models) == 1


def test_a_server_that_does_not_answer_is_asked_again_and_makes_the_role_unready() -> None:
    kafka = FakeKafka(failures=[RetryableError("1 of 1 messages not confirmed by Kafka")] * 2)
    trainer = trainer_on(kafka)
    seen: list[dict[str, str]] = []

    class Pause(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            seen.append(trainer._wires.health.reasons)
            return super().wait(timeout)

    trainer._stop = Pause()
    trainer.publish()
    assert seen == [{"servers": "1 of 1 messages not confirmed by Kafka"}] * 2
    assert trainer._wires.health.reasons == {}
    assert len(kafka.models) == 1


def test_a_stop_while_kafka_is_down_does_not_hang() -> None:
    kafka = FakeKafka(failures=[RetryableError("no answer")])
    kafka.append(example(0))
    trainer = trainer_on(kafka, WALL)
    trainer.step()
    trainer._stop.set()
    with pytest.raises(RetryableError):
        trainer.run()


def test_a_registry_that_is_down_loses_no_example() -> None:
    outages = [UnreachableError("the registry does not answer")] * 2

    class Codec(OutputCodec):
        def decode_training_example(self, value: bytes) -> TrainingExample:
            if outages:
                raise outages.pop()
            return super().decode_training_example(value)

    kafka = FakeKafka()
    kafka.append(example(0))
    trainer = trainer_on(kafka, WALL, codec=Codec({TRAINING_EXAMPLES: 1, MODELS: 2}))
    trainer.step()
    assert trainer.curriculum.learner.examples == 1


def test_what_cannot_be_learnt_from_is_counted_and_passed_by() -> None:
    before = metrics.EXAMPLES_REFUSED._value.get()
    kafka, bad = FakeKafka(), example(1)
    kafka.examples.append(LogRecord(0, b"", b"\x00garbage"))
    kafka.append(msgspec.structs.replace(bad, features=bad.features | {"rho": nan}))
    kafka.examples.append(LogRecord(2, b"not a number", None, ((CLOCK_HEADER, b"5"),)))
    kafka.examples.append(LogRecord(3, b"0", None, ()))
    kafka.append(example(2))
    trainer = trainer_on(kafka, WALL)
    read_all(trainer, kafka)
    assert trainer.curriculum.learner.examples == 1
    assert trainer.curriculum.read_to == 5
    assert metrics.EXAMPLES_REFUSED._value.get() == before + 2


def test_the_metrics_show_labels_and_quality() -> None:
    churned = metrics.TRAINING_EXAMPLES.labels("churned")
    returned = metrics.TRAINING_EXAMPLES.labels("returned")
    before = churned._value.get(), returned._value.get()
    kafka = replayed_days(60)
    read_all(trainer_on(kafka), kafka)
    learnt = churned._value.get() - before[0], returned._value.get() - before[1]
    assert sum(learnt) == kafka.models[-1].version == metrics.MODEL_VERSION._value.get()
    assert min(learnt) > 10
    assert metrics.PREQUENTIAL_AUC.labels("model")._value.get() == 0.5
    assert metrics.PREQUENTIAL_LOG_LOSS.labels("rule")._value.get() == pytest.approx(0.693147, abs=1e-6)
