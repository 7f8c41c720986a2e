"""Builders that spell out only the field under test, and whole histories folded in this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from zlib import crc32

from processors.calendar import DAY, HOUR, calendar_of
from processors.dedup import Seen, event_digests
from processors.event import Event, OrderDetail, events_of, order_digest
from processors.fold import Outcome, Policy, advance, fold, tick
from processors.profile import Profile
from processors.rules import RuleSet, parse_rules
from schemas.events import NONE_MISDATED, EventBatch
from schemas.partitioning import BUCKETS, bucket_of
from schemas.topics import APP, CLICKSTREAM, EVENT_NAMES
from streams.resources import resource

START: Final = 19_700 * DAY + 5 * HOUR
"""Some instant, no edge of any bucket that matters."""
NO_RULES: Final = RuleSet("", ())
_CHUNK: Final = 4_000
_TOPIC_OF: Final = {name: topic for topic, names in EVENT_NAMES.items() for name in names}

Record = tuple[int, str, dict[str, Any]]
"""(place in the log, topic, event under the field names of its topic)."""


def event(name: str = "page_viewed", time: int = START, number: int = 0, **fields: Any) -> Event:
    """An event of customer `c`; `number` is its place in the log and its id."""
    known: dict[str, Any] = {
        "customer_id": "c", "time": time, "at": time, "name": name, "channel": "web", "detail": _DETAILS.get(name),
        "event_id": f"e{number}", "origin": "t:0", "offset": number, "checksum": 0,
        "visit": _TOPIC_OF[name] in (CLICKSTREAM, APP),
    }  # fmt: skip
    return Event(**(known | fields))


def purchase(
    name: str, time: int = START, number: int = 0, *, order_id: str = "", amounts: dict[str, Any] | None = None
) -> Event:
    """An event of the topic purchase: 10.00 of one item, cost unknown, unless `amounts` say otherwise."""
    own: dict[str, Any] = {"revenue": 1_000, "discount": 0, "items": 1, "cost": -1, "categories": []}
    detail = OrderDetail(order_digest(order_id or f"o{number}"), **(own | (amounts or {})))
    return event(name, time, number, detail=detail)


def order(time: int = START, number: int = 0, order_id: str = "", **amounts: Any) -> Event:
    """An `order_completed`."""
    return purchase("order_completed", time, number, order_id=order_id, amounts=amounts)


def refund(time: int, order_id: str, revenue: int, number: int = 0) -> Event:
    """An `order_refunded` of `revenue` cents."""
    return purchase("order_refunded", time, number, order_id=order_id, amounts={"revenue": revenue})


def policy(**fields: Any) -> Policy:
    """A policy without rules."""
    return Policy(**({"rules": NO_RULES} | fields))


@cache
def shipped_rules() -> RuleSet:
    """The rules of deploy/segments.yaml."""
    return parse_rules(resource("segments.yaml").read_text(encoding="utf-8"), "segments.yaml")


def made(customer: str, **fields: Any) -> Profile:
    """A profile with some of its fields set."""
    one = Profile(customer)
    for name, value in fields.items():
        setattr(one, name, value)
    return one


def profile(*events: Event, under: Policy | None = None) -> Profile:
    """The profile of customer `c` after these events."""
    return run(events, under).profile


@dataclass(slots=True)
class Run:
    """One customer's events folded one after the other."""

    profile: Profile
    outcome: Outcome = field(default_factory=Outcome)


def run(events: Iterable[Event], under: Policy | None = None, until: int = 0) -> Run:
    """Fold the events of customer `c`, then let time pass up to `until`."""
    done = Run(Profile("c"))
    rules = under or policy()
    for one in events:
        fold(done.profile, one, rules, done.outcome)
    advance(done.profile, until, rules, done.outcome)
    return done


