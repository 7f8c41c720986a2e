"""Fold against recount, to the last number: python -m benchmarks.differential [every].

Folds the seeded six-topic history, CDNOW and ecom, and counts them again by SQL (tests/oracle/recount) and by brute
force over labels (tests/oracle/labels). Prints a table of differences; exit code 1 if there is any. `every`: only
every n-th customer of CDNOW.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from processors.calendar import DAY
from processors.dimensions import Thresholds, rfm_segment, value_of
from processors.fold import Policy
from processors.measures import M
from processors.portrait import portrait
from processors.profile import ROW_LIFE, Profile
from processors.state import decode_state, encode_state
from processors.traits import TRAITS
from schemas.results import SegmentChange
from streams.replay.datasets import cdnow, ecom
from streams.replay.envelope import TopicEvent
from tests.builders import Folded, Record, fold_history, policy, shipped_rules
from tests.oracle import labels, recount
from tests.oracle.history import history

ATTRIBUTES: Final = ("age", "gender", "occupation", "city", "country")
Counts = dict[str, Any]


class Difference(NamedTuple):
    """One number that is not the same."""

    customer: str
    name: str
    folded: object
    recounted: object


def records_of(events: Iterable[TopicEvent]) -> list[Record]:
    """A history as records in log order."""
    return [(place, topic, event) for place, (topic, event) in enumerate(events)]


def differences(profiles: Mapping[str, Profile], counts: Mapping[str, Counts]) -> list[Difference]:
    """Everything the recount knows, against the profiles at the same instant."""
    absent = [Difference(customer, "profile", customer in profiles, customer in counts)
              for customer in profiles.keys() ^ counts.keys()]  # fmt: skip
    both = profiles.keys() & counts.keys()
    return absent + list(chain.from_iterable(_of_one(profiles[customer], counts[customer]) for customer in both))


def _of_one(p: Profile, expected: Counts) -> Iterator[Difference]:
    traits = portrait(p)
    mine = {name: traits.get(name, 0) for name in recount.NAMES} | facts(p)
    mine |= {name: TRAITS[name].read(p) for name in recount.QUOTIENTS}
    mine |= {name: traits.get(name, []) for name in recount.TOPS}
    for name, value in expected.items():
        if name in recount.LISTS and value is None:  # more than 64 keys: exempt
            continue
        if mine[name] != value:
            yield Difference(p.customer, name, mine[name], value)


def facts(p: Profile) -> Counts:
    """What the recount names beside measures, read from a profile."""
    attributes: Counts = {name: p.attributes[name][1] if name in p.attributes else None for name in ATTRIBUTES}
    attributes["age"] = int(attributes["age"]) if attributes["age"] else None
    return attributes | {
        "first_seen": p.first_seen,
        "last_seen": p.last_seen,
        "first_order": p.first_order or None,
        "last_order": p.last_order or None,
        "F": p.frequency,
        "M": p.monetary,
        "R": (p.as_of - p.last_order) // DAY if p.last_order else None,
        "gap_count": p.gap_count,
        "gap_sum": p.gap_sum,
        "last_nps": p.nps if p.nps >= 0 else None,
        "complaints_open": TRAITS["complaints_open"].read(p),
        "channels": p.channels,
        "hours": {str(hour): n for hour, n in enumerate(p.hours_of_day) if n},
        "categories": p.categories,
    }


def reloaded(p: Profile, under: Policy) -> Profile:
    """The profile as another owner reads it."""
    return decode_state(p.customer, p.version, encode_state(p), under.calendar, under.limits)


def folded_label_changes(folded: Folded, group: str) -> list[labels.Change]:
    """The changes of one group, as the brute force writes them down."""
    return [_as_label_change(change) for change in folded.outcome.changes if change.group == group]


def _as_label_change(change: SegmentChange) -> labels.Change:
    kind: labels.Kind = "time" if change.cause == "tick" else "event"
    assert change.to_segment is not None
    return labels.Change(change.customer_id, change.effective_time, change.from_segment, change.to_segment, kind)


def without_quiet(changes: Iterable[labels.Change], quiet: str) -> list[labels.Change]:
    """The first label of a newcomer is no news where it says that nothing is known yet."""
    return [change for change in changes if change.before is not None or change.after != quiet]


def by_customer(changes: Iterable[labels.Change]) -> dict[str, list[labels.Change]]:
    """The changes of each customer in their order; between customers there is none."""
    found: dict[str, list[labels.Change]] = {}
    for change in changes:
        found.setdefault(change.customer, []).append(change)
    return found


def label_differences(folded: Folded, group: str, expected: Sequence[labels.Change]) -> list[Difference]:
    """Customers whose sequence of labels is not the brute force's."""
    mine, theirs = by_customer(folded_label_changes(folded, group)), by_customer(expected)
    return [
        Difference(customer, group, mine.get(customer), theirs.get(customer))
        for customer in mine.keys() | theirs.keys()
        if mine.get(customer) != theirs.get(customer)
    ]


