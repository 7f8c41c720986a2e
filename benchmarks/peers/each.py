"""The `process` role with a message for every event, as the peers send them, and not one for all of a batch.

No setting leads here. A customer is folded, scored, encoded and told about event by event; stored he is once a batch,
as before. The messages between carry the version of the last one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from processors.batch_scores import score
from processors.gathering import Theirs
from processors.portrait import encode_portrait
from processors.profile import Profile
from schemas.results import OutgoingMessage, ProfileUpdate
from streams.decision import Decision, update_message
from streams.journey import Journey
from streams.roles import process
from streams.settings import load_settings

_FOLD: Final = Journey._fold  # noqa: SLF001  what is put into its place calls it


def fold_each(journey: Journey, theirs: Iterable[Theirs], decision: Decision) -> None:
    """Fold one event of each customer after the other; whoever has more of them is told about in between."""
    left, place = list(theirs), 0
    while left:
        _FOLD(journey, [(profile, events[place : place + 1]) for profile, events in left], decision)
        place += 1
        left = [(profile, events) for profile, events in left if len(events) > place]
        decision.updates += _between(journey, [profile for profile, _ in left], decision)


def _between(journey: Journey, profiles: list[Profile], decision: Decision) -> list[OutgoingMessage]:
    """What is said of customers who have more events."""
    terms, stages = journey._terms, journey._stages  # noqa: SLF001  a part of the journey, put in from outside
    score(profiles, decision.outcome, stages.scorers, terms.policy)
    return [
        update_message(ProfileUpdate(p.customer, p.version + 1, p.as_of, encode_portrait(p)), terms.codec)
        for p in profiles
    ]


def main() -> int:
    """The role."""
    Journey._fold = fold_each  # type: ignore[method-assign, assignment]  # noqa: SLF001
    return process.run(load_settings())


if __name__ == "__main__":
    sys.exit(main())
