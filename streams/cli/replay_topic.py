"""`footfall replay-topic`: the input topics folded again into a shadow, and how it compares with the live profiles."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from streams.cli.console import err, fail, out, show_table
from streams.cli.plain import plain
from streams.refold.bounds import parse_bound
from streams.refold.job import ReplayJob
from streams.refold.parts import Options, Watch
from streams.refold.report import Report
from streams.refold.wiring import wired
from streams.settings import Settings

log = structlog.get_logger(__name__)

_LOG_SECONDS: Final = 10.0


def run(settings: Settings, since: str | None, until: str | None, options: Options, *, as_json: bool) -> int:
    """Replay, print the report, and return 0 when the shadow equals the live profiles, else 1.

    After a switch that was made, 0. `since` and `until` are `--from` and `--to` as given.

    Raises:
        ConfigurationError: what was asked for makes no sense here; nothing was changed.
        UnreachableError: a server does not answer.

    """
    wanted = Options(
        since=parse_bound(since, "--from", settings.zone) if since else None,
        until=parse_bound(until, "--to", settings.zone) if until else None,
        switch=options.switch,
        force=options.force,
        partial=options.partial,
        keep=options.keep,
        model=options.model,
        listed=options.listed,
    )
    with wired(settings) as parts, watching() as watch:
        report = asyncio.run(ReplayJob(parts, wanted, watch).run())
    if as_json:
        print(report.as_json().decode())
    else:
        show(report)
    if report.refusal:
        fail(report.refusal)
    return exit_code(report)


def exit_code(report: Report) -> int:
    """0: the shadow equals the live profiles, or is live now; 1: it differs, or a switch was refused."""
    return 0 if report.switched or (report.equal_throughout and not report.refusal) else 1


# -- the report --------------------------------------------------------------------------------------------------------


def show(report: Report) -> None:
    """Tables, tab-separated in a pipe, and the verdict as the last line."""
    show_table(("", "live", "shadow"), _sides(report))
    print()
    show_table(("customers", ""), _counts(report))
    if report.listed:
        print()
        rows = [(plain(d.customer), d.name, plain(d.live), plain(d.shadow), d.kind) for d in report.listed]
        show_table(("customer", "name", "live", "shadow", "kind"), rows)
        _tell_the_rest(report)
    print()
    show_table(("not sent", "messages"), [(topic, f"{n:,}") for topic, n in sorted(report.suppressed.items())])
    out.print(f"\n{_verdict(report)}")


def _sides(report: Report) -> Iterator[tuple[str, str, str]]:
    yield "generation", str(report.live_generation), str(report.shadow_generation)
    yield "records", f"{report.records_live:,}", f"{report.records_shadow:,}"
    yield "only there", f"{report.only_live:,}", f"{report.only_shadow:,}"


def _counts(report: Report) -> Iterator[tuple[str, str]]:
    yield "compared", f"{report.customers:,}"
    yield "equal", f"{report.equal:,}"
    yield "different", f"{report.different:,}"
    yield "  in aggregates", f"{report.aggregates:,}"
    yield "  in rule-driven changes", f"{report.sequences:,}"
    yield "  in rule-driven labels", f"{report.labels:,}"
    if report.pinned_model is None:
        yield "score or churn band different", f"{report.scores:,}"
        yield "scored by another model version or at another instant (see --model)", f"{report.not_comparable:,}"
    else:
        yield f"score or churn band by model {report.pinned_model} different", f"{report.scores:,}"


def _tell_the_rest(report: Report) -> None:
    rest = sum(report.names.values()) + report.only_shadow - len(report.listed)
    if rest > 0:
        common = sorted(report.names.items(), key=lambda item: -item[1])[:8]
        names = ", ".join(f"{name} ({n})" for name, n in common)
        out.print(f"... and {rest:,} more; by name: {plain(names)}", markup=False)


def _verdict(report: Report) -> str:
    parts = []
    if not report.same_records:
        parts.append("The two do not hold the same records (--from, --to or --partial).")
    parts.append("[green]equal[/]" if report.equal_throughout else "[red]different[/]")
    if report.switched:
        parts.append(f"Generation {report.shadow_generation} is live; workers waited {report.frozen_seconds:.1f} s.")
        parts.append(f"{report.corrections:,} correcting changes are published by the next worker.")
    return " ".join(parts)


# -- progress ----------------------------------------------------------------------------------------------------------


@contextmanager
def watching() -> Iterator[Watch]:
    """A bar on a terminal; elsewhere a line at the start of a stage and every 10 s."""
    if not err.is_terminal:
        yield _Lines().watch()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    rate = TextColumn("{task.fields[rate]}")
    with Progress(*columns, rate, TimeRemainingColumn(), console=err, transient=True) as bar:
        task = bar.add_task("connecting", total=None, rate="")
        begun = time.monotonic()

        def stage(name: str, total: int | None) -> None:
            nonlocal begun
            begun = time.monotonic()
            bar.reset(task, description=name, total=total, rate="")

        def done(n: int) -> None:
            bar.update(task, completed=n, rate=f"{_rate(n, begun):,.0f}/s")

        yield Watch(stage, done)


class _Lines:
    def __init__(self) -> None:
        self._name = ""
        self._total: int | None = None
        self._begun = self._said = 0.0

    def watch(self) -> Watch:
        return Watch(self._stage, self._done)

    def _stage(self, name: str, total: int | None) -> None:
        self._name, self._total = name, total
        self._begun = self._said = time.monotonic()
        log.info(name, **({} if total is None else {"total": total}))

    def _done(self, n: int) -> None:
        now = time.monotonic()
        if now - self._said < _LOG_SECONDS:
            return
        self._said = now
        rate = _rate(n, self._begun)
        left = {} if self._total is None else {"seconds_left": round((self._total - n) / max(rate, 1.0))}
        log.info(self._name, done=n, per_second=round(rate), **left)


def _rate(n: int, begun: float) -> float:
    return n / max(time.monotonic() - begun, 1e-3)