LABELS: Final = {"rfm": ("rfm_segment", "prospect"), "value": ("value", "none"), "intensity": ("intensity", "low"),
                 "activity": ("activity", "")}  # fmt: skip
"""Group of the shipped rules -> its brute force, and the label that is no news to begin with."""


def replayed(events: Sequence[TopicEvent], under: Policy) -> Folded:
    """A history in time order, with every change up to its last event's time."""
    folded = fold_history(records_of(events), under)
    folded.wake(events[-1][1]["event_time"])
    return folded


def main(every: int) -> int:
    """Print the table; the number of differences."""
    total = _six_topics()
    orders = [pair for pair in cdnow() if int(pair[1]["customer_id"]) % every == 0]
    total += _history("cdnow", orders)
    total += _last_seen_activity(orders)
    total += _history("ecom", list(ecom()))
    print(f"{total} differences" if total else "no difference")
    return total


def _six_topics() -> int:
    seeded, found = history(), 0
    for t in seeded.instants:
        records = seeded.until(t)
        began = time.perf_counter()
        folded = fold_history(records, policy())
        cost = (time.perf_counter() - began) / len(records) * 1e6
        folded.advance(t)
        kept = {name: reloaded(p, folded.policy) for name, p in folded.profiles.items()}
        counts = recount.recount(records, t)
        for title, profiles in (("folded", folded.profiles), ("decoded again", kept)):
            numbers = sum(map(len, counts.values()))
            found += _line(f"six topics at {t}, {title}", numbers, differences(profiles, counts))
        print(f"  {len(records)} records, {cost:.1f} us each with decode to columns and dedup")
    return found


def _history(name: str, events: Sequence[TopicEvent]) -> int:
    end, found = events[-1][1]["event_time"], 0
    began = time.perf_counter()
    folded = replayed(events, Policy(shipped_rules()))
    print(f"  {name}: {len(events)} events, {len(folded.profiles)} customers, {len(folded.outcome.changes)} changes, "
          f"{(time.perf_counter() - began) / len(events) * 1e6:.1f} us an event with rules and ticks")  # fmt: skip
    for group, (label, quiet) in LABELS.items():
        expected = without_quiet(labels.changes_of(label, events, end), quiet)
        found += _line(f"{name}: changes of {group}", len(expected), label_differences(folded, group, expected))
    folded.advance(end)
    counts = recount.recount(records_of(events), end)
    revenue = sum(p.totals[ROW_LIFE + M["revenue"]] for p in folded.profiles.values())
    print(f"  {name}: revenue {revenue / 100:.2f}")
    found += _line(f"{name}: aggregates", sum(map(len, counts.values())), differences(folded.profiles, counts))
    return found + _line(f"{name}: labels at the end", 2 * len(counts), _final_labels(folded, events, end))


def _final_labels(folded: Folded, events: Sequence[TopicEvent], end: int) -> list[Difference]:
    found = []
    for customer, seen in labels.by_customer(events).items():
        p = folded.profiles[customer]
        for name, mine in (("value", value_of(p)), ("rfm_segment", rfm_segment(p))):
            label = labels.LABELS[name][0](seen, end)
            found += [Difference(customer, name, mine, label)] if mine != label else []
    return found


def _last_seen_activity(events: Sequence[TopicEvent]) -> int:
    folded = replayed(events, Policy(shipped_rules(), limits=Thresholds(order_clock=False)))
    expected = labels.changes_of("activity_by_last_seen", events, events[-1][1]["event_time"])
    kinds = Counter(change.kind for change in folded_label_changes(folded, "activity"))
    print(f"  activity by last seen: {kinds.total()} changes, {kinds['time']} by time, {kinds['event']} by events")
    return _line("cdnow: activity by last seen", len(expected), label_differences(folded, "activity", expected))


def _line(title: str, compared: int, found: Sequence[Difference]) -> int:
    print(f"{title:50}{compared:>12} compared{len(found):>8} differences", flush=True)
    for one in found[:5]:
        print(f"    {one.customer} {one.name}: folded {one.folded}, recounted {one.recounted}")
    return len(found)


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 1) else 0)
