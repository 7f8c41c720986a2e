"""The `train` role: labels in, published models out. One process is enough; a second one only does the work twice.

It reads `training-examples` from the offset in the newest snapshot on `models`, learns what is due, publishes the
next snapshot and only then counts it as done: a crash between learning and publishing learns the same again from the
snapshot before (processors/curriculum.py says why each example is learnt once).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from time import monotonic
from typing import Final, Protocol, TypeVar

import structlog
from confluent_kafka import Producer

from processors.calendar import DAY
from processors.curriculum import KEY, Curriculum, Plan, resume
from schemas.codec import OutputCodec
from schemas.errors import RetryableError, UnreachableError
from schemas.results import OutgoingMessage, TrainingExample
from schemas.topics import CLOCK_HEADER, MODELS, TRAINING_EXAMPLES
from sinks.kafka import Publisher, build_producer_config
from streams import metrics, restarts
from streams.kafka.config import kafka_config
from streams.kafka.models import ModelsReader
from streams.kafka.reader import LogRecord, PartitionReader
from streams.kafka.registry import Registry
from streams.kafka.standstill import KIND_OF
from streams.kafka.topics import Topics, topic_specs
from streams.kafka.watchdog import WORK, Watchdog
from streams.probing import Prober, kafka_probe
from streams.settings import HealthSettings, Settings
from streams.stopping import Ending, Hurried
from streams.vitals import Backlog

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

READ_AT_ONCE: Final = 500
READ_SECONDS: Final = 0.1
_HUNG_AFTER: Final = 4
"""Times `health.stalled_seconds` after which a loop that does not turn is ended: whoever replays years raises it."""


class Source(Protocol):
    """The part of `PartitionReader` that training uses."""

    def read(self, limit: int, seconds: float) -> list[LogRecord]: ...
    def unread(self) -> int: ...


class Sink(Protocol):
    """The part of `Publisher` that training uses."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """When a snapshot goes out on the wall clock; on the event clock it goes out when the clock moves."""

    examples: int
    seconds: float
    pause: float = 1.0
    """Seconds before a server that did not answer is asked again."""
    now: Callable[[], float] = monotonic


@dataclass(frozen=True, slots=True)
class Wires:
    """What training reads from and writes to."""

    source: Source
    sink: Sink
    codec: OutputCodec
    health: metrics.Health


class Trainer:
    """Reads, learns, publishes: one `step` at a time, in one thread, until `stop` is set."""

    def __init__(self, curriculum: Curriculum, wires: Wires, pace: Pace, stop: threading.Event) -> None:
        """Go on from this curriculum."""
        self.curriculum = curriculum
        self._wires = wires
        self._pace = pace
        self._stop = stop
        self._river = version("river")
        self._labels = list(curriculum.learner.labels)
        self._published = curriculum.learner.examples
        self._published_at = pace.now()
        self._clock_moved = False
        self.look: Callable[[], None] = lambda: None
        """Called with every step, and while a server keeps us waiting: the trainer is not hung."""
        _show(curriculum)

    def run(self) -> None:
        """Step until stopped, then publish what is not yet published."""
        while not self._stop.is_set():
            self.step()
        if self.curriculum.learner.examples > self._published or self._clock_moved:
            self.publish()

    def step(self) -> None:
        """One read, what it makes due, and a snapshot when it is time for one."""
        self.look()
        for record in self._wires.source.read(READ_AT_ONCE, READ_SECONDS):
            self._take(record)
        if not self.curriculum.plan.event_clock or self.curriculum.held > self.curriculum.plan.held_limit:
            self.curriculum.learn_due()
        if self._is_time():
            self.publish()

    def publish(self) -> None:
        """A snapshot out, confirmed; tried until it is, or once when stopping. Raises RetryableError in that case."""
        snapshot = self.curriculum.snapshot(self._river)
        message = OutgoingMessage(MODELS, KEY, self._wires.codec.encode_model(snapshot), partition=0)
        self._repeat(lambda: self._wires.sink.publish([message]))
        self._published, self._published_at = snapshot.version, self._pace.now()
        self._clock_moved = False
        self._count()
        log.debug("model published", version=snapshot.version, label_time_max=snapshot.label_time_max)

    def _take(self, record: LogRecord) -> None:
        if record.value is None:
            self._mark(record)
            return
        example = self._decode(record)
        refusal = self.curriculum.take(record.offset, example) if example is not None else None
        if refusal is not None:
            metrics.EXAMPLES_REFUSED.inc()
            log.warning("example refused", reason=refusal)

    def _mark(self, record: LogRecord) -> None:
        instant = next((value for name, value in record.headers if name == CLOCK_HEADER), b"")
        if not instant.isdigit() or not (record.key or b"").isdigit():
            self.curriculum.pass_by(record.offset)
        elif self.curriculum.mark(record.offset, (record.key or b"").decode(), int(instant)):
            self.curriculum.learn_due()
            self._clock_moved = True

    def _decode(self, record: LogRecord) -> TrainingExample | None:
        value = record.value or b""
        try:
            return self._repeat(lambda: self._wires.codec.decode_training_example(value))
        except UnreachableError:
            raise  # only while stopping: the record is read again next time
        except Exception as error:  # noqa: BLE001  fastavro raises whatever the bytes lead it to
            self.curriculum.pass_by(record.offset)
            metrics.EXAMPLES_REFUSED.inc()
            log.warning("example refused", offset=record.offset, reason=f"undecodable: {error}")
            return None

    def _repeat(self, call: Callable[[], _T]) -> _T:
        failed = False
        while True:
            try:
                result = call()
            except (RetryableError, UnreachableError) as error:
                if self._stop.is_set():
                    raise
                failed = True
                self._wires.health.not_ready("servers", str(error))
                log.warning("trying again", reason=str(error))
                self.look()
                self._stop.wait(self._pace.pause)
            else:
                if failed:
                    self._wires.health.ready("servers")
                return result

    def _is_time(self) -> bool:
        if self._clock_moved:
            return True
        news = self.curriculum.learner.examples - self._published
        if self.curriculum.plan.event_clock or not news:
            return False
        return news >= self._pace.examples or self._pace.now() - self._published_at >= self._pace.seconds

    def _count(self) -> None:
        learnt = self.curriculum.learner.labels
        for name, now, before in zip(("returned", "churned"), learnt, self._labels, strict=True):
            metrics.TRAINING_EXAMPLES.labels(name).inc(now - before)
        self._labels = list(learnt)
        _show(self.curriculum)


def _show(curriculum: Curriculum) -> None:
    learner = curriculum.learner
    metrics.MODEL_VERSION.set(learner.examples)
    metrics.MODEL_LABEL_TIME.set(learner.label_time_max / 1000)
    metrics.EXAMPLES_HELD.set(curriculum.held)
    tallies = (("model", learner.model), ("rule", learner.rule), ("shipped", learner.shipped))
    for name, tally in tallies:
        for gauge, value in (
            (metrics.PREQUENTIAL_AUC, tally.roc_auc),
            (metrics.PREQUENTIAL_LOG_LOSS, tally.log_loss),
            (metrics.PREQUENTIAL_CALIBRATION, tally.calibration_error),
        ):
            if value is not None:
                gauge.labels(name).set(value)


def plan_of(settings: Settings) -> Plan:
    """When examples are learnt, from the settings."""
    return Plan(
        partitions=settings.kafka.partitions,
        event_clock=settings.clock == "event",
        horizon=settings.churn.horizon_days * DAY,
        held_limit=settings.churn.held_examples,
    )


def run(settings: Settings, stop: threading.Event | None = None) -> int:
    """Train until SIGTERM or SIGINT (or until `stop` is set, by who runs it in a thread); returns the exit code.

    Raises:
        ConfigurationError: a topic is missing, or the registry refuses a schema.
        UnreachableError: Kafka or the registry does not answer at the start.

    """
    note = restarts.noter(settings, "train")
    watchdog = Watchdog(tell=lambda what: note(KIND_OF[what]) if what in KIND_OF else None)
    ending = Ending(stop or threading.Event(), watchdog, settings.drain_seconds)
    if stop is None:
        ending.on_signals()
    health = metrics.Health("servers", "models", stalled_seconds=settings.health.stalled_seconds)
    with ExitStack() as closing:
        closing.callback(watchdog.close)
        watchdog.start()
        server = metrics.MetricsServer(settings.metrics.train, health, settings.metrics.host).start()
        closing.callback(server.stop)
        try:
            _trainer(settings, health, ending, closing).run()
        except (RetryableError, UnreachableError) as error:
            if not ending.asked.is_set():
                raise
            log.warning("stopped without the last snapshot; it will be learnt again", reason=str(error))
    return 0


def _trainer(settings: Settings, health: metrics.Health, ending: Ending, closing: ExitStack) -> Trainer:
    kafka = kafka_config(settings, "train")
    Topics(kafka).check(topic_specs(settings.kafka.partitions))
    registry = Registry.of(settings.registry)
    closing.callback(registry.close)
    codec = OutputCodec(registry.register((TRAINING_EXAMPLES, MODELS)), registry.lookup)
    health.ready("servers")
    restarts.show(settings, "train")

    models = ModelsReader.of(kafka, codec)
    closing.callback(models.close)
    curriculum, offset, refused = resume(models.read_all(), plan_of(settings))
    for reason in refused:
        metrics.MODEL_REFUSED.inc()
        log.warning("model refused", reason=reason)
    health.ready("models")

    source = PartitionReader.of(kafka, TRAINING_EXAMPLES)
    closing.callback(source.close)
    source.seek(offset)
    log.info("training", version=curriculum.learner.examples, offset=offset)
    sink = Publisher(Hurried(Producer(build_producer_config(kafka.librdkafka())), ending.seconds_left))
    pace = Pace(settings.churn.snapshot_examples, settings.churn.snapshot_seconds)
    trainer = Trainer(curriculum, Wires(source, sink, codec, health), pace, ending.asked)
    hung_after = max(kafka.stall_timeout, settings.health.stalled_seconds * _HUNG_AFTER)
    trainer.look = vitals_of(source, health, settings.health, lambda: ending.watchdog.expect(WORK, hung_after))
    probes = {"Kafka": kafka_probe(kafka)}
    closing.enter_context(Prober(probes, health, settings.health.probe_seconds).asking())
    ending.begun = True  # what was learnt from now on is to be published
    return trainer


def vitals_of(
    source: Source, health: metrics.Health, limits: HealthSettings, alive: Callable[[], None]
) -> Callable[[], None]:
    """What one look at the trainer shows: that it lives (`alive` tells the watchdog), and how much is not read."""
    backlog = Backlog(health, limits.max_lag_records)

    def look() -> None:
        alive()
        health.beat()
        unread = source.unread()
        metrics.show_only(metrics.LAG_RECORDS, {(TRAINING_EXAMPLES, 0): unread})
        backlog.look(unread)

    return look
