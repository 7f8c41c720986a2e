"""Real orders and clicks: every aggregate equals the recount, every change of a label the brute force, in order.

Every fourth customer of CDNOW here; all of them: python -m benchmarks.differential.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import pytest

from benchmarks.differential import (
    LABELS,
    by_customer,
    differences,
    folded_label_changes,
    label_differences,
    records_of,
    replayed,
    without_quiet,
)
from processors.calendar import DAY
from processors.dimensions import Thresholds
from processors.fold import Policy
from schemas.results import SegmentChange
from streams.replay.datasets import cdnow, ecom
from streams.replay.envelope import TopicEvent
from tests.builders import Folded, counted, events_from, shipped_rules
from tests.oracle import labels
from tests.oracle.recount import recount


@cache
def orders() -> list[TopicEvent]:
    return [pair for pair in cdnow() if int(pair[1]["customer_id"]) % 4 == 0]


@cache
def clicks() -> list[TopicEvent]:
    return list(ecom())


@cache
def folded(name: str) -> Folded:
    events = HISTORIES[name]()
    done = replayed(events, Policy(shipped_rules()))
    done.advance(events[-1][1]["event_time"])
    return done


HISTORIES = {"cdnow": orders, "ecom": clicks}


@pytest.mark.parametrize("name", HISTORIES)
def test_aggregates_equal_the_recount(name: str) -> None:
    events = HISTORIES[name]()
    counts = recount(records_of(events), events[-1][1]["event_time"])
    assert differences(folded(name).profiles, counts) == []
    assert sum(count["revenue_lifetime"] for count in counts.values()) == sum(e.get("revenue", 0) for _, e in events)


@pytest.mark.parametrize("group", LABELS)
@pytest.mark.parametrize("name", HISTORIES)
def test_labels_change_when_the_brute_force_says_so(name: str, group: str) -> None:
    events, (label, quiet) = HISTORIES[name](), LABELS[group]
    expected = without_quiet(labels.changes_of(label, events, events[-1][1]["event_time"]), quiet)
    assert label_differences(folded(name), group, expected) == []
    assert expected or (name, group) == ("cdnow", "intensity"), "orders alone make no sessions"


def test_activity_by_last_seen_alone() -> None:
    """The published boundaries of 30 and 90 days, hit exactly by hundreds of gaps."""
    done = replayed(orders(), Policy(shipped_rules(), limits=Thresholds(order_clock=False)))
    expected = labels.changes_of("activity_by_last_seen", orders(), orders()[-1][1]["event_time"])
    assert by_customer(folded_label_changes(done, "activity")) == by_customer(expected)
    assert len(expected) > 30_000
    assert sum(change.before is None for change in expected) == len(done.profiles)


def woken(events: Sequence[TopicEvent], wakes: Sequence[int]) -> dict[str, list[SegmentChange]]:
    """The changes of each customer when due profiles are woken before the first event after each of these instants."""
    done, waiting = Folded(Policy(shipped_rules())), sorted(wakes, reverse=True)
    for one in counted(events_from(records_of(events)), done):
        while waiting and waiting[-1] < one.time:
            done.wake(waiting.pop())
        done.take(one)
    done.wake(events[-1][1]["event_time"])
    found: dict[str, list[SegmentChange]] = defaultdict(list)
    for change in done.outcome.changes:
        found[change.customer_id].append(change)
    return found


@pytest.mark.parametrize("name", HISTORIES)
def test_when_profiles_are_woken_does_not_matter(name: str) -> None:
    """Day by day, at random instants or only at the end: the same changes, ids and sequence numbers."""
    some = [pair for pair in HISTORIES[name]() if pair[1]["customer_id"][-1] in "06"]
    begin, end = some[0][1]["event_time"], some[-1][1]["event_time"]
    rng = random.Random(1)
    at_the_end = woken(some, [])
    assert sum(map(len, at_the_end.values())) > 1_000
    assert woken(some, [(day + 1) * DAY - 1 for day in range(begin // DAY, end // DAY)]) == at_the_end
    assert woken(some, [rng.randrange(begin, end) for _ in range(40)]) == at_the_end
