"""The equality report: counted while it goes over the customers, bounded in what it lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from processors.comparison import Difference
from streams.refold.audit import Judged

LONGEST = 100
"""Characters of a value that are shown."""


@dataclass(slots=True)
class Listed:
    """One difference, as it is shown."""

    customer: str
    name: str
    live: str
    shadow: str
    kind: str


@dataclass(slots=True)
class Report:
    """What a replay found. Counts are customers unless they say otherwise."""

    live_generation: int
    shadow_generation: int
    rule_version: str
    records_live: int = 0
    """Records that the live generation counted, of all topics."""
    records_shadow: int = 0
    """Records folded into the shadow."""
    customers: int = 0
    """In the live generation."""
    equal: int = 0
    different: int = 0
    only_live: int = 0
    only_shadow: int = 0
    aggregates: int = 0
    """With an aggregate, list or hidden part of the state that differs."""
    sequences: int = 0
    """Whose rule-driven changes are not the same in number."""
    labels: int = 0
    """With another rule-driven label."""
    scores: int = 0
    """With another score or model-driven label by the same model version at the same instant."""
    not_comparable: int = 0
    """Scored by another model version than in the shadow, or at another instant: not compared."""
    suppressed: dict[str, int] = field(default_factory=dict)
    """Topic -> messages that were not sent."""
    same_records: bool = True
    """Whether both generations hold the same records: not with `--to`, `--from` or `--partial`."""
    pinned_model: int | None = None
    switched: bool = False
    refusal: str | None = None
    """Why a switch that was asked for was not made."""
    corrections: int = 0
    """Changes that lead from live labels to those of the shadow after a switch (messages)."""
    frozen_seconds: float = 0.0
    """How long a switch kept workers waiting."""
    names: dict[str, int] = field(default_factory=dict)
    """Name of a trait -> customers in whom it differs."""
    listed: list[Listed] = field(default_factory=list)

    def add(self, judged: Sequence[Judged], limit: int) -> None:
        """Count some customers; list the first `limit` differences."""
        for each in judged:
            kinds = {difference.kind for difference in each.differences}
            self.customers += 1
            self.equal += each.equal
            self.different += not each.equal
            self.only_live += each.shadow is None
            self.aggregates += "aggregate" in kinds
            self.sequences += "sequence" in kinds
            self.labels += "label" in kinds
            self.scores += "model" in kinds
            self.not_comparable += each.scored_apart
            for difference in each.differences:
                self.names[difference.name] = self.names.get(difference.name, 0) + 1
            self._list(each.place[1], each.differences, limit)

    def add_strays(self, customers: Sequence[str], limit: int) -> None:
        """Customers whom only the shadow knows."""
        self.only_shadow += len(customers)
        for customer in customers:
            self._list(customer, [Difference("profile", "absent", "stored", "sequence")], limit)

    def _list(self, customer: str, differences: Sequence[Difference], limit: int) -> None:
        for d in differences[: max(0, limit - len(self.listed))]:
            self.listed.append(Listed(customer, d.name, _text(d.live), _text(d.shadow), d.kind))

    @property
    def equal_throughout(self) -> bool:
        """Whether the shadow is the live generation over again; scores count where a model was pinned."""
        return not (self.different or self.only_shadow or (self.pinned_model is not None and self.scores))

    @property
    def rules_agree(self) -> bool:
        """Whether whoever read the published changes would read the same ones of the shadow."""
        return not (self.sequences or self.labels or self.only_shadow)

    def as_json(self) -> bytes:
        """Everything, for scripts."""
        document: Mapping[str, Any] = {"equal_throughout": self.equal_throughout, **asdict(self)}
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _text(value: Any) -> str:
    text = (
        value if isinstance(value, str) else orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    )
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
