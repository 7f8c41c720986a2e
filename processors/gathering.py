"""A batch of events taken together: in one order, by customer. Loops over every event, so they are compiled."""

from __future__ import annotations

from collections.abc import Sequence

from processors.calendar import NEVER
from processors.event import Event
from processors.profile import Profile


def in_one_order(parts: Sequence[list[Event]]) -> list[Event]:
    """The events of all topics in one order: log order within a topic, by the latest instant reached across them.

    Where several have reached the same instant, the first topic's come first.
    """
    if len(parts) == 1:
        return parts[0]
    places = [0] * len(parts)
    reached = [_reached(events, 0, -1) for events in parts]
    out: list[Event] = []
    for _ in range(sum([len(events) for events in parts])):
        k = _earliest(reached)
        i = places[k]
        out.append(parts[k][i])
        places[k] = i + 1
        reached[k] = _reached(parts[k], i + 1, reached[k])
    return out


def _reached(events: list[Event], i: int, before: int) -> int:
    return max(before, events[i].at) if i < len(events) else NEVER


def _earliest(reached: list[int]) -> int:
    found = 0
    for k in range(1, len(reached)):
        if reached[k] < reached[found]:
            found = k
    return found


Theirs = tuple[Profile, list[Event]]
"""A customer's profile and events."""


def by_customer(events: Sequence[Event], profiles: dict[str, Profile]) -> list[Theirs]:
    """The events of each customer, in their order; the customers by their first event."""
    found: dict[str, list[Event]] = {}
    for event in events:
        theirs = found.get(event.customer_id)
        if theirs is None:
            found[event.customer_id] = [event]
        else:
            theirs.append(event)
    return [(profiles[customer], theirs) for customer, theirs in found.items()]


def at_hand(parts: Sequence[Sequence[Event]], kept: dict[str, Profile]) -> tuple[dict[str, Profile], list[str]]:
    """The profiles of these events' customers, now in use, and the customers of whom none is kept.

    Whatever else a batch does with its customers looks them up in this small dict, which stays near the processor:
    every look into that of all customers waits for main memory.
    """
    found: dict[str, Profile] = {}
    missing: dict[str, None] = {}
    for events in parts:
        for event in events:
            customer = event.customer_id
            if customer in found or customer in missing:
                continue
            profile = kept.get(customer)
            if profile is None:
                missing[customer] = None
            else:
                profile.in_use = True
                found[customer] = profile
    return found, list(missing)


def buckets_of_events(events: Sequence[Event], profiles: dict[str, Profile]) -> list[int]:
    """The bucket of each event's customer."""
    return [profiles[event.customer_id].bucket for event in events]


def names_of(events: Sequence[Event]) -> tuple[list[str], list[str]]:
    """customer_id and event_id of each."""
    return [event.customer_id for event in events], [event.event_id for event in events]


def times_of(events: Sequence[Event]) -> list[int]:
    """When each happened, ms."""
    return [event.time for event in events]


def checksums_of(events: Sequence[Event]) -> list[int]:
    """What each holds, as a number."""
    return [event.checksum for event in events]


def counted(events: Sequence[Event], buckets: Sequence[int]) -> dict[str, dict[int, int]]:
    """How many there are: origin -> bucket -> events."""
    found: dict[str, dict[int, int]] = {}
    for event, bucket in zip(events, buckets, strict=True):
        counts = found.get(event.origin)
        if counts is None:
            counts = found[event.origin] = {}
        counts[bucket] = counts.get(bucket, 0) + 1
    return found
