"""The judge: what the installation holds, against what went in and what an undisturbed run makes of it.

docs/chaos.md says what is compared. A `lost_tail` (Redis forgot what it had confirmed) takes two promises away:
changes of six-topic customers may be repeated differently, and `profiles` may hold a greater version than Redis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from benchmarks.verdict import stored_differences
from schemas.results import SegmentChange
from streams.replay.envelope import TopicEvent
from tests.chaos.evidence import Evidence, events_in
from tests.chaos.truth import ONE_TOPIC, first_of_each_id
from tests.oracle.diary import effective_time
from tests.oracle.recount import recount
from tests.streams.test_journey import essence
from tests.streams.worker import World

_COUNTED: Final = ("received", "applied", "duplicate", "dead_lettered", "control")
_K = TypeVar("_K", bound=Hashable)


class Difference(NamedTuple):
    """One thing that is not as it must be: whose, what, as it was found and as it should be."""

    owner: str
    field: str
    found: object
    expected: object


@dataclass(frozen=True)
class Truth:
    """What went in up to an instant (ms), and the world of the run that nobody disturbed."""

    events: Sequence[TopicEvent]
    end: int
    world: World

    @cached_property
    def counts(self) -> dict[str, dict[str, Any]]:
        """Every customer's numbers, counted by SQL."""
        return recount([(place, topic, event) for place, (topic, event) in enumerate(self.events)], self.end)

    @cached_property
    def sequences(self) -> dict[str, list[Any]]:
        """The changes of every customer of one topic."""
        return essence(_one_topic(self.world.changes()))


def differences(truth: Truth, evidence: Evidence, *, lost_tail: bool = False) -> list[Difference]:
    """Everything that differs."""
    judges: list[Iterable[Difference]] = [
        _log(truth, evidence),
        _tallies(truth, evidence),
        _aggregates(truth, evidence),
        _portraits(truth, evidence),
        _sequences(truth, evidence),
        _examples(truth, evidence),
        _letters(truth, evidence),
        _event_rows(evidence),
        _change_rows(evidence),
    ]
    if not lost_tail:
        judges += [_repetitions(evidence), _chains(evidence), profile_rows(evidence)]
    return list(chain.from_iterable(judges))


def _unlike(field: str, found: Mapping[_K, object], expected: Mapping[_K, object]) -> Iterator[Difference]:
    for key in found.keys() | expected.keys():
        if found.get(key) != expected.get(key):
            yield Difference(str(key), field, found.get(key), expected.get(key))


# -- Kafka -----------------------------------------------------------------------------------------------------


def _log(truth: Truth, evidence: Evidence) -> Iterator[Difference]:
    """Every event sent is in the log; a broker without idempotent producers may hold a repetition."""
    found = Counter((place[0], event["event_id"], event["event_time"]) for place, _, event in events_in(evidence.log))
    sent = Counter((topic, event["event_id"], event["event_time"]) for topic, event in truth.events)
    for key in found.keys() | sent.keys():
        if found[key] < sent[key] or (found[key] and not sent[key]):
            yield Difference(str(key), "records in the log", found[key], sent[key])


def _one_topic(changes: Iterable[SegmentChange]) -> list[SegmentChange]:
    return [change for change in changes if change.customer_id.startswith(ONE_TOPIC)]


def distinct(changes: Iterable[SegmentChange]) -> list[SegmentChange]:
    """The first message of each id: consumers go by it."""
    first: dict[str, SegmentChange] = {}
    for change in changes:
        first.setdefault(change.change_id, change)
    return list(first.values())


def _sequences(truth: Truth, evidence: Evidence) -> Iterator[Difference]:
    """Customers of one topic: the same changes in the same order under the same ids."""
    found, expected = essence(_one_topic(distinct(evidence.changes))), truth.sequences
    for customer in found.keys() | expected.keys():
        mine, theirs = found.get(customer, []), expected.get(customer, [])
        if mine != theirs:
            place = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), None)
            at = min(len(mine), len(theirs)) if place is None else place
            yield Difference(customer, f"changes from {at + 1} on", mine[at : at + 2], theirs[at : at + 2])


def _repetitions(evidence: Evidence) -> Iterator[Difference]:
    """A message that was sent again says the same."""
    first: dict[str, SegmentChange] = {}
    for change in evidence.changes:
        known = first.setdefault(change.change_id, change)
        if known != change:
            yield Difference(change.customer_id, f"change {change.change_id} sent again", change, known)