@dataclass(slots=True)
class Folded:
    """A history folded: every profile, everything decided, and how many records were repetitions."""

    policy: Policy
    profiles: dict[str, Profile] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)
    repetitions: int = 0

    def take(self, one: Event) -> None:
        """Fold one event into its customer's profile."""
        p = self.profiles.get(one.customer_id)
        if p is None:
            p = self.profiles[one.customer_id] = Profile(one.customer_id)
        fold(p, one, self.policy, self.outcome)

    def wake(self, upto: int) -> None:
        """Fold every due instant up to `upto`, as the ticker does: no profile's time moves further than that."""
        for p in self.profiles.values():
            while p.due <= upto:
                tick(p, p.due, self.policy, self.outcome)

    def advance(self, t: int) -> None:
        """Bring every profile to instant `t`, as readers do."""
        for p in self.profiles.values():
            advance(p, t, self.policy, self.outcome)


def fold_history(records: Iterable[Record], under: Policy | None = None) -> Folded:
    """Records in log order, each event once, folded on the event clock. Profiles stand at their last event."""
    folded = Folded(under or policy())
    for one in counted(events_from(records), folded):
        folded.take(one)
    return folded


def events_from(records: Iterable[Record]) -> list[Event]:
    """Records as the fold takes them, through the same columns as in production, in the order given."""
    rows = list(records)
    events: list[Event | None] = [None] * len(rows)
    for topic in EVENT_NAMES:
        places = [place for place, row in enumerate(rows) if row[1] == topic]
        made = events_of(batch_of(topic, [rows[place] for place in places]), f"{topic}:0", wall_clock=False)
        for place, one in zip(places, made, strict=True):
            events[place] = one
    return [one for one in events if one is not None]


def counted(events: Sequence[Event], folded: Folded, window_hours: int = 24) -> list[Event]:
    """The events that count: no repetition, no conflict. How many were left out is added to `folded`."""
    seen = Seen(window_hours, recent_ids=20_000)
    for bucket in range(BUCKETS):
        seen.claim(bucket, ())
    kept: list[Event] = []
    for first in range(0, len(events), _CHUNK):
        kept += _unrepeated(seen, events[first : first + _CHUNK])
    folded.repetitions += len(events) - len(kept)
    return kept


def _unrepeated(seen: Seen, chunk: Sequence[Event]) -> list[Event]:
    customers = [one.customer_id for one in chunk]
    buckets = [bucket_of(customer) for customer in customers]
    times = [one.time for one in chunk]
    digests = event_digests(b"key", customers, [one.event_id for one in chunk])
    assert not seen.needs(buckets, times), "nothing may have left memory: there is no store to read it from"
    verdicts = seen.check_batch(buckets, times, digests, [one.checksum for one in chunk])
    for bucket in set(buckets):
        seen.committed(bucket)
    return [one for one, verdict in zip(chunk, verdicts, strict=True) if verdict in ("new", "unchecked")]


def batch_of(topic: str, rows: Sequence[Record]) -> EventBatch:
    def column(name: str) -> list[Any]:
        return [row[2].get(name) for row in rows]

    return EventBatch(
        topic=topic,
        partition=0,
        offsets=[row[0] for row in rows],
        append_times=column("received_time"),
        event_id=column("event_id"),
        customer_id=column("customer_id"),
        event_time=[min(row[2]["event_time"], row[2]["received_time"]) for row in rows],
        received_time=column("received_time"),
        name=column("name"),
        checksums=[_checksum(row[2]) for row in rows],
        misdated=NONE_MISDATED,
        load=column,
    )


def _checksum(fields: dict[str, Any]) -> int:
    return crc32(repr([item for item in fields.items() if not item[0].endswith("_time")]).encode())


@cache
def zone_policy(zone: str) -> Policy:
    """A policy without rules whose days are those of a time zone."""
    return policy(calendar=calendar_of(zone))


_DETAILS: Final[dict[str, Any]] = {
    "survey_answered": ("nps", 9),
    "identified": {"city": "Oslo"},
    "traits_updated": {"city": "Rome"},
    "aliased": {},
}
