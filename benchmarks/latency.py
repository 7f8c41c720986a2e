"""How long a segment change takes, and a row in ClickHouse: python -m benchmarks.latency --help.

The whole installation on this machine, wall clock, a paced producer. Measured from the producer's call for an event to
the consumer's receipt of the segment change which that event caused, and to the event's row being readable.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.command_line import given
from benchmarks.generator import Load, Record
from benchmarks.listener import Listener, Received
from benchmarks.measure import percentile, scraped, total
from benchmarks.paced import Pace, PacedSender, records_of
from benchmarks.services import OnBroker
from schemas.codec import HEADER_BYTES, OutputCodec, decode_body, schema_of
from schemas.topics import SEGMENT_CHANGES
from streams.clients import warehouse_client
from streams.embedded.supervisor import EmbeddedStack, StackPlan
from streams.registration import register_schemas
from streams.settings import Settings, load_settings

RESULTS: Final = Path(__file__).parent / "results" / "latency.json"
LEAD_SECONDS: Final = 6.0
"""The producer makes its records before the first is due."""
QUIET_SECONDS: Final = 5.0
_PROBES_PER_SECOND: Final = 10
_POLL_SECONDS: Final = 0.5
"""A look at ClickHouse costs the processor time it measures: ten a second took a third of a core."""
_LOST_SECONDS: Final = 60.0
_PATIENCE: Final = 180.0
Sent = dict[str, float]
"""Event id -> when `produce` was called, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    seconds: float = 60.0
    warm_up: float = 10.0
    rate: int = 5_000
    customers: int = 100_000
    zipf: float = 1.0
    seed: int = 1
    sink: int = 1
    linger_ms: int = 15
    bootstrap: str = ""
    results: Path = RESULTS

    @property
    def events(self) -> int:
        """How many are sent."""
        return int((self.seconds + self.warm_up) * self.rate)


@dataclass(slots=True)
class RowWatcher:
    """Asks ClickHouse in a thread which of a few events it has, and notes when it first says so."""

    settings: Settings
    probes: list[tuple[float, str]]
    """(when it is due to be sent, event id), in order."""
    seen: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until stopped."""
        with closing(warehouse_client(self.settings)) as client:
            table = f"{self.settings.warehouse.database}.events_log"
            while not self._stop.wait(_POLL_SECONDS):
                open_ids = self.open_ids()
                if open_ids:
                    found = client.query(
                        f"SELECT DISTINCT event_id FROM {table} WHERE event_id IN {{ids:Array(String)}}",  # noqa: S608
                        parameters={"ids": open_ids},
                    )
                    now = time.time()
                    self.seen.update({str(row[0]): now for row in found.result_rows})

    def open_ids(self) -> list[str]:
        """Events that are sent and not seen; those of the last seconds, should some never come."""
        now = time.time()
        return [name for due, name in self.probes if now - _LOST_SECONDS < due < now and name not in self.seen]

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()


def run(options: Options, stack: EmbeddedStack) -> dict[str, float]:
    """Send, listen and watch on a stack that runs; the figures."""
    settings = stack.settings
    ids = register_schemas(settings)
    start = int((time.time() + LEAD_SECONDS + options.events / 100_000) * 1000)
    load = Load(options.seed, options.customers, float(options.rate), start, exponent=options.zipf, late=0.0)
    pace = Pace(settings, load, ids, options.events, linger_ms=options.linger_ms)
    sender = PacedSender(pace)
    names = [_event_id(record) for record in records_of(pace)]
    listener = Listener(settings.kafka.bootstrap, SEGMENT_CHANGES, settings.kafka.partitions)
    watcher = RowWatcher(settings, _probes(names, start, options) if options.sink else [])
    threads = [threading.Thread(target=work.run, daemon=True) for work in (listener, watcher)]
    for thread in threads:
        thread.start()
    try:
        say(f"sending {options.rate:,} events/s for {options.warm_up:.0f} s to warm up and {options.seconds:.0f} s")
        while not sender.done:
            time.sleep(1.0)
        called = sender.called()
        _wait_for_the_rest(stack.urls["process metrics"], options.events)
    finally:
        sender.kill()
        listener.stop()
        watcher.stop()
        for thread in threads:
            thread.join(10)
    return figures(options, _measured(options, names, called), listener.received, watcher, OutputCodec(ids))


def _wait_for_the_rest(url: str, events: int) -> None:
    """A worker that fell behind makes late changes, and those count most."""
    deadline = time.monotonic() + _PATIENCE
    while total(scraped(url), "footfall_events_received_total") < events and time.monotonic() < deadline:
        time.sleep(1.0)
    time.sleep(QUIET_SECONDS)


def _event_id(record: Record) -> str:
    return str(decode_body(schema_of(record[0]), record[3][HEADER_BYTES:])["event_id"])


def _probes(names: Sequence[str], start: int, options: Options) -> list[tuple[float, str]]:
    first, step = int(options.warm_up * options.rate), max(1, options.rate // _PROBES_PER_SECOND)
    return [(start / 1000 + place / options.rate, names[place]) for place in range(first, len(names), step)]


def _measured(options: Options, names: Sequence[str], called: array[float]) -> Sent:
    """Those after the warm-up; of a repetition the first call counts."""
    warm = int(options.warm_up * options.rate)
    before = set(names[:warm])
    sent: Sent = {}
    for name, at in zip(names[warm:], called[warm:], strict=True):
        if name not in before:
            sent.setdefault(name, at)
    return sent


def figures(
    options: Options, sent: Sent, received: Sequence[Received], watcher: RowWatcher, codec: OutputCodec
) -> dict[str, float]:
    """What came out, in ms."""
    changes = change_latencies(sent, received, codec)
    rows = [1000 * (watcher.seen[name] - sent[name]) for _, name in watcher.probes if name in watcher.seen]
    return {
        "events sent": len(sent),
        "events/s sent": len(sent) / options.seconds,
        "segment changes measured": len(changes),
        "segment change p50 ms": percentile(changes, 0.50),
        "segment change p95 ms": percentile(changes, 0.95),
        "segment change p99 ms": percentile(changes, 0.99),
        "segment change max ms": max(changes, default=0.0),
        "rows watched": len(watcher.probes),
        "rows seen": len(rows),
        "row in ClickHouse p50 ms": percentile(rows, 0.50),
        "row in ClickHouse p95 ms": percentile(rows, 0.95),
        "row in ClickHouse p99 ms": percentile(rows, 0.99),
    }


TARGETS: Final = {
    "segment change p50 ms": 150.0,
    "segment change p99 ms": 1_000.0,
    "row in ClickHouse p95 ms": 5_000.0,
}


def change_latencies(sent: Sent, received: Sequence[Received], codec: OutputCodec) -> list[float]:
    """Milliseconds from the call for an event to the first receipt of each change it caused."""
    found: dict[str, float] = {}
    for at, _, value in received:
        change = codec.decode_change(value)
        kind, _, event_id = change.cause.partition(" ")
        if kind == "event" and event_id in sent:
            found.setdefault(change.change_id, 1000 * (at - sent[event_id]))
    return list(found.values())


def say(text: str) -> None:
    """Progress."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def missed(found: dict[str, float]) -> list[str]:
    """Targets that were not reached; a row or a change that never came counts."""
    late = [f"{name} is {found[name]:,.0f}, target {most:,.0f}" for name, most in TARGETS.items() if found[name] > most]
    lost = found["rows watched"] - found["rows seen"]
    return late + ([f"{lost:.0f} rows did not come"] if lost else [])