def _chains(evidence: Evidence) -> Iterator[Difference]:
    """Every customer and driver: 1, 2, 3 ... in order; a move within a group begins where the last one ended."""
    count: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], str | None] = {}
    for change in distinct(evidence.changes):
        count[change.customer_id, change.driver] += 1
        due = count[change.customer_id, change.driver]
        if change.sequence != due:
            yield Difference(change.customer_id, f"sequence of {change.driver} changes", change.sequence, due)
            count[change.customer_id, change.driver] = change.sequence
        name = change.customer_id, change.group or f"segment {change.segment}"
        if name in last and last[name] != change.from_segment:
            yield Difference(change.customer_id, f"from, of {name[1]}", change.from_segment, last[name])
        last[name] = change.to_segment


def _examples(truth: Truth, evidence: Evidence) -> Iterator[Difference]:
    def labels(examples: Iterable[Any]) -> dict[str, tuple[int, int, int]]:
        return {
            e.example_id: (e.label, e.snapshot_time, e.label_time)
            for e in examples
            if e.customer_id.startswith(ONE_TOPIC)
        }

    yield from _unlike("training example", labels(evidence.examples), labels(truth.world.examples()))


def _letters(truth: Truth, evidence: Evidence) -> Iterator[Difference]:
    found, expected = (
        {letter.letter_id: (letter.topic, letter.partition, letter.offset, letter.reason) for letter in letters}
        for letters in (evidence.letters, truth.world.letters())
    )
    yield from _unlike("dead letter", found, expected)


# -- Redis -----------------------------------------------------------------------------------------------------


def _tallies(truth: Truth, evidence: Evidence) -> Iterator[Difference]:
    """What is counted once a record; lateness is relative to where batches end."""

    def counted(tallies: Mapping[str, int]) -> dict[str, int]:
        return {name: n for name, n in tallies.items() if name.split(":")[0] in _COUNTED}

    yield from _unlike("tally", counted(evidence.tallies), counted(truth.world.store.tallies()))


def _aggregates(truth: Truth, evidence: Evidence) -> Iterator[Difference]:
    """Every customer's numbers, counted again by SQL from the events that were sent."""
    for one in stored_differences(evidence.profiles, truth.world.policy, truth.counts, truth.end):
        yield Difference(one.customer, one.name, one.folded, one.recounted)


def _portraits(truth: Truth, evidence: Evidence) -> Iterator[Difference]:
    """Customers of one topic: every trait and segment; the score follows batch edges."""
    expected = truth.world.portraits()
    for customer in (c for c in expected.keys() | evidence.profiles.keys() if c.startswith(ONE_TOPIC)):
        traits = orjson.loads(evidence.profiles[customer][2]) if customer in evidence.profiles else {}
        traits.pop("churn", None)
        for one in _unlike("trait", traits, expected.get(customer, {})):
            yield Difference(customer, f"trait {one.owner}", one.found, one.expected)


# -- ClickHouse ------------------------------------------------------------------------------------------------


def _event_rows(evidence: Evidence) -> Iterator[Difference]:
    expected = {
        event_id: (
            topic, partition, offset, event["customer_id"], event["name"],
            effective_time(event), event["received_time"], event.get("revenue") or 0,
        )
        for event_id, (topic, partition, offset, event) in first_of_each_id(events_in(evidence.log)).items()
    }  # fmt: skip
    yield from _unlike("row of events", evidence.event_rows, expected)
    if evidence.repeated_rows:
        yield Difference("ClickHouse", "rows of views beyond one a key", evidence.repeated_rows, 0)


def _change_rows(evidence: Evidence) -> Iterator[Difference]:
    expected = {
        c.change_id: (
            c.customer_id, c.sequence, c.segment, c.from_segment or "", c.to_segment or "", c.effective_time, c.cause,
        )
        for c in distinct(evidence.changes)
    }  # fmt: skip
    yield from _unlike("row of segment_changes", evidence.change_rows, expected)


def profile_rows(evidence: Evidence) -> Iterator[Difference]:
    """The newest version of every customer."""
    stored = {customer: (version, traits) for customer, (version, _, traits) in evidence.profiles.items()}
    yield from _unlike("row of profiles", evidence.profile_rows, stored)


def told(found: Sequence[Difference], say: Callable[[str], None], most: int = 40) -> None:
    """Print the differences, one a line."""
    for one in found[:most]:
        say(f"{one.owner}  {one.field}: found {_short(one.found)}, expected {_short(one.expected)}")
    if len(found) > most:
        kinds: Counter[str] = Counter(one.field.split(" ")[0] for one in found)
        say(f"... and {len(found) - most} more; by kind: {dict(kinds)}")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 400 else f"{text[:397]}..."
