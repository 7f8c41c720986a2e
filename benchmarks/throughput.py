"""What one `process` worker sustains, and whether it is right: python -m benchmarks.throughput --help.

Embedded broker, Redis (fsync at every commit, as shipped) and the worker share this machine with the producer. The
profiles start with 90 days of history and a trained model; then the six topics are sent as fast as the worker takes
them, their event time going at a fixed rate. Afterwards the same records go through a bare consume-and-decode loop,
and a sample of the stored profiles is compared with a recount. Exit code 1 when anything differs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks import bare_loop
from benchmarks.figures import WINDOW_SECONDS, Figures, beside, note_costs, note_rates, note_stages
from benchmarks.generator import Generator, customer_name
from benchmarks.measure import Observer, Sample, percentile, total
from benchmarks.prefill import History, prefill
from benchmarks.sender import Sender, Sending
from benchmarks.services import Services, services
from benchmarks.throughput_options import Options, parsed
from benchmarks.verdict import Part, Stored, sample_of
from schemas.partitioning import bucket_of
from sinks.keys import bucket_keys
from streams.clients import redis_client
from streams.embedded.child import Service
from streams.environment import policy_of

LOOK_SECONDS: Final = 2.0
"""A look makes the worker write out all its metrics: twice a second took 6 % of its time."""
STALL_SECONDS: Final = 60.0
PATIENCE_SECONDS: Final = 300.0
LEAST_POLLS: Final = 3
"""Full ones, in the warm-up and while measuring: of fewer the rate is chance."""
PROCESSES: Final = ("worker", "broker", "Redis", "producer")
"""Whose processor time and memory is told."""
_STATES: Final = 2_000


def say(text: str) -> None:
    """Progress."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def run(options: Options, root: Path) -> Figures:
    """The whole benchmark, its services in the folder `root`."""
    figures = Figures()
    with services(root, options.settings()) as stack:
        load = options.live()
        history = _prefill(options, stack, load.start, figures)
        say("starting the worker" if options.workers == 1 else f"starting {options.workers} workers")
        workers = [stack.start_role("process", options.program, number) for number in range(1, options.workers + 1)]
        sender = Sender(Sending(stack.settings, load, stack.schema_ids, options.marker_seconds * 1000,
                                options.ahead))  # fmt: skip
        sender.start()
        observer = _observer(workers, stack, sender)
        try:
            _measure(options, stack, sender, observer, figures)
        finally:
            sender.kill()
        for worker in workers:
            worker.stop(30.0)
        if options.bare_events:
            _bare_loop(options, stack, figures)
        _states(stack, options, figures)
        _check(options, stack, history, sender, figures)
    return figures


def _observer(workers: Sequence[Service], stack: Services, sender: Sender) -> Observer:
    urls = [f"http://127.0.0.1:{worker.launch.port}/metrics" for worker in workers]
    groups = dict(zip(PROCESSES, (workers, [stack.children["kafka"]], [stack.children["redis"]]), strict=False))
    pids = {name: [child.pid for child in group if child.pid] for name, group in groups.items()}
    return Observer(urls, pids | {PROCESSES[-1]: [sender.pid]})


def _prefill(options: Options, stack: Services, end: int, figures: Figures) -> History:
    history = options.before(stack.settings, end)
    say(f"prefilling: {options.history:,} events of {history.load.customers:,} customers over 90 days")
    began = time.monotonic()
    profiles, model = prefill(history, options.processes)
    figures.note("profiles prefilled", profiles)
    figures.note("model: examples learnt", model.version)
    say(f"{profiles:,} profiles in {time.monotonic() - began:.0f} s, a model of {model.version:,} examples")
    return history


def _measure(options: Options, stack: Services, sender: Sender, observer: Observer, figures: Figures) -> None:
    say(f"sending; {options.warm_up:.0f} s to warm up, then {options.seconds:.0f} s")
    _watch(0.0, 1, stack, sender, observer)  # until something is applied at all
    least = LEAST_POLLS * options.max_records
    _watch(options.warm_up, least, stack, sender, observer)
    begin = observer.look()
    _watch(options.seconds, least, stack, sender, observer)
    samples = [begin, *observer.since(begin.at + 1e-6)]
    note_rates(samples, figures)
    note_costs(samples, figures)
    figures.note("worker's memory, at most", observer.peak("worker"), "MiB")
    note_stages(samples, figures)
    figures.note("producer waited for the worker", sender.gauges.waiting.value, "s")
    say("stopping the producer; the worker reads the rest")
    sender.finish()
    _drain(stack, sender, observer, figures)


def _watch(seconds: float, least: int, stack: Services, sender: Sender, observer: Observer) -> None:
    """So long, and until as many events are applied: those of a poll are applied together, of a cold one after long."""
    begin = said = now = observer.look()
    while now.at < begin.at + seconds or now.applied < begin.applied + least:
        left = begin.at + seconds - now.at
        time.sleep(min(LOOK_SECONDS, left) if left > 0 else LOOK_SECONDS)
        now = _looked(stack, sender, observer)
        if now.at - said.at >= WINDOW_SECONDS:
            _say_progress(said, now, sender)
            said = now
        if now.at > begin.at + seconds + PATIENCE_SECONDS:
            raise RuntimeError(f"only {now.applied - begin.applied:,.0f} events applied in {now.at - begin.at:.0f} s")


