"""Whether everything that went in came out, once: the conservation law, and ClickHouse beside it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.cli.console import out, show_table
from streams.conservation import COUNTED, OUTCOMES, RECEIVED, Place, by_place, imbalance


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Redis tallied, compared with what was produced and with what ClickHouse holds."""

    tallies: Mapping[str, Counter[str]]
    """Topic -> received, applied, duplicate, dead_lettered, control."""
    produced: int
    """Records: events and clock markers."""
    in_clickhouse: int
    broken: tuple[str, ...]
    """What does not hold, a sentence each; empty when all does."""

    @property
    def applied(self) -> int:
        """Events folded into profiles."""
        return sum(counts["applied"] for counts in self.tallies.values())


def judge(tallies: Mapping[str, int], produced: int, in_clickhouse: int) -> Verdict:
    """Judge `<what>:<topic>:<partition>` -> count.

    For every topic-partition: received = applied + duplicate + dead-lettered + control. In all: received = produced,
    and ClickHouse holds what was applied.
    """
    places = by_place(tallies)
    broken = [_sentence(place, counts) for place, counts in sorted(places.items()) if imbalance(counts)]
    topics: dict[str, Counter[str]] = defaultdict(Counter)
    for (topic, _), counts in places.items():
        topics[topic].update(counts)
    received = sum(counts[RECEIVED] for counts in topics.values())
    applied = sum(counts["applied"] for counts in topics.values())
    if received != produced:
        broken.append(f"{produced:,} records were produced, {received:,} received")
    if applied != in_clickhouse:
        broken.append(f"{applied:,} events were applied, ClickHouse holds {in_clickhouse:,}")
    return Verdict(topics, produced, in_clickhouse, tuple(broken))


def _sentence(place: Place, counts: Counter[str]) -> str:
    topic, partition = place
    parts = ", ".join(f"{counts[what]:,} {what.replace('_', '-')}" for what in OUTCOMES)
    return f"{topic} partition {partition}: received {counts['received']:,}, but {parts}"


def received(tallies: Mapping[str, int]) -> int:
    """Records taken from the log and committed."""
    return sum(count for name, count in tallies.items() if name.startswith("received:"))


def show(verdict: Verdict) -> None:
    """The table of the law, and the verdict in one line."""
    out.print(
        "\n[bold]Nothing lost, nothing counted twice?[/] received = applied + duplicate + dead-lettered + markers\n"
    )
    headings = ("topic", "received", "applied", "duplicate", "dead-lettered", "markers")
    rows: list[tuple[str, Counter[str]]] = sorted(verdict.tallies.items())
    rows.append(("all", sum((counts for _, counts in rows), Counter[str]())))
    show_table(headings, [(topic, *_cells(counts)) for topic, counts in rows])
    for sentence in verdict.broken:
        out.print(f"[bold red]BROKEN[/] {sentence}")
    if not verdict.broken:
        out.print(
            f"\n[bold green]The conservation law holds[/]: {verdict.produced:,} records produced and received, "
            f"{verdict.applied:,} events applied, {verdict.in_clickhouse:,} in ClickHouse."
        )


def _cells(counts: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{counts[what]:,}" for what in COUNTED)
