"""Every Prometheus instrument of every role, declared once, with unit and meaning; and the server that shows them.

Labels are bounded by configuration or by code (topics, reasons, stages, segment groups), never by what customers
send. The conservation law reads: received = applied + duplicate + dead-lettered + control + in flight. The counters of
events are those of one process; `footfall_committed_records` are the installation's, as they lie beside the state.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any, Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from schemas.errors import ConfigurationError

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_STAGE_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LATENCY_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 0.75, 1, 2, 5, 10, 30, 60)
_SIZES: Final = (1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(name, meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(name, meaning, labels, registry=REGISTRY)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(name, meaning, labels, registry=REGISTRY, buckets=buckets)


# fmt: off
# -- events through the processor (records; each record is counted once in received and once in another) -----------
EVENTS_RECEIVED = _counter("footfall_events_received_total", "Records taken from the log.", "topic")
EVENTS_APPLIED = _counter("footfall_events_applied_total", "Events folded into a profile.", "topic")
EVENTS_DUPLICATE = _counter("footfall_events_duplicate_total", "Events whose id was already applied.", "topic")
EVENTS_DEAD_LETTERED = _counter(
    "footfall_events_dead_lettered_total", "Records sent to dead-letters.", "topic", "reason")
EVENTS_CONTROL = _counter("footfall_events_control_total", "Clock markers.", "topic")
EVENTS_LATE = _counter("footfall_events_late_total", "Applied events older than their profile.", "topic")
EVENTS_CLAMPED = _counter(
    "footfall_events_clamped_total", "Events timed more than 5 min after they were received.", "topic")
EVENTS_TOO_LATE = _counter(
    "footfall_events_too_late_total", "Events more than 90 d older than their receipt: no window takes them.", "topic")
EVENTS_UNCHECKED = _counter(
    "footfall_events_dedup_unchecked_total", "Events too old for the duplicate check.", "topic")

# -- the conservation law, by topic-partition this worker owns; from the tallies that commit with the state -----------
COMMITTED_RECORDS = _gauge(
    "footfall_committed_records", "Records ever counted, as committed with the state: received, and by outcome.",
    "topic", "partition", "outcome")
IN_FLIGHT_RECORDS = _gauge(
    "footfall_in_flight_records", "Records read from the log and not yet committed.", "topic", "partition")
IMBALANCE_RECORDS = _gauge(
    "footfall_conservation_imbalance_records",
    "Committed records received that have no outcome, and records read that were not received; 0, or it is a fault.",
    "topic", "partition")

# -- batches ----------------------------------------------------------------------------------------------------------
BATCH_RECORDS = _histogram("footfall_batch_records", "Records of one poll.", _SIZES)
STAGE_SECONDS = _histogram(
    "footfall_stage_seconds",
    "Seconds of one batch in a stage: decode, load, dedupe, fold, score, encode, wait, commit, publish.",
    _STAGE_SECONDS, "stage")
LATENCY_SECONDS = _histogram(
    "footfall_end_to_end_latency_seconds", "Seconds from a record's append to the confirmed effect.",
    _LATENCY_SECONDS, "topic")
LAG_RECORDS = _gauge("footfall_lag_records", "Records in the log that are not acknowledged.", "topic", "partition")
COMMITS = _counter("footfall_commits_total", "Bucket commits by outcome, as Redis answered.", "outcome")
REWINDS = _counter("footfall_state_rewound_total", "Times Redis held less than it had confirmed.")
SKIPPED_RECORDS = _counter(
    "footfall_skipped_records_total", "Offsets lost to retention before they were read, accepted by --skip-gap.",
    "topic", "partition")

WATCHDOG_RESTARTS = _counter(
    "footfall_watchdog_restarts_total", "Processes of this role, of the whole installation, that a watchdog ended.",
    "kind")

# -- profiles, time and segments --------------------------------------------------------------------------------------
OWNED_BUCKETS = _gauge("footfall_owned_buckets", "Buckets this worker has claimed.")
PROFILES_CHANGED = _counter(
    "footfall_profiles_changed_total", "Profiles stored and published, once for all events of theirs in a batch.")
DUE_TICKS = _counter("footfall_due_ticks_total", "Profiles woken by the passing of time.")
DUE_BEHIND_SECONDS = _gauge("footfall_due_behind_seconds", "Age of the oldest tick that is due and not folded.")
SEGMENT_CHANGES = _counter("footfall_segment_changes_total", "Segment changes by group of the rules file.", "group")

# -- models -----------------------------------------------------------------------------------------------------------
MODEL_VERSION = _gauge("footfall_model_version", "Examples learnt by the model in use; 0 before the first.")
MODEL_LABEL_TIME = _gauge("footfall_model_label_timestamp_seconds", "Newest label the model in use has seen.")
MODEL_REFUSED = _counter("footfall_model_refused_total", "Snapshots that were not loaded.")
TRAINING_EXAMPLES = _counter("footfall_training_examples_total", "Examples learnt, by label.", "label")
PREQUENTIAL_AUC = _gauge(
    "footfall_prequential_auc_ratio", "Area under the ROC curve, predicted before learnt.", "model")
PREQUENTIAL_LOG_LOSS = _gauge("footfall_prequential_log_loss", "Mean log loss, predicted before learnt.", "model")
PREQUENTIAL_CALIBRATION = _gauge(
    "footfall_prequential_calibration_error_ratio", "Mean distance of predicted from observed churn.", "model")
EXAMPLES_REFUSED = _counter("footfall_training_refused_total", "Examples that cannot be learnt from.")

# -- warehouse sink ---------------------------------------------------------------------------------------------------
SINK_ROWS = _counter("footfall_sink_rows_total", "Rows written to ClickHouse.", "table")
SINK_BLOCKS = _counter("footfall_sink_blocks_total", "Blocks written to ClickHouse.", "table")
SINK_RETRIES = _counter("footfall_sink_retries_total", "Attempts at a block that failed and were repeated.")
SINK_REFUSED = _counter("footfall_sink_refused_total", "Rows ClickHouse refused.", "table")
SINK_INSERT_SECONDS = _histogram(
    "footfall_sink_insert_seconds", "Seconds of one successful insert.", _STAGE_SECONDS, "table")
SINK_LATENCY_SECONDS = _histogram(
    "footfall_sink_latency_seconds", "Seconds from a record's append to its row being readable (oldest of a block).",
    _LATENCY_SECONDS)

# -- bounded queues: what waits, and where the bound is set -----------------------------------------------------------
HANDED_OUT_POLLS = _gauge(
    "footfall_handed_out_polls", "Polls read and not finished (bound: 2 in process, 1 in sink).")
OUTSTANDING_DECISIONS = _gauge(
    "footfall_outstanding_decisions", "Decisions whose effects are on their way (bound: 3, one of which waits).")
OUTBOX_MESSAGES = _gauge(
    "footfall_outbox_messages", "Messages committed and not yet confirmed by Kafka (bound: those of three decisions).")
BARRIER_EVENTS = _gauge(
    "footfall_barrier_held_events",
    "Events that wait for a clock marker of another topic (bound: a million a partition number).")
OWNED_PROFILES = _gauge(
    "footfall_owned_profiles", "Decoded profiles in memory (bound: the bytes of batch.profiles_mib).")
PROFILES_MEMORY = _gauge(
    "footfall_owned_profiles_bytes", "Memory that they take, estimated (bound: batch.profiles_mib, and a batch).")
DUE_PROFILES = _gauge(
    "footfall_due_profiles", "Entries of profiles that are due within the next day (bound: a million a bucket).")
EVENT_IDS = _gauge(
    "footfall_event_ids", "Event ids in memory that repetitions are told by (bound: two million a partition number).")
SINK_PENDING_ROWS = _gauge(
    "footfall_sink_pending_rows", "Rows read and not yet written (bound: warehouse.block_rows).")
EXAMPLES_HELD = _gauge(
    "footfall_training_held_examples",
    "Examples that wait for the end of their horizon (bound: churn.held_examples).")

# -- any role ---------------------------------------------------------------------------------------------------------
READY = _gauge("footfall_ready", "1 when the role does its work, else 0.")
# fmt: on


Labels = tuple[Any, ...]
_shown: Final[defaultdict[Gauge, set[Labels]]] = defaultdict(set)


def show_only(gauge: Gauge, values: Mapping[Labels, float]) -> None:
    """Set a gauge for these labels; those it was set for before and are not among them are shown no more."""
    for gone in _shown[gauge] - values.keys():
        gauge.remove(*gone)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    _shown[gauge] = set(values)


class Health:
    """Whether a role lives, and what keeps it from being ready, by name. Safe to call from several threads.

    A role lives as long as it calls `beat`: not once in `stalled_seconds` means that its loop does not turn.
    """

    def __init__(self, *waiting_for: str, stalled_seconds: float = 30.0, now: Callable[[], float] = monotonic) -> None:
        self._lock = threading.Lock()
        self._reasons = dict.fromkeys(waiting_for, "starting")
        self._notes: dict[str, str] = {}
        self._stalled_seconds = stalled_seconds
        self._now = now
        self._heard: float | None = None
        READY.set(not self._reasons)

    def beat(self) -> None:
        """The role's loop turns."""
        self._heard = self._now()

    @property
    def stalled(self) -> str | None:
        """Why the role cannot be taken for alive; null when it can, and before its loop begins."""
        silence = 0.0 if self._heard is None else self._now() - self._heard
        return f"has not turned for {silence:.0f} s" if silence > self._stalled_seconds else None

    def not_ready(self, name: str, reason: str) -> None:
        """`name` (a server, a task) keeps the role from working, for this reason."""
        with self._lock:
            self._notes.pop(name, None)
            self._reasons[name] = reason
            READY.set(0)

    def ready(self, name: str, note: str = "") -> None:
        """`name` no longer does; /readyz says the note where there is one."""
        with self._lock:
            self._reasons.pop(name, None)
            self._notes.pop(name, None)
            if note:
                self._notes[name] = note
            READY.set(not self._reasons)

    @property
    def reasons(self) -> dict[str, str]:
        """Why the role is not ready; empty when it is."""
        with self._lock:
            return dict(self._reasons)

    @property
    def notes(self) -> dict[str, str]:
        """What is to be known of a role though it is ready."""
        with self._lock:
            return dict(self._notes)


