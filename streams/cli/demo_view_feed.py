"""What the demo shows, seen from outside as anybody could: the roles' /metrics and the topic `segment-changes`."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from schemas.bodies import record_batch
from schemas.codec import HEADER_BYTES, OutputCodec, schema_of
from schemas.errors import ProtocolError
from schemas.results import SegmentChange
from schemas.topics import SEGMENT_CHANGES
from streams.kafka.config import kafka_config
from streams.registration import register_schemas
from streams.settings import Settings

LATEST: Final = 400
"""Changes kept, to choose from those that are told in words."""
_LATENCY: Final = "footfall_end_to_end_latency_seconds_bucket"
_MOVE: Final = ["segment", "group", "from_segment", "to_segment", "direction"]
_SUMS: Final = {
    "footfall_events_received_total": "received",
    "footfall_events_applied_total": "applied",
    "footfall_due_ticks_total": "ticks",
}
_ROWS: Final = "footfall_sink_rows_total"
_MODEL: Final = "footfall_model_version"
_SHOWN: Final = (_LATENCY, _ROWS, _MODEL, *_SUMS)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the roles said of themselves at one moment; counts since their start."""

    at: float = 0.0
    """Monotonic seconds."""
    received: int = 0
    applied: int = 0
    ticks: int = 0
    rows: int = 0
    """Rows of events in ClickHouse."""
    latency: Mapping[float, float] = field(default_factory=dict)
    """Upper bound (s) -> observations up to it."""
    model_version: int = 0


def read_metrics(process_url: str, sink_url: str) -> Reading:
    """One scrape of both roles. Raises OSError when one does not answer."""
    sums: Counter[str] = Counter()
    latency: Counter[float] = Counter()
    for sample in (*_samples(process_url), *_samples(sink_url)):
        if sample.name == _LATENCY:
            latency[float(sample.labels["le"])] += sample.value
        elif sample.name == _ROWS and sample.labels["table"].startswith("events"):
            sums["rows"] += int(sample.value)
        elif sample.name == _MODEL:
            sums["model_version"] = max(sums["model_version"], int(sample.value))
        elif sample.name in _SUMS:
            sums[_SUMS[sample.name]] += int(sample.value)
    return Reading(time.monotonic(), latency=dict(latency), **sums)


def _samples(url: str) -> Sequence[Any]:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  an address of our own children
        lines = answer.read().decode().splitlines(keepends=True)
    text = "".join(line for line in lines if line.startswith(_SHOWN))  # reading all of them costs ten times as much
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def quantile(q: float, earlier: Reading, later: Reading) -> float | None:
    """A latency quantile (s) of what happened between two readings, linear within a bucket; None without any."""
    counts = [(bound, n - earlier.latency.get(bound, 0.0)) for bound, n in sorted(later.latency.items())]
    total = counts[-1][1] if counts else 0.0
    if total <= 0:
        return None
    below, floor = 0.0, 0.0
    for bound, n in counts:
        if n >= q * total:
            if bound == float("inf"):
                return floor
            return floor + (bound - floor) * (q * total - below) / max(1e-9, n - below)
        below, floor = n, bound
    return floor


class SegmentSizes:
    """Customers in every segment, added up from the changes.

    First labels that the rules call quiet are no change, so the sizes of those segments are not known.
    """

    def __init__(self) -> None:
        self.sizes: Counter[tuple[str, str]] = Counter()
        self.changes = 0
        self.instant = 0
        """The greatest effective time, ms."""

    def add(self, values: Sequence[bytes]) -> None:
        """Count framed records of `segment-changes`, written with this release's schema."""
        batch = record_batch(schema_of(SEGMENT_CHANGES).text, [value[HEADER_BYTES:] for value in values])
        if batch is None:
            raise ProtocolError("A record of segment-changes is not written with this release's schema.")
        moves = pa.Table.from_batches([batch.select(_MOVE)]).group_by(_MOVE).aggregate([([], "count_all")])
        for segment, group, left, entered, direction, count in zip(*(c.to_pylist() for c in moves), strict=True):
            if group is None:
                self.sizes[segment, segment] += count if direction == "entered" else -count
                continue
            if left is not None:
                self.sizes[group, left] -= count
            if entered is not None:
                self.sizes[group, entered] += count
        self.changes += len(values)
        self.instant = max(self.instant, pc.max(batch.column("effective_time")).as_py())


_FETCHES: Final = {"fetch.wait.max.ms": 500, "fetch.min.bytes": 1 << 18, "queued.min.messages": 20_000}
"""Seldom and much at a time: every answer costs the broker, too, and nobody sees half a second here."""


class ChangeFeed(threading.Thread):
    """Follows `segment-changes` from its start without a group. Ends with `close` or with the process."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="change-feed", daemon=True)
        self._settings = settings
        self._codec = OutputCodec(register_schemas(settings))
        self._lock = threading.Lock()
        self._sizes = SegmentSizes()
        self._latest: deque[bytes] = deque(maxlen=LATEST)
        self._closing = threading.Event()

    def run(self) -> None:
        """Read until closed; a broker that is gone is the supervisor's to report."""
        options: dict[str, Any] = dict(kafka_config(self._settings, "demo").librdkafka())
        options |= {"group.id": "demo", "enable.auto.commit": False, "log_level": 0, **_FETCHES}
        consumer: Any = Consumer(options)
        try:
            partitions = consumer.list_topics(SEGMENT_CHANGES, timeout=10).topics[SEGMENT_CHANGES].partitions
            consumer.assign([TopicPartition(SEGMENT_CHANGES, number, 0) for number in partitions])
            while not self._closing.is_set():
                self._take(consumer.consume(20_000, timeout=0.5))
        finally:
            consumer.close()

    def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        self.join(5.0)

    @property
    def sizes(self) -> Counter[tuple[str, str]]:
        """(group, segment) -> customers, as far as it has been read; outside groups the segment stands twice."""
        with self._lock:
            return self._sizes.sizes.copy()

    @property
    def progress(self) -> tuple[int, int]:
        """Changes read, and the greatest effective time (ms) among them."""
        with self._lock:
            return self._sizes.changes, self._sizes.instant

    def latest(self) -> list[SegmentChange]:
        """The last changes, newest first."""
        with self._lock:
            values = list(self._latest)
        return [self._codec.decode_change(value) for value in reversed(values)]

    def _take(self, messages: Sequence[Any]) -> None:
        values = [message.value() for message in messages if message.error() is None and message.value() is not None]
        if values:
            with self._lock:
                self._sizes.add(values)
                self._latest.extend(values[-LATEST:])