async def _stacked(options: Options, root: Path) -> dict[str, float]:
    settings = load_settings(clock="wall")
    roles = ("process", "sink") if options.sink else ("process",)
    plan = StackPlan(roles, report=lambda name, state: say(f"{name}: {state}"))
    whole = (
        OnBroker(options.bootstrap, root, plan, settings) if options.bootstrap else EmbeddedStack(root, plan, settings)
    )
    async with whole as stack:
        return await asyncio.to_thread(run, options, stack)


def main(options: Options) -> int:
    """Run, print the table, write the results; exit code 1 when nothing was measured."""
    with tempfile.TemporaryDirectory(prefix="footfall-latency-") as root:
        found = asyncio.run(_stacked(options, Path(root)))
    print(f"\nFrom the producer's call, at {options.rate:,} events/s")
    for name, value in found.items():
        if not options.sink and "row" in name:
            continue
        target = f"   target <= {TARGETS[name]:,.0f}" if name in TARGETS else ""
        print(f"  {name:32}{value:>12,.0f}{target}")
    for sentence in missed(found):
        print(f"  missed: {sentence}")
    options.results.parent.mkdir(parents=True, exist_ok=True)
    told = {name: value for name, value in asdict(options).items() if name != "results"}
    options.results.write_text(json.dumps({"options": told, "figures": found}, indent=2) + "\n", encoding="utf-8")
    return 0 if found["segment changes measured"] and found["rows seen"] == found["rows watched"] else 1


def parsed(arguments: Sequence[str]) -> Options:
    """The command line as options."""
    told = (__doc__ or "").split("\n")[0]
    return given(arguments, Options(), _MEANINGS, prog="python -m benchmarks.latency", description=told)


_MEANINGS: Final = {
    "seconds": "measured, after the warm-up (%(default)s)",
    "warm_up": "seconds before measuring (%(default)s)",
    "rate": "events/s (%(default)s)",
    "customers": "how many there are, all new at the beginning (%(default)s)",
    "zipf": "exponent of the customers' activity (%(default)s)",
    "sink": "1: with the sink, and rows are looked for in ClickHouse; 0: the worker alone (%(default)s)",
    "linger_ms": "how long the producer collects a partition's records, ms; each batch is a request (%(default)s)",
    "bootstrap": "host:port of a broker to use instead of the embedded one; Footfall's topics there are deleted first",
    "seed": "of the generator (%(default)s)",
    "results": "where the figures go (%(default)s)",
}


if __name__ == "__main__":
    sys.exit(main(parsed(sys.argv[1:])))