class MetricsServer:
    """/metrics, /healthz (503 when the role's loop does not turn) and /readyz (503 with one line a reason).

    From a thread of its own: it answers while the loop does not.
    """

    def __init__(self, port: int, health: Health, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = port
        self._health = health
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> MetricsServer:
        """Listen; port 0 chooses a free one, which `port` then holds.

        Raises:
            ConfigurationError: the port is taken or the host is not this machine's.

        """
        try:
            self._server = ThreadingHTTPServer((self.host, self.port), _handler(self._health))
        except OSError as error:
            raise ConfigurationError(
                f"metrics cannot be served on {self.host}:{self.port} ({error.strerror}): "
                "set another port under [metrics], FOOTFALL_METRICS__<ROLE>."
            ) from error
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        return self

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _page(good: str, reasons: Mapping[str, str]) -> tuple[int, str, bytes]:
    return (503 if reasons else 200), "text/plain; charset=utf-8", (_lines(reasons) or good).encode()


def _lines(reasons: Mapping[str, str]) -> str:
    """One line a reason, whatever a server put into its own."""
    return "".join(f"{name}: {' '.join(reason.split())}\n" for name, reason in sorted(reasons.items()))


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    def alive() -> tuple[int, str, bytes]:
        reason = health.stalled
        return _page("alive\n", {} if reason is None else {"event loop": reason})

    def ready() -> tuple[int, str, bytes]:
        return _page("ready\n" + _lines(health.notes), health.reasons)

    pages: dict[str, Callable[[], tuple[int, str, bytes]]] = {
        "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY)),
        "/healthz": alive,
        "/readyz": ready,
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # a client that sends nothing must not hold a thread

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            status, kind, body = page() if page else (404, "text/plain", b"/metrics, /healthz, /readyz\n")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A scrape is no event."""

    return Handler
