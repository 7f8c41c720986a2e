"""Where two profiles of one customer differ: what events and time decided, and apart from it what a model decided.

A profile stands at the last instant it was folded to. Both are brought to the later of their instants first, so that
what time alone would do to one of them is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from processors.changes import Cause
from processors.fold import Outcome, Policy, advance, ask
from processors.portrait import portrait
from processors.profile import Profile
from processors.scoring import LinearScorer, score_of
from processors.traits import SCORE

Kind = Literal["aggregate", "sequence", "label", "model"]

_APART: Final = {"as_of", "churn", "segments", "sequence"}
"""Members of a portrait that are compared by name further down, or are equal by then."""
_HIDDEN: Final = (
    "fives", "hours", "days", "orders", "waiting", "sessions", "categories", "channels", "hours_of_day",
    "attributes", "first_order", "left_order", "nps_time", "entered", "snapshot_day",
)  # fmt: skip
"""Fields that no trait shows whole, and that decide traits of later: looked at where all traits are equal."""


class Difference(NamedTuple):
    """One trait that differs; null where a side lacks it."""

    name: str
    live: Any
    shadow: Any
    kind: Kind


def bring_together(live: Profile, shadow: Profile, policy: Policy) -> None:
    """Fold into both what time alone does up to the later of their instants. Nothing of it is published."""
    instant = max(live.as_of, shadow.as_of)
    for profile in (live, shadow):
        advance(profile, instant, policy, Outcome())


def rescore(profile: Profile, scorer: LinearScorer | None, policy: Policy) -> None:
    """Score a profile as it stands by one model, whatever scored it before, and ask the model-driven rules again."""
    profile.score = score_of(profile, scorer)
    cause = Cause.model(profile.score.model_version, profile.as_of)
    ask(profile, policy.rules.affected(SCORE), cause, policy, Outcome())


def differences(live: Profile, shadow: Profile, policy: Policy) -> list[Difference]:
    """All differences of two profiles that stand at one instant (`bring_together`)."""
    ours, theirs = portrait(live), portrait(shadow)
    found = [Difference(*each, "aggregate") for each in _differing(ours, theirs) if each[0] not in _APART]
    if not found:
        found += _hidden(live, shadow)
    if live.sequence != shadow.sequence:
        found.append(Difference("sequence", live.sequence, shadow.sequence, "sequence"))
    model = {unit.id for unit in policy.rules.units if unit.model}
    for unit, before, after in _differing(live.labels, shadow.labels):
        found.append(Difference(f"segments.{unit}", before, after, "model" if unit in model else "label"))
    return found + _scores(live, shadow)


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys((*ours, *theirs)):
        if ours.get(name) != theirs.get(name):
            yield name, ours.get(name), theirs.get(name)


def _hidden(live: Profile, shadow: Profile) -> list[Difference]:
    pairs = [(name, getattr(live, name), getattr(shadow, name)) for name in _HIDDEN]
    pairs.append(("pending", live.pending and live.pending.time, shadow.pending and shadow.pending.time))
    return [Difference(f"state.{name}", a, b, "aggregate") for name, a, b in pairs if a != b]


def _scores(live: Profile, shadow: Profile) -> list[Difference]:
    ours, theirs = (p.score.probability if p.score else None for p in (live, shadow))
    return [] if ours == theirs else [Difference("churn_probability", ours, theirs, "model")]
