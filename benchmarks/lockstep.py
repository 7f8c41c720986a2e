"""A history through fold, score and trainer in one process, day by day: the scores repeat exactly.

Day D's events are folded with the model whose labels reach to the end of day D - 1; then time passes to the end of
the day, and the trainer learns what has become due. It is what a replay in lockstep does over Kafka.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from typing import Any, Final

from processors.batch_scores import score
from processors.calendar import DAY
from processors.churn import example_of
from processors.curriculum import Curriculum, Plan
from processors.event import Event, events_of
from processors.fold import Policy, fold
from processors.learning import Learner
from processors.profile import Profile
from processors.rules.compile import compile_rules
from processors.scoring import ScorerHistory
from schemas.events import NONE_MISDATED, EventBatch
from schemas.results import TrainingExample
from streams.decision import Decision
from streams.replay.envelope import TopicEvent
from streams.ticking import wake

RIVER: Final = version("river")
Scored = tuple[str, int, float, int]
"""(customer, instant, probability, model version)."""


@dataclass(slots=True)
class Lockstep:
    """All profiles, one scorer history and one trainer, on one clock."""

    policy: Policy = field(default_factory=lambda: Policy(compile_rules(())))
    profiles: dict[str, Profile] = field(default_factory=dict)
    scorers: ScorerHistory = field(default_factory=lambda: ScorerHistory(RIVER))
    curriculum: Curriculum = field(default_factory=lambda: Curriculum(Learner(), Plan(partitions=1, event_clock=True)))
    scores: list[Scored] = field(default_factory=list)
    """Every score given, in order."""
    examples: list[TrainingExample] = field(default_factory=list)
    """Every label that became known, in order."""

    def run(self, history: Iterable[TopicEvent]) -> None:
        """Fold a history in order of time; the clock stands at the end of its last day afterwards."""
        last = None
        for day, records in groupby(history, key=lambda record: int(record[1]["event_time"]) // DAY):
            for missing in range(day if last is None else last + 1, day):
                self.end_day(missing)
            self.fold_day(records)
            self.end_day(day)
            last = day

    def fold_day(self, records: Iterable[TopicEvent]) -> None:
        """The events of one day, as one batch."""
        decision = Decision()
        for event in events(records):
            profile = self.profiles.get(event.customer_id)
            if profile is None:
                profile = self.profiles[event.customer_id] = Profile(event.customer_id)
            fold(profile, event, self.policy, decision.outcome)
            decision.folded[event.customer_id] = profile
        self._finish(decision)

    def end_day(self, day: int) -> None:
        """Let the day pass, learn what is due, and hand the model to the scorers."""
        end = (day + 1) * DAY - 1
        decision = Decision()
        for profile in self.profiles.values():
            if profile.due <= end:
                wake(profile, end, self.policy, decision)
        self._finish(decision)
        if self.curriculum.mark(len(self.examples), "0", end):
            refusal = self.scorers.accept(self.curriculum.snapshot(RIVER))
            assert refusal is None, refusal

    def _finish(self, decision: Decision) -> None:
        score(list(decision.folded.values()), decision.outcome, self.scorers, self.policy)
        for profile in decision.folded.values():
            profile.version += 1
            assert profile.score is not None
            given = profile.score
            self.scores.append((profile.customer, given.time, given.probability, given.model_version))
        for known in decision.outcome.answers:
            example = example_of(known)
            refusal = self.curriculum.take(len(self.examples), example)
            assert refusal is None, refusal
            self.examples.append(example)


def events(records: Iterable[TopicEvent]) -> Iterator[Event]:
    """Records as the fold takes them."""
    for topic, group in groupby(records, key=lambda record: record[0]):
        rows = [row for _, row in group]
        yield from events_of(_batch(topic, rows), f"{topic}:0", wall_clock=False)


def _batch(topic: str, rows: list[dict[str, Any]]) -> EventBatch:
    def column(name: str) -> list[Any]:
        return [row.get(name) for row in rows]

    return EventBatch(
        topic=topic,
        partition=0,
        offsets=list(range(len(rows))),
        append_times=column("received_time"),
        event_id=column("event_id"),
        customer_id=column("customer_id"),
        event_time=column("event_time"),
        received_time=column("received_time"),
        name=column("name"),
        checksums=[0] * len(rows),
        misdated=NONE_MISDATED,
        load=column,
    )
