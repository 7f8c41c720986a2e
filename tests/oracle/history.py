"""A seeded history over the six topics, with everything in it that makes counting hard.

No record comes more than 24 h of event time late, so docs/definitions.md promises the same aggregates for every
order of arrival that `permutation` draws. `far_late=True` adds records that come much later: for those only the
aggregates that keep no intervals and no lists are promised.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from tests.oracle import behaviour
from tests.oracle.corners import write_corners
from tests.oracle.diary import DAY, HOUR, MINUTE, Diary, Draft, Event, draw_delay, effective_time

START: Final = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1000
DAYS: Final = 400
INSTANTS: Final = (
    START + 150 * DAY + 13 * HOUR + 17 * MINUTE + 8_123,
    START + 275 * DAY,  # exactly midnight: the newest bucket of every width holds one ms
    START + 399 * DAY + 22 * HOUR + 59 * MINUTE + 59_999,
)


class Arrival(NamedTuple):
    """One record: its place in the order of arrival (the log order of its topic-partition), topic and event."""

    arrival: int
    topic: str
    event: Event


@dataclass(frozen=True, slots=True)
class History:
    """Records in order of arrival, and the instants to count at."""

    seed: int
    records: list[Arrival]
    instants: tuple[int, ...] = INSTANTS

    def until(self, t: int) -> list[Arrival]:
        """The records whose time (after the clamp) is at or before t: what a profile at t has applied."""
        return [record for record in self.records if effective_time(record.event) <= t]


def history(seed: int = 7, *, customers: int = 2_000, far_late: bool = False) -> History:
    """The history of a seed: `customers` who behave at random, and one for each edge of the definitions."""
    drafts = [draft for diary in _diaries(seed, customers) for draft in diary.drafts]
    drafts = [draft for draft in drafts if effective_time(draft.event) < START + DAYS * DAY]
    if far_late:
        _delay_far(random.Random(f"{seed}-far-late"), drafts)
    return History(seed, _arranged([(effective_time(d.event) + d.delay, d.topic, d.event) for d in drafts]))


def permutation(source: History, seed: int) -> History:
    """The same records in another order of arrival, none more than 24 h late.

    Records with one event id keep their order: the first of them in the log is the one that counts.
    """
    rng = random.Random(f"{source.seed}-{seed}")
    copies = _copied(source)
    arrived: dict[tuple[str, str], int] = {}
    timed = []
    for _, topic, event in source.records:
        key = (event["customer_id"], event["event_id"])
        time = effective_time(event)
        bound = 6 * HOUR if key in copies else DAY
        delay = min(draw_delay(rng), bound) if rng.random() < 0.5 else rng.randint(0, bound)
        arrived[key] = max(time + delay, arrived.get(key, time) + 1)
        timed.append((arrived[key], topic, event))
    return History(source.seed, _arranged(timed))


def permutations(source: History, seed: int) -> Iterator[History]:
    """Orders of arrival without end, each inside the order law."""
    number = 0
    while True:
        yield permutation(source, seed + number)
        number += 1


def lateness(records: list[Arrival]) -> int:
    """The most any record is behind the greatest time seen of its customer, ms."""
    newest: dict[str, int] = {}
    worst = 0
    for _, _, event in records:
        time, customer = effective_time(event), event["customer_id"]
        worst = max(worst, newest.get(customer, time) - time)
        newest[customer] = max(newest.get(customer, time), time)
    return worst


def _arranged(timed: list[tuple[int, str, Event]]) -> list[Arrival]:
    timed.sort(key=lambda row: row[0])
    return [Arrival(arrival, topic, event) for arrival, (_, topic, event) in enumerate(timed)]


def _copied(source: History) -> set[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    copied: set[tuple[str, str]] = set()
    for _, _, event in source.records:
        key = (event["customer_id"], event["event_id"])
        (copied if key in seen else seen).add(key)
    return copied


def _diaries(seed: int, customers: int) -> list[Diary]:
    diaries: dict[str, Diary] = {}

    def open_diary(customer: str) -> Diary:
        return diaries.setdefault(customer, Diary(customer, random.Random(f"{seed}-{customer}")))

    for number in range(customers):
        _live(open_diary(f"c{number:05d}"), number)
    write_corners(open_diary, START, INSTANTS)
    return list(diaries.values())


def _live(diary: Diary, number: int) -> None:
    begin = START + diary.rng.randrange(380 * DAY)
    behaviour.live(diary, begin, START + DAYS * DAY)
    for instant in INSTANTS:
        if number % 50 == 0:
            behaviour.rich_hour(diary, instant)
        elif number % 50 == 1:
            behaviour.closed_visit(diary, instant)


def _delay_far(rng: random.Random, drafts: list[Draft]) -> None:
    """Records sent twice stay as they are: which of them comes first decides which counts."""
    times = Counter(draft.event["event_id"] for draft in drafts)
    for draft in drafts:
        if rng.random() < 0.01 and times[draft.event["event_id"]] == 1:
            draft.delay = rng.randrange(2 * DAY, 85 * DAY)
