"""A profile folded anew goes on where the live one stands: same version, same sequence numbers, chained changes.

Readers of `segment-changes` know the live labels and the last live number. Where the new fold holds another label, one
change leads from the one to the other, numbered on from there: no reader sees a number twice, a gap, or a break in the
chain of labels. Scores and model-driven labels stay the live ones: the next event renews them.
"""

from __future__ import annotations

from processors.changes import Cause, change_of
from processors.fold import Policy
from processors.identity import derived_id
from processors.profile import Profile
from schemas.results import SegmentChange


def succeed(shadow: Profile, live: Profile, policy: Policy, cause: Cause) -> list[SegmentChange]:
    """Make `shadow` the successor of `live`, which stands at the same instant; the changes that lead over.

    A label that is `quiet` as a newcomer's first is taken over without a message, as in the fold.
    """
    wanted, entered = dict(shadow.labels), dict(shadow.entered)
    model = {unit.id for unit in policy.rules.units if unit.model}
    wanted = {unit: label for unit, label in wanted.items() if unit not in model}
    wanted |= {unit: label for unit, label in live.labels.items() if unit in model}
    _carry_over(shadow, live)
    changes = []
    for unit in policy.rules.units:
        before, now = shadow.labels.get(unit.id, ""), wanted.get(unit.id, "")
        if now == before:
            continue
        if not before and now in unit.quiet:
            shadow.labels[unit.id] = now
        else:
            changes.append(change_of(shadow, unit, now, cause, policy.rules.version))
    shadow.entered = entered
    known = {unit.id for unit in policy.rules.units}
    changes += [_removed(shadow, unit, policy, cause) for unit in sorted(shadow.labels.keys() - known)]
    return changes


def _carry_over(shadow: Profile, live: Profile) -> None:
    shadow.version = live.version
    shadow.labels = dict(live.labels)
    shadow.sequence, shadow.model_sequence = live.sequence, live.model_sequence
    shadow.last_effective = max(live.last_effective, shadow.last_effective)
    shadow.score = live.score
    if shadow.pending is not None and live.pending is not None and shadow.pending.time == live.pending.time:
        shadow.pending.probability = live.pending.probability
        shadow.pending.model_version = live.pending.model_version


def _removed(shadow: Profile, unit: str, policy: Policy, cause: Cause) -> SegmentChange:
    """The end of a label whose definition is gone. A group's unit has another name than its segments."""
    label = shadow.labels.pop(unit)
    shadow.sequence += 1
    shadow.last_effective = max(cause.instant, shadow.last_effective)
    return SegmentChange(
        change_id=derived_id(f"{cause.seed}:{shadow.customer}:{unit}:{label}:exited"),
        customer_id=shadow.customer,
        sequence=shadow.sequence,
        driver="rule",
        segment=label,
        group=None if unit == label else unit,
        from_segment=label,
        to_segment=None,
        direction="exited",
        effective_time=shadow.last_effective,
        cause=cause.text,
        evidence={},
        churn_probability=shadow.score.probability if shadow.score else None,
        suggested_action=None,
        rule_version=policy.rules.version,
    )
