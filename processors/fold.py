"""The whole decision on one screen: fold(profile, event) = advance to its instant, apply, then ask the rules.

Rules are asked per event and at every instant at which time alone could change an answer, never once a batch: the
sequence of changes must not depend on where batches happen to end. Only the churn score is once a decision (journey).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from librt.vecs import append, vec
from mypy_extensions import i64

from processors.apply import apply
from processors.calendar import DAY, FIVE, NEVER, Calendar
from processors.changes import Cause, change_of
from processors.churn import Answer, Snapshot, answer, churned, label_due, take_snapshot
from processors.dimensions import Thresholds, refresh_activity, refresh_rfm
from processors.event import Event
from processors.numbers import least
from processors.orders import refresh_orders
from processors.profile import Profile
from processors.rules import RuleSet, Unit
from processors.sessions import close_sessions
from processors.traits import ACTIVITY, EVERYTHING, ORDERS, SCORE
from processors.windows import expire
from schemas.results import SegmentChange


@dataclass(frozen=True, slots=True)
class Policy:
    """What decisions depend on beside profile and event; equal policies give equal decisions."""

    rules: RuleSet
    calendar: Calendar = field(default_factory=Calendar)
    limits: Thresholds = field(default_factory=Thresholds)
    horizon: int = 30 * DAY
    """Churn: no event for this long after the snapshot."""
    churn_by_order: bool = False
    """True: only an order is a return."""
    refresh: bool = False
    """True on the wall clock: a profile with something in a window is renewed once a day."""


@dataclass(slots=True)
class Outcome:
    """What a batch of folds decided."""

    changes: list[SegmentChange] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)


def fold(p: Profile, event: Event, policy: Policy, out: Outcome) -> None:
    """Take one event into a profile."""
    advance(p, event.at, policy, out)
    first, pending = not p.first_seen, p.pending
    answer(p, event, policy.churn_by_order, out.answers)
    mask = apply(p, event, policy.calendar) | _refresh(p, policy.limits)
    if mask & ORDERS or first:
        refresh_rfm(p, policy.limits)
        mask |= ACTIVITY
    units = policy.rules.affected(EVERYTHING ^ SCORE if first else mask)
    if units:
        ask(p, units, event, policy, out)
    take_snapshot(p, event, policy.calendar, out.snapshots)
    if units or p.pending is not pending:
        _plan(p, policy)


def fold_all(p: Profile, events: Sequence[Event], policy: Policy, out: Outcome) -> list[Event]:
    """Take a customer's events in, in their order; returns those at least a 5-minute bucket older than the profile."""
    late = []
    for event in events:
        if event.time // FIVE < p.five:
            late.append(event)
        fold(p, event, policy, out)
    return late


def _refresh(p: Profile, limits: Thresholds) -> int:
    """Renew the activity label. While it stays, its rules need not be asked: they are woken too early, not too late."""
    before = p.activity
    refresh_activity(p, limits)
    return 0 if p.activity == before else ACTIVITY


def advance(p: Profile, t: int, policy: Policy, out: Outcome) -> None:
    """Let time pass up to and including `t`, folding every due instant on the way."""
    while p.due <= t:
        tick(p, p.due, policy, out)
    if t > p.as_of:
        _move(p, t, policy)
    if len(p.turns) == 0:
        _take_turns(p, policy)


def tick(p: Profile, instant: int, policy: Policy, out: Outcome) -> None:
    """Fold the passing of `instant`: labels that change by time alone, and the churn label that has become known."""
    _move(p, instant, policy)
    if len(p.turns) == 0:
        _take_turns(p, policy, due=instant)
    churned(p, policy.horizon, out.answers)
    turned = [unit for unit in policy.rules.units if p.turns[unit.position] <= instant]
    ask(p, turned, Cause.tick(instant), policy, out)
    _plan(p, policy)


def ask(p: Profile, units: Iterable[Unit], cause: Event | Cause, policy: Policy, out: Outcome) -> None:
    """Ask rules; emit what changed, and note when each answer can next change by itself."""
    calendar, labels, turns = policy.calendar, p.labels, p.turns
    for unit in units:
        now = unit.evaluate(p, calendar)
        before = labels.get(unit.id, "")
        if now != before:
            if not before and now in unit.quiet:
                labels[unit.id] = now
            else:
                out.changes.append(change_of(p, unit, now, cause, policy.rules.version))
        turns[unit.position] = unit.horizon(p, calendar)


def _take_turns(p: Profile, policy: Policy, due: int = 0) -> None:
    """The turns of a new or loaded profile; one loaded at its due instant has its labels asked, all of them."""
    calendar = policy.calendar
    turns = vec[i64](capacity=len(policy.rules.units) + 2)
    for unit in policy.rules.units:
        turns = append(turns, due or (unit.horizon(p, calendar) if p.first_seen else NEVER))
    p.turns = append(append(turns, NEVER), NEVER)


def _plan(p: Profile, policy: Policy) -> None:
    """When to wake the profile next."""
    turns = p.turns
    last: i64 = len(turns) - 1
    turns[last - 1] = label_due(p, policy.horizon)
    if policy.refresh and not p.as_of < turns[last] < NEVER:
        turns[last] = _next_refresh(p, policy.calendar) if len(p.days.keys) > 0 else NEVER
    p.due = least(turns)


def _move(p: Profile, t: int, policy: Policy) -> None:
    """Bring windows, sessions, order facts and dimensions to instant `t`."""
    p.as_of = t
    expire(p, t, policy.calendar)
    if t >= p.session_due:
        close_sessions(p, policy.calendar)
    if t >= p.orders_due:
        refresh_orders(p)
    if t > p.activity_until:
        refresh_activity(p, policy.limits)
    if t > p.rfm_until:
        refresh_rfm(p, policy.limits)


def _next_refresh(p: Profile, calendar: Calendar) -> int:
    """An instant once a day, spread over customers by a digest of the id."""
    offset = crc32(p.customer.encode()) % DAY
    today = calendar.start(p.day) + offset
    return today if today > p.as_of else calendar.start(p.day + 1) + offset
