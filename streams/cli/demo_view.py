"""The demo's picture: a live one on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from rich.align import Align
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from processors.rules import RuleSet
from schemas.results import SegmentChange
from streams.cli.demo_view_feed import Reading, quantile
from streams.cli.plain import plain

WINDOW_SECONDS: Final = 5.0
"""Rates, latencies and movements are those of the last 5 s."""
_GROUPS_FIRST: Final = ("activity", "value", "churn", "rfm")
_ROWS_BESIDE_THE_LIST: Final = 8
_MOST_ROWS: Final = 24
_BAR: Final = 12


@dataclass(frozen=True, slots=True)
class Moment:
    """All that is known at one moment."""

    reading: Reading
    sent: int
    """Events the replay has sent; `markers` beside them."""
    markers: int
    sizes: Counter[tuple[str, str]]
    changes: int
    instant: int
    """The simulated instant, ms."""

    @property
    def lag(self) -> int:
        """Records sent and not yet received."""
        return max(0, self.sent + self.markers - self.reading.received)


@dataclass(slots=True)
class History:
    """The moments of the last seconds, oldest first."""

    moments: deque[Moment] = field(default_factory=deque)

    def add(self, moment: Moment) -> None:
        """Note a moment and forget what is older than the window."""
        self.moments.append(moment)
        while len(self.moments) > 2 and self.moments[1].reading.at < moment.reading.at - WINDOW_SECONDS:
            self.moments.popleft()

    @property
    def now(self) -> Moment:
        """The latest one."""
        return self.moments[-1]

    @property
    def before(self) -> Moment:
        """The one the latest is compared with."""
        return self.moments[0]

    def rate(self, later: int, earlier: int) -> float:
        """Per second, over the window."""
        return (later - earlier) / max(0.1, self.now.reading.at - self.before.reading.at)

    def numbers(self) -> dict[str, str]:
        """The figures of the picture, by name."""
        now, before = self.now, self.before
        read, p50, p99 = now.reading, *(quantile(q, before.reading, now.reading) for q in (0.5, 0.99))
        return {
            "events/s in": f"{self.rate(now.sent, before.sent):,.0f}",
            "applied/s": f"{self.rate(read.applied, before.reading.applied):,.0f}",
            "applied": f"{read.applied:,}",
            "lag": f"{now.lag:,} records",
            "latency p50": _seconds(p50),
            "p99": _seconds(p99),
            "in ClickHouse": f"{read.rows:,}",
            "segment changes": f"{now.changes:,}",
            "woken by time": f"{read.ticks:,}",
            "churn model": f"{read.model_version:,} examples" if read.model_version else "rule, not yet learnt",
        }


class Picture:
    """Draws a history. `total` events make the bar full."""

    def __init__(self, rules: RuleSet, total: int) -> None:
        self._names = {
            (unit.id, segment): names.get("en", segment)
            for unit in rules.units
            for segment, names in unit.names.items()
        }
        self._quiet = {(unit.id, segment) for unit in rules.units for segment in unit.quiet}
        self._titles = {unit.id: unit.title.get("en", unit.id) for unit in rules.units}
        self._total = total
        self._began = time.monotonic()

    def draw(self, history: History, changes: Sequence[SegmentChange], height: int, width: int) -> RenderableType:
        """The live picture, at most `height` lines."""
        rows = max(4, min(_MOST_ROWS, height - _ROWS_BESIDE_THE_LIST))
        columns = Table.grid(expand=True, padding=(0, 1))
        columns.add_column(width=74)
        columns.add_column(ratio=1)
        segments = Panel(self._segments(history, rows), title="segments", border_style="blue", height=rows + 2)
        words = Text(
            "\n".join(self.in_words(change) for change in varied(changes)[:rows]), overflow="ellipsis", no_wrap=True
        )
        latest = Panel(words, title="latest segment changes", border_style="magenta", height=rows + 2)
        columns.add_row(segments, latest)
        return Group(self._head(history), columns if width >= 120 else segments)

    def line(self, history: History) -> str:
        """One line for a pipe or a log."""
        numbers = ", ".join(f"{name} {value}" for name, value in history.numbers().items())
        return f"{time.monotonic() - self._began:5.0f} s  {_date(history.now.instant)}  {numbers}"

    def in_words(self, change: SegmentChange) -> str:
        """One change as a sentence."""
        customer, group = plain(change.customer_id), change.group or change.segment
        if change.group is None:
            verb = "entered" if change.direction == "entered" else "left"
            moved = f"{verb} {self._name(group, change.segment)}"
        else:
            left, entered = (self._name(group, name) for name in (change.from_segment, change.to_segment))
            moved = f"went from {left} to {entered}" if left else f"is {entered}"
        action = f" -> {plain(change.suggested_action)}" if change.suggested_action else ""
        return f"customer {customer} {moved}: {_why(change)}{action}"

    def _name(self, group: str, segment: str | None) -> str:
        return plain(self._names.get((group, segment), segment)) if segment else ""

    def _head(self, history: History) -> RenderableType:
        now = history.now
        numbers = Table.grid(padding=(0, 2), expand=True)
        items = [f"[dim]{name}[/] [bold]{value}[/]" for name, value in history.numbers().items()]
        for first in range(0, len(items), 5):
            numbers.add_row(*items[first : first + 5])
        bar = Table.grid(expand=True)  # on a line of its own: a bare bar swallows the line after it
        bar.add_row(ProgressBar(total=self._total, completed=now.sent))
        clock = (
            f"{_date(now.instant)}   {now.sent:,} of {self._total:,} events   {time.monotonic() - self._began:.0f} s"
        )
        return Panel(Group(Align.center(Text(clock, style="bold cyan")), bar, numbers), title="Footfall")

    def _segments(self, history: History, rows: int) -> RenderableType:
        now, before = history.now.sizes, history.before.sizes
        table = Table.grid(padding=(0, 1))
        for justify in ("left", "left", "right", "left"):
            table.add_column(justify=justify, no_wrap=True)
        chosen = self._chosen(now, rows)
        most = max((now[key] for key in chosen), default=1) or 1
        for key in chosen:
            size, moved = now[key], now[key] - before[key]
            table.add_row(
                self._label(*key),
                Text("█" * max(1, round(_BAR * size / most)), style="green"),
                f"{size:,}",
                _movement(moved),
            )
        return table

    def _label(self, group: str, segment: str) -> Text:
        name, title = self._name(group, segment)[:26], plain(self._titles.get(group, group))[:15]
        return Text(name) if name == title else Text.assemble(name, " ", (title, "dim"))

    def _chosen(self, sizes: Mapping[tuple[str, str], int], rows: int) -> list[tuple[str, str]]:
        """The largest segments of each group in turn, so that no group hides the others."""
        order = {group: place for place, group in enumerate(_GROUPS_FIRST)}
        shown = [key for key, size in sizes.items() if size > 0 and key not in self._quiet]
        shown.sort(key=lambda key: (order.get(key[0], len(order)), -sizes[key], key))
        return sorted(shown[:rows], key=lambda key: -sizes[key])


def varied(changes: Sequence[SegmentChange]) -> list[SegmentChange]:
    """The changes in their order, at most two of each move: a day's end makes thousands that read alike."""
    told: Counter[tuple[str | None, ...]] = Counter()
    chosen = []
    for change in changes:
        move = (change.group, change.from_segment, change.segment)
        told[move] += 1
        if told[move] <= 2:
            chosen.append(change)
    return chosen


def _movement(moved: int) -> Text:
    if moved == 0:
        return Text("")
    return Text(f"▲ {moved:,}", style="green") if moved > 0 else Text(f"▼ {-moved:,}", style="red")


def _why(change: SegmentChange) -> str:
    values = {name: value for name, value in change.evidence.items() if name not in {change.group, "churn_probability"}}
    facts = ", ".join(f"{name.replace('_', ' ')} {plain(value)}" for name, value in values.items())
    if change.driver == "model":
        risk = change.evidence.get("churn_probability", "")
        return f"churn risk {float(risk):.0%}" if risk else "the churn score moved"
    cause = {"tick": "by time alone", "event": "by an event"}.get(change.cause.partition(" ")[0], plain(change.cause))
    return f"{cause} ({facts})" if facts else cause


def _date(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant / 1000, UTC):%d %b %Y}" if instant else "not begun  "


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:,.0f} ms" if value < 10 else f"{value:,.0f} s"
