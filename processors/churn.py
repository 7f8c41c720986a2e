"""Churn labels from the passing of time: at most one pending snapshot a customer, answered by a return or by silence.

A snapshot is taken at the first event of a day, with the features as they are after that event; it predicts from the
last millisecond of that day, so that the rest of the same visit does not answer it. A label once known stays.
"""

from __future__ import annotations

import msgspec

from processors.calendar import NEVER, Calendar
from processors.event import Event
from processors.features import FEATURES, features
from processors.identity import derived_id
from processors.profile import Pending, Profile
from processors.scoring import rule_probability
from schemas.results import TrainingExample


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """A snapshot just taken, to be scored with the rest of its batch at the instant its features stand at."""

    pending: Pending
    instant: int


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A label that became known; made a `TrainingExample` after the batch is scored."""

    customer: str
    pending: Pending
    label: int
    label_time: int


def answer(p: Profile, event: Event, by_order: bool, out: list[Answer]) -> None:  # noqa: FBT001
    """A return answers the pending snapshot with 0."""
    if p.pending is None or event.time <= p.pending.time or (by_order and event.name != "order_completed"):
        return
    out.append(Answer(p.customer, p.pending, 0, max(event.at, p.as_of)))
    p.pending = None


def churned(p: Profile, horizon: int, out: list[Answer]) -> None:
    """Silence over the whole horizon answers it with 1, the millisecond after."""
    if p.pending is not None and p.as_of > p.pending.time + horizon:
        out.append(Answer(p.customer, p.pending, 1, p.pending.time + horizon + 1))
        p.pending = None


def label_due(p: Profile, horizon: int) -> int:
    """When silence answers the pending snapshot."""
    return p.pending.time + horizon + 1 if p.pending is not None else NEVER


def take_snapshot(p: Profile, event: Event, calendar: Calendar, out: list[Snapshot]) -> None:
    """Keep the features of the first event of a day, if none is pending.

    Not of a day that is over at `as_of`: part of its horizon would be known already, or all of it, and then its label
    would be due in the past.
    """
    if p.pending is not None or event.time < p.last_seen:
        return
    day = calendar.day(event.time)
    if day > p.snapshot_day and p.as_of < calendar.start(day + 1):
        p.snapshot_day = day
        p.pending = Pending(calendar.start(day + 1) - 1, features(p), rule_probability(p, p.as_of))
        out.append(Snapshot(p.pending, p.as_of))


def example_of(known: Answer) -> TrainingExample:
    """The message a known label makes."""
    pending = known.pending
    return TrainingExample(
        example_id=derived_id(f"example:{known.customer}:{pending.time}"),
        customer_id=known.customer,
        snapshot_time=pending.time,
        label_time=known.label_time,
        label=known.label,
        features=dict(zip(FEATURES, pending.features, strict=True)),
        probability=pending.probability,
        model_version=pending.model_version,
        rule_probability=pending.rule_probability,
    )
