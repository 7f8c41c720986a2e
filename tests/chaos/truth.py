"""What goes in, and what must come out of it: the generator's history and the outcome of an undisturbed run.

Two kinds of customers share one log on the event clock. Those of CDNOW only ever buy, so all they do is in one topic:
for them the *sequence* of changes is promised. Those of the seeded six-topic history arrive up to 24 h late, twice, and
in no order across topics: for them the final aggregates are promised, and that changes have no gap.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final

from processors.calendar import DAY
from streams.replay.datasets import cdnow
from streams.replay.envelope import TopicEvent
from tests.oracle.diary import effective_time
from tests.oracle.history import DAYS, START, history
from tests.schemas.records import Record
from tests.streams.worker import Log, Site, Worker, World

ONE_TOPIC: Final = "shop-"
"""What ids of customers begin with whose events are all in one topic."""
_CONFLICT_EVERY: Final = 101
"""Orders until one comes again under its id with another payload: a dead letter."""
JUNK_EVERY: Final = 251
"""Records until one that no schema reads: a dead letter as well. Both together stay below 1 %, which stops a worker."""
_EVENTS_OF_ONE: Final = 32
"""What a customer of the six-topic history makes, about."""
_CDNOW_BEGIN: Final = datetime(1997, 1, 1, tzinfo=UTC)
_SHIFT_DAYS: Final = (datetime.fromtimestamp(START / 1000, UTC) - _CDNOW_BEGIN).days
Records = Mapping[tuple[str, int], Sequence[Record]]
"""Topic and partition -> its records from offset 0."""


@dataclass(frozen=True)
class Part:
    """A stretch of the history, in the order it is sent, and the instant (ms) of the marker that closes it."""

    events: list[TopicEvent]
    end: int


def history_of(seed: int, events: int) -> list[TopicEvent]:
    """About so many events in order of arrival, half from either kind of customer as long as CDNOW lasts.

    A few contradict another's id.
    """
    bought = list(_purchases(seed, min(1.0, events / 2 / 69_659)))
    many = max(20, (events - len(bought)) // _EVENTS_OF_ONE)
    seeded = [(row.topic, dict(row.event)) for row in history(seed, customers=many).records]
    return [pair for _, pair in heapq.merge(_timed(bought), _timed(seeded), key=lambda timed: timed[0])]


def parts_of(events: Sequence[TopicEvent], share: float) -> list[Part]:
    """The history in two parts, cut at the end of a day with about `share` of the events before it."""
    reached = list(accumulate((effective_time(event) for _, event in events), max))
    end = reached[int(len(events) * share)] // DAY * DAY - 1
    cut = next(place for place, instant in enumerate(reached) if instant > end)
    return [Part(list(events[:cut]), end), Part(list(events[cut:]), reached[-1])]


def whole_of(events: Sequence[TopicEvent]) -> Part:
    """The history in one."""
    return Part(list(events), max(effective_time(event) for _, event in events))


def _purchases(seed: int, share: float) -> Iterator[TopicEvent]:
    """The orders of some customers of CDNOW in the days of the seeded history."""
    step = max(1, round(1 / share))
    for number, (topic, event) in enumerate(cdnow(shift_days=_SHIFT_DAYS)):
        if int(event["customer_id"]) % step == seed % step and event["event_time"] < START + DAYS * DAY:
            mine = event | {"customer_id": f"{ONE_TOPIC}{event['customer_id']}"}
            yield topic, mine
            if number % _CONFLICT_EVERY == 0:
                yield topic, mine | {"source": "another till"}


def _timed(events: Sequence[TopicEvent]) -> Iterable[tuple[int, TopicEvent]]:
    """Each event with the latest instant reached when it arrives, which is when it is sent."""
    return zip(accumulate((effective_time(event) for _, event in events), max), events, strict=True)


class Undisturbed:
    """One worker in memory that reads the same log, from record to record as the broker kept it, and is never hurt."""

    def __init__(self, site: Site) -> None:
        self.world = World(Log(), site=site)
        self._worker = Worker(self.world)
        self._runner = asyncio.Runner()
        self._runner.run(self._worker.assign())

    def read(self, records: Records) -> World:
        """Read on to the end of this log, which begins with what was read before."""
        for place, found in records.items():
            self.world.log.records[place] = list(found)
        self._runner.run(self._worker.read())
        return self.world

    def close(self) -> None:
        """End the loop it ran on."""
        self._runner.close()


def first_of_each_id(log: Iterable[tuple[tuple[str, int], int, dict[str, Any]]]) -> dict[str, Any]:
    """Event id -> (topic, partition, offset, event): of two records with one id the lowest (partition, offset) wins."""
    found: dict[str, Any] = {}
    for (topic, partition), offset, event in log:
        known = found.get(event["event_id"])
        if known is None or (partition, offset) < known[1:3]:
            found[event["event_id"]] = (topic, partition, offset, event)
    return found
