"""A profile as a card for people: who, how valuable, how likely to leave, in which segments and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from processors.calendar import DAY
from processors.explain import Explanation
from processors.measures import MEASURES, MONEY, WINDOWS
from streams.cli.plain import plain

_LABELS: Final = {"session_ms": "session time", "csat_top2": "csat 4 or 5"}
_ATTRIBUTES: Final = ("age", "gender", "occupation", "city", "country")


class Card:
    """Draws the traits of `processors.portrait` and the answers of `processors.explain`."""

    def __init__(
        self, traits: Mapping[str, Any], explanations: Sequence[Explanation], zone: tzinfo, currency: str
    ) -> None:
        self._traits = traits
        self._explanations = explanations
        self._zone = zone
        self._currency = currency

    def draw(self, customer: str) -> RenderableType:
        """The card; every text that came from outside is shown as text."""
        parts: list[RenderableType] = [self._facts(), Text(), self._segments(), Text(), self._windows()]
        parts += [self._tops()]
        title = Text.assemble("customer ", (plain(customer), "bold"), f", at {self._instant(self._traits['as_of'])}")
        return Panel(Group(*parts), title=title, border_style="cyan", width=112)

    def _facts(self) -> Table:
        table = _grid(2)
        for name, value in self._lines():
            table.add_row(Text(name, style="dim"), Text(value))
        return table

    def _lines(self) -> list[tuple[str, str]]:
        seen = self._traits
        lines = [("seen", f"first {self._instant(seen['first_seen'])}, last {self._ago('last_seen')}")]
        lines += self._order_lines() if "first_order" in seen else [("orders", "none yet")]
        lines += [("activity", str(seen["activity"]))]
        lines += [*self._churn_lines(), *self._visit_lines(), *self._csat_lines()]
        if "last_nps" in seen:
            lines.append(("last NPS", str(seen["last_nps"])))
        known = [f"{name} {plain(str(seen[name]))}" for name in _ATTRIBUTES if name in seen]
        return [*lines, ("known", ", ".join(known))] if known else lines

    def _order_lines(self) -> list[tuple[str, str]]:
        seen = self._traits
        recency, frequency, monetary = seen["rfm_scores"]
        last = f", last {self._ago('last_order')}" if "last_order" in seen else ""
        gap = f", {seen['mean_gap_ms'] / DAY:.0f} days apart" if "mean_gap_ms" in seen else ""
        return [
            ("orders", f"first {self._instant(seen['first_order'])}{last}{gap}"),
            ("value", f"{seen['value']}: {seen['frequency']} orders, {self._money(seen['monetary'])} in 365 days"),
            ("RFM", f"{seen['rfm']} ({recency}-{frequency}-{monetary}), {seen['rfm_class']}"),
        ]

    def _churn_lines(self) -> list[tuple[str, str]]:
        churn = self._traits.get("churn")
        if churn is None:
            return []
        model = f"model of {churn['model_version']:,} examples" if churn["model_version"] else "recency rule"
        moved = ", ".join(f"{name.replace('_', ' ')} {weight:+.2f}" for name, weight in churn["contributions"])
        return [("churn", f"{churn['probability']:.0%} ({model})" + (f"; moved by {moved}" if moved else ""))]

    def _visit_lines(self) -> list[tuple[str, str]]:
        ended, bounced, ms = (self._ever(name) for name in ("sessions_closed", "bounces", "session_ms"))
        if not ended:
            return []
        length = f"{ms / ended / 1000:.0f} s" if ms < 60_000 * ended else f"{ms / ended / 60_000:.1f} min"
        return [
            ("visits", f"{ended:,} ended, {length} on average, {bounced / ended:.0%} bounced (left after one step)")
        ]

    def _csat_lines(self) -> list[tuple[str, str]]:
        answers = self._ever("csat_answers")
        if not answers:
            return []
        mean = f"{self._ever('csat_sum') / answers:.1f} of 5 on average"
        return [("CSAT", f"{mean} ({answers:,} answer{'' if answers == 1 else 's'})")]

    def _ever(self, measure: str) -> int:
        """A measure's lifetime total."""
        return int(self._traits.get(f"{measure}_lifetime", 0))

    def _segments(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
        for heading in ("segment", "why", "suggested action", "holds until"):
            table.add_column(heading, overflow="fold")
        for found in self._explanations:
            if found.holds:
                table.add_row(*(Text(text) for text in self._row(found)))
        return table

    def _row(self, found: Explanation) -> tuple[str, str, str, str]:
        values = ", ".join(f"{name} = {plain(value)}" for name, value in found.evidence.items())
        name = plain(found.names.get("en", found.segment))
        name = name if found.unit == found.segment else f"{found.unit.replace('_', ' ')}: {name}"
        return name, values, plain(found.action or ""), self._instant(found.until) if found.until else "an event"

    def _windows(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("")
        for window in WINDOWS:
            table.add_column(window, justify="right")
        for measure in MEASURES:
            values = [self._traits.get(f"{measure}_{window}", 0) for window in WINDOWS]
            if any(values):
                shown = [self._value(measure, value) for value in values]
                table.add_row(Text(_LABELS.get(measure, measure.replace("_", " ")), style="dim"), *shown)
        return table

    def _tops(self) -> Table:
        table = _grid(2)
        for name in ("categories", "channels", "hours"):
            top = self._traits.get(f"top_{name}")
            if top:
                text = ", ".join(f"{plain(str(key))} ({count:,})" for key, count in top)
                table.add_row(Text(f"top {name}", style="dim"), Text(text))
        return table

    def _value(self, measure: str, value: int) -> str:
        if not value:
            return "·"
        if measure in MONEY:
            return f"{value / 100:,.2f}"
        return f"{value / 60_000:,.0f} min" if measure == "session_ms" else f"{value:,}"

    def _money(self, minor: int) -> str:
        return f"{minor / 100:,.2f} {self._currency}"

    def _ago(self, name: str) -> str:
        days = (self._traits["as_of"] - self._traits[name]) // DAY
        return f"{self._instant(self._traits[name])} ({days} day{'' if days == 1 else 's'} ago)"

    def _instant(self, ms: int) -> str:
        return f"{datetime.fromtimestamp(ms / 1000, self._zone):%Y-%m-%d %H:%M}"


def _grid(columns: int) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(columns):
        table.add_column(overflow="fold")
    return table
