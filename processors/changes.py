"""Segment changes as messages: deterministic ids, a gapless sequence, evidence and the suggested action."""

from __future__ import annotations

import msgspec

from processors.event import Event
from processors.identity import derived_id
from processors.profile import Profile
from processors.rules import Unit
from schemas.results import Direction, SegmentChange


class Cause(msgspec.Struct, frozen=True, gc=False):
    """Why a change happened: an event, the passing of an instant, a newer model, or a replay that was switched to."""

    text: str
    instant: int
    """event_time of the event, or the exact instant of the tick."""
    seed: str
    """What distinguishes this cause from every other in ids."""

    @staticmethod
    def of(event: Event) -> Cause:
        return Cause(f"event {event.event_id}", event.time, f"{event.origin}:{event.offset}")

    @staticmethod
    def tick(instant: int) -> Cause:
        return Cause("tick", instant, f"tick:{instant}")

    @staticmethod
    def model(version: int, instant: int) -> Cause:
        return Cause(f"model {version}", instant, f"model:{version}:{instant}")

    @staticmethod
    def replay(generation: int, instant: int) -> Cause:
        return Cause(f"replay {generation}", instant, f"replay:{generation}")


def change_of(p: Profile, unit: Unit, now: str, cause: Event | Cause, rule_version: str) -> SegmentChange:
    """Record on the profile that a unit's answer has changed, and say so as a message."""
    told = Cause.of(cause) if isinstance(cause, Event) else cause  # made here: most events change nothing
    before = p.labels.get(unit.id, "")
    _remember(p, unit, now, told)
    segment = now or before
    direction: Direction = "entered" if now else "exited"
    return SegmentChange(
        change_id=derived_id(f"{told.seed}:{p.customer}:{unit.id}:{segment}:{direction}"),
        customer_id=p.customer,
        sequence=p.model_sequence if unit.model else p.sequence,
        driver="model" if unit.model else "rule",
        segment=segment,
        group=unit.id if unit.group else None,
        from_segment=before or None,
        to_segment=now or None,
        direction=direction,
        effective_time=p.last_effective,
        cause=told.text,
        evidence=unit.evidence(p, segment),
        churn_probability=p.score.probability if p.score else None,
        suggested_action=unit.action(segment) if now else None,
        rule_version=rule_version,
    )


def _remember(p: Profile, unit: Unit, now: str, cause: Cause) -> None:
    p.last_effective = max(cause.instant, p.last_effective)
    if unit.model:
        p.model_sequence += 1
    else:
        p.sequence += 1
    if now:
        p.labels[unit.id] = now
    else:
        del p.labels[unit.id]
    if unit.min_dwell:
        p.entered[unit.id] = p.last_effective