def _looked(stack: Services, sender: Sender, observer: Observer) -> Sample:
    """A look, of which the sender learns how far the worker is. Raises when somebody has ended."""
    now = observer.look()
    sender.gauges.handled.value = int(now.received)
    sender.check()
    stack.check()
    return now


def _say_progress(before: Sample, now: Sample, sender: Sender) -> None:
    rate = (now.applied - before.applied) / (now.at - before.at)
    cpu = (now.cpu["worker"] - before.cpu["worker"]) / max(1.0, now.applied - before.applied) * 1e6
    say(f"{rate:>8,.0f} events/s applied, {sender.gauges.sent.value - now.received:>9,.0f} records ahead, "
        f"worker {cpu:.1f} us CPU an event, {now.memory['worker']:,.0f} MiB")  # fmt: skip


def _drain(stack: Services, sender: Sender, observer: Observer, figures: Figures) -> None:
    sent = sender.gauges.sent.value
    last = observer.look()
    moved = last.at
    while last.received < sent:
        stack.check()
        time.sleep(LOOK_SECONDS / 2)
        before, last = last, observer.look()
        moved = last.at if last.received > before.received else moved
        if last.at - moved > STALL_SECONDS:
            raise RuntimeError(f"the worker stands still at {last.received:,.0f} of {sent:,} records")
    figures.note("events sent in all", sender.gauges.events.value)
    figures.note("events applied in all", int(last.applied))
    figures.note("repetitions left out", int(total(last.series, "footfall_events_duplicate_total")))
    figures.note("dead letters", int(total(last.series, "footfall_events_dead_lettered_total")))


def _bare_loop(options: Options, stack: Services, figures: Figures) -> None:
    say("the bare loop: consume and fastavro decode of the same records")
    bare = bare_loop.run(stack.settings.kafka, options.bare_events)
    ours = figures.rows["events/s applied, median of 10 s"][0]
    figures.note("bare loop", bare.rate, f"events/s over {bare.events:,} events")
    figures.note("CPU of the bare loop", bare.cpu_seconds / max(1, bare.events) * 1e6, "us an event")
    figures.note("the worker does of the bare loop", 100 * ours / bare.rate if bare.rate else 0.0, "%")


def _states(stack: Services, options: Options, figures: Figures) -> None:
    client = redis_client(stack.settings)
    names = [customer_name(rank) for rank in range(0, options.customers, 1 + options.customers // _STATES)]
    prefix = stack.settings.redis.prefix
    keys = [bucket_keys(prefix, 1, bucket_of(name)).profile_of(name) for name in names]
    for what in ("state", "traits"):
        pipeline: Any = client.pipeline(transaction=False)
        for key in keys:
            pipeline.hstrlen(key, what)
        sizes = [size for size in pipeline.execute() if size]
        figures.note(f"{what} bytes, p50", int(percentile(sizes, 0.5)))
        figures.note(f"{what} bytes, p99", int(percentile(sizes, 0.99)), f"of {len(sizes):,} profiles")
    client.close()


def _check(options: Options, stack: Services, history: History, sender: Sender, figures: Figures) -> None:
    names = [customer_name(rank) for rank in sample_of(options.customers, options.sample)]
    say(f"recounting {len(names)} customers from every event of theirs")
    partitions = stack.settings.kafka.partitions
    loads = [(sender.sending.load, sender.sizes)]
    if options.prefilled:
        loads.insert(0, (history.load, history.sizes))
    parts = [Part(Generator(load, stack.schema_ids, partitions), sizes) for load, sizes in loads]
    client = redis_client(stack.settings)
    stored = Stored(client, stack.settings.redis.prefix, policy_of(stack.settings))
    # on the wall clock time has passed for some profiles by ticks, and for none beyond now
    now = int(1000 * time.time()) if options.clock == "wall" else 0
    figures.differences = stored.compare(parts, names, max(now, sender.gauges.instant.value))
    client.close()
    figures.note("customers recounted", len(names))
    figures.note("differences", len(figures.differences), beside("0", met=not figures.differences))


def main(options: Options) -> int:
    """Run, print the table, write the results; the exit code."""
    with tempfile.TemporaryDirectory(prefix="footfall-throughput-") as root:
        figures = run(options, Path(root))
    who = "One `process` worker" if options.workers == 1 else f"{options.workers} `process` workers"
    print(f"\n{who}, everything on this machine\n" + figures.table())
    print(listed(figures), end="")
    _write(options, figures)
    return 1 if figures.differences else 0


def listed(figures: Figures) -> str:
    """The first differences, a line each."""
    return "".join(
        f"  {one.customer} {one.name}: stored {one.folded}, recounted {one.recounted}\n"
        for one in figures.differences[:20]
    )


def spent(figures: Figures) -> float:
    """Processor time of all processes, us an event."""
    return sum(float(figures.rows[f"CPU of the {name}"][0]) for name in PROCESSES)


def _write(options: Options, figures: Figures) -> None:
    options.results.parent.mkdir(parents=True, exist_ok=True)
    told = {name: value for name, value in asdict(options).items() if name != "results"}
    rows = {name: {"value": value, "unit": unit} for name, (value, unit) in figures.rows.items()}
    text = json.dumps({"options": told, "figures": rows}, indent=2)
    options.results.write_text(text + "\n", encoding="utf-8")
    say(f"written to {options.results}")


if __name__ == "__main__":
    sys.exit(main(parsed(sys.argv[1:])))
